//! `portcullis health`: for container health checks, without a need for curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{ConfigArg, print};
use crate::server;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Fails unless `/readyz` says 200.
pub fn run(arg: &ConfigArg) -> Result<(), String> {
    let policy = server::load_policy(&arg.config)?;
    let answer = ask(policy.listen.admin, "GET", "/readyz", "")?;
    if answer.is_ok() { print(answer.body()) } else { Err(format!("not ready: {}", answer.body())) }
}

/// What the admin port said, head and all.
pub struct Answer(String);

impl Answer {
    pub fn is_ok(&self) -> bool {
        self.0.starts_with("HTTP/1.1 200 ")
    }

    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim()
    }
}

/// Asks the admin port of the gateway on this machine.
pub fn ask(mut address: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer, String> {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let answer = exchange(address, method, path, body);
    answer.map(Answer).map_err(|error| format!("asking {address}: {error}"))
}

fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
