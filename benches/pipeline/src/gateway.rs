//! The gateway under test, with one account that is logged in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_bench::token::{NAME, SECRET};
use serde_json::{Value, json};

use crate::Failure;
use crate::client::Client;
use crate::process::{PROXY_CORE, Process};
use crate::stage::{Stage, UPSTREAM};
use crate::wrk::Subject;

pub const PASSWORD: &str = "correct horse battery staple";

/// What one gateway is to be like.
pub struct Plan<'a> {
    /// Of the proxy; the admin's is the next one.
    pub port: u16,
    /// As in `storage.state`.
    pub state: &'a str,
    /// As in `revocation.mode`.
    pub mode: &'a str,
    /// Of the accounts and the embedded state.
    pub data: PathBuf,
    /// As in `storage.users`; empty: SQLite in that folder.
    pub users: String,
    /// Of `auth:`.
    pub auth: &'a str,
    /// Further lines beneath `limits:` and beneath `routes:`.
    pub more_limits: &'a str,
    pub more_routes: &'a str,
    /// Further keys of the file.
    pub more: &'a str,
}

impl<'a> Plan<'a> {
    pub fn new(stage: &Stage, port: u16, state: &'a str) -> Result<Self, Failure> {
        let data = stage.folder(&format!("{port}-data"))?;
        let auth = "limits: off, lockout: { failures: 100, for: 1m }";
        let users = String::new();
        Ok(Self {
            port,
            state,
            mode: "mirrored",
            data,
            users,
            auth,
            more_limits: "",
            more_routes: "",
            more: "",
        })
    }

    pub fn yaml(&self) -> String {
        let Self { port, state, mode, auth, more_limits, more_routes, more, .. } = self;
        format!(
            "version: 1
listen: {{ proxy: [{{ address: \"127.0.0.1:{port}\" }}], admin: \"127.0.0.1:{admin}\", control: \"{data}/{port}.sock\" }}
storage: {{ users: \"{users}\", state: \"{state}\" }}
tokens: {{ issuer: {NAME}, audience: {NAME}, access_ttl: 1h, keys: [{{ id: {NAME}, algorithm: HS256, secret: \"{SECRET}\" }}] }}
auth: {{ {auth} }}
revocation: {{ mode: {mode} }}
{more}
upstreams: {{ backend: {{ servers: [\"{UPSTREAM}\"] }} }}
limits:
  per-user: {{ rate: 1000000/1s, by: user }}
{more_limits}
routes:
  - {{ path: /public, upstream: backend, access: public }}
  - {{ path: /protected, upstream: backend, access: {{ roles: [user] }}, limits: [per-user] }}
  - {{ path: /echo, upstream: backend, access: {{ roles: [user] }}, limits: [per-user] }}
  - {{ path: /cached, methods: [GET], upstream: backend, access: {{ roles: [user] }}, limits: [per-user], cache: {{ ttl: 1h, vary_by: shared }} }}
{more_routes}
",
            admin = port + 1,
            data = self.data.display(),
            users = match self.users.as_str() {
                "" => format!("sqlite://{}/users.db", self.data.display()),
                url => url.to_owned(),
            },
        )
    }
}

pub struct Gateway {
    pub process: Process,
    /// From the start of the process to `/readyz` 200.
    pub until_ready: Duration,
    /// Resident before the first login.
    pub idle_kib: u64,
    pub address: String,
    pub admin_address: String,
    pub config: PathBuf,
    pub token: String,
}

pub fn start(stage: &Stage, plan: &Plan<'_>) -> Result<Gateway, Failure> {
    // Not where the databases are: the gateway looks at its file whenever something stirs beside it.
    let config = stage.folder(&plan.port.to_string())?.join("gateway.yaml");
    std::fs::write(&config, plan.yaml())?;
    let program = stage.programs.join("portcullis");
    let path = config.to_str().ok_or("the folder's name is not UTF-8")?;
    if !plan.data.join("users.db").exists() {
        add_account(&program, path)?;
    }
    let address = format!("127.0.0.1:{}", plan.port);
    let admin = format!("127.0.0.1:{}", plan.port + 1);
    let begun = Instant::now();
    let process = Process::start(PROXY_CORE, &program, &["serve", "--config", path])?.listening(&admin)?;
    while Client::connect(&admin)?.get("/readyz", None)?.status != 200 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (until_ready, idle_kib) = (begun.elapsed(), process.resident_kib()?);
    let token = log_in(&address)?;
    Ok(Gateway { process, until_ready, idle_kib, address, admin_address: admin, config, token })
}

impl Gateway {
    pub fn subject(&self, name: &'static str, path: &str, with_token: bool) -> Subject<'_> {
        Subject {
            name,
            processes: vec![&self.process],
            url: format!("http://{}{path}", self.address),
            token: with_token.then(|| self.token.clone()),
            more: Vec::new(),
        }
    }
}

/// An access token for the admin API: of the one account, which becomes an admin beside.
pub fn operator(stage: &Stage, gateway: &Gateway) -> Result<String, Failure> {
    let granted = Command::new(stage.programs.join("portcullis"))
        .args(["user", "set-role", "bench", "user", "admin", "--config"])
        .arg(&gateway.config)
        .stdout(Stdio::null())
        .status()?;
    if !granted.success() {
        return Err("the role could not be given".into());
    }
    log_in(&gateway.address)
}

fn add_account(program: &Path, config: &str) -> Result<(), Failure> {
    let added = Command::new(program)
        .args(["user", "add", "bench", "--role", "user", "--config", config])
        .env("PORTCULLIS_PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .status()?;
    if !added.success() {
        return Err("the account could not be added".into());
    }
    Ok(())
}

/// What `/auth/login` takes for the one account.
pub fn credentials() -> String {
    json!({ "username": "bench", "password": PASSWORD }).to_string()
}

/// An access token of a new session.
pub fn log_in(address: &str) -> Result<String, Failure> {
    let answer = Client::connect(address)?.post("/auth/login", None, &credentials())?;
    let body: Value =
        serde_json::from_str(&answer.body).map_err(|_| format!("the login failed: {}", answer.body))?;
    Ok(body["access_token"].as_str().ok_or("a login without a token")?.to_owned())
}
