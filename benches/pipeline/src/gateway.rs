//! The gateway under test, with one account that is logged in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{PROXY_CORE, Process};
use crate::{Failure, Subject, UPSTREAM};

const PASSWORD: &str = "correct horse battery staple";

pub struct Gateway {
    pub process: Process,
    /// From the start of the process to `/readyz` 200.
    pub until_ready: Duration,
    /// Resident before the first login.
    pub idle_kib: u64,
    address: String,
    token: String,
}

/// Listens on `port`, its admin on the next one; `state` as in `storage.state`.
pub fn start(programs: &Path, folder: &Path, state: &str, port: u16) -> Result<Gateway, Failure> {
    let folder = folder.join(port.to_string());
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("gateway.yaml");
    std::fs::write(&config, yaml(&folder, state, port))?;
    let config = config.to_str().ok_or("the folder's name is not UTF-8")?;
    let program = programs.join("portcullis");
    let added = Command::new(&program)
        .args(["user", "add", "bench", "--role", "user", "--config", config])
        .env("PORTCULLIS_PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .status()?;
    if !added.success() {
        return Err("the account could not be added".into());
    }
    let address = format!("127.0.0.1:{port}");
    let admin = format!("127.0.0.1:{}", port + 1);
    let begun = Instant::now();
    let process = Process::start(PROXY_CORE, &program, &["serve", "--config", config])?.listening(&admin)?;
    while !exchange(&admin, "GET /readyz", "")?.starts_with("HTTP/1.1 200 ") {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (until_ready, idle_kib) = (begun.elapsed(), process.resident_kib()?);
    let token = log_in(&address)?;
    Ok(Gateway { process, until_ready, idle_kib, address, token })
}

impl Gateway {
    pub fn subject(&self, name: &'static str, path: &str, with_token: bool) -> Subject<'_> {
        let url = format!("http://{}{path}", self.address);
        Subject { name, process: &self.process, url, token: with_token.then(|| self.token.clone()) }
    }
}

fn yaml(folder: &Path, state: &str, port: u16) -> String {
    format!(
        "version: 1
listen: {{ proxy: [{{ address: \"127.0.0.1:{port}\" }}], admin: \"127.0.0.1:{admin}\" }}
storage: {{ users: \"sqlite://{folder}/users.db\", state: \"{state}\" }}
tokens: {{ issuer: bench, audience: bench, access_ttl: 1h }}
upstreams: {{ backend: {{ servers: [\"{UPSTREAM}\"] }} }}
limits: {{ per-user: {{ rate: 1000000/1s, by: user }} }}
routes:
  - {{ path: /public, upstream: backend, access: public }}
  - {{ path: /protected, upstream: backend, access: {{ roles: [user] }}, limits: [per-user] }}
  - {{ path: /cached, methods: [GET], upstream: backend, access: {{ roles: [user] }}, limits: [per-user], cache: {{ ttl: 1h, vary_by: shared }} }}
",
        admin = port + 1,
        folder = folder.display(),
    )
}

fn log_in(address: &str) -> Result<String, Failure> {
    let body = json!({ "username": "bench", "password": PASSWORD }).to_string();
    let answer = exchange(address, "POST /auth/login", &body)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
    let body: Value = serde_json::from_str(body).map_err(|_| format!("the login failed: {answer}"))?;
    Ok(body["access_token"].as_str().ok_or("a login without a token")?.to_owned())
}

fn exchange(address: &str, request: &str, body: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
