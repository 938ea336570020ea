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
    let mut address = policy.listen.admin;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let answer = ask(address).map_err(|error| format!("asking {address}: {error}"))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    if answer.starts_with("HTTP/1.1 200 ") { print(body) } else { Err(format!("not ready: {body}")) }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
