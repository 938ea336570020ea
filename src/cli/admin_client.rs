//! Speaks to the admin port of the gateway that runs on a file.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::server::load;

const CONNECT: Duration = Duration::from_secs(3);
/// A reload of a large file takes a moment.
const ANSWER: Duration = Duration::from_secs(60);
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

#[derive(Debug, Args)]
pub struct AdminArg {
    /// The admin address; that of the configuration file unless given
    #[arg(long, value_name = "IP:PORT", env = "PORTCULLIS_ADMIN")]
    admin: Option<SocketAddr>,
}

impl AdminArg {
    pub fn address(&self, config: &Path) -> SocketAddr {
        let mut address = self.admin.or_else(|| load::admin_address(config)).unwrap_or(DEFAULT);
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        address
    }

    /// Status and body of the answer.
    pub fn ask(
        &self,
        config: &Path,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let address = self.address(config);
        let wrong = |reason: String| format!("asking {address}: {reason}");
        let answer = exchange(address, method, path, body).map_err(|error| wrong(error.to_string()))?;
        let (head, body) =
            answer.split_once("\r\n\r\n").ok_or_else(|| wrong("no HTTP came back".to_owned()))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| wrong("no status came back".to_owned()))?;
        let body = serde_json::from_str(body).map_err(|_| wrong(format!("{status}: {}", body.trim())))?;
        Ok((status, body))
    }
}

fn exchange(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
