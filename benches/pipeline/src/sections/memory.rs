//! What a connection costs that made one request and stays open.

use std::net::TcpStream;
use std::process::Command;

use super::verdict;
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Plan};
use crate::process::Process;
use crate::report::say;
use crate::stage::{Bare, Stage};

const CONNECTIONS: usize = 5000;
/// Files that are open besides.
const SPARE: usize = 200;
const MOST: f64 = 2.5;
/// Opened and closed first, so that what is allocated once isn't counted.
const WARM_UP: usize = 200;

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let connections = CONNECTIONS.min(open_files()?.saturating_sub(SPARE));
    if connections < CONNECTIONS {
        say(&format!("only {connections} connections: the system allows no more open files"))?;
    }
    let bare = stage.bare()?;
    let of_bare = per_connection(&bare.process, Bare::ADDRESS, None, connections)?;
    drop(bare);
    let gateway = gateway::start(stage, &Plan::new(stage, 19100, "embedded")?)?;
    let of_gateway = per_connection(&gateway.process, &gateway.address, Some(&gateway.token), connections)?;
    let ratio = of_gateway / of_bare;
    say(&format!(
        "{connections} connections after one request each: {of_bare:.1} KiB per connection of bare Pingora, {of_gateway:.1} KiB of the gateway; ratio {ratio:.2} (target ≤ {MOST}: {})",
        verdict(ratio <= MOST)
    ))?;
    Ok(())
}

/// In KiB, resident.
fn per_connection(
    process: &Process,
    address: &str,
    token: Option<&str>,
    count: usize,
) -> Result<f64, Failure> {
    drop(open(address, token, WARM_UP)?);
    let before = process.resident_kib()?;
    let connections = open(address, token, count)?;
    let after = process.resident_kib()?;
    Ok(after.saturating_sub(before) as f64 / connections.len() as f64)
}

fn open(address: &str, token: Option<&str>, count: usize) -> Result<Vec<TcpStream>, Failure> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = Client::connect(address)?;
        let status = client.get("/protected", token)?.status;
        if status != 200 {
            return Err(format!("/protected got {status}").into());
        }
        connections.push(client.into_connection());
    }
    Ok(connections)
}

/// How many this program and those it starts from now on may open, after asking for as many as
/// the system lets it have.
pub fn open_files() -> Result<usize, Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).ok_or("no limit on files")?;
    let hard = line.split_whitespace().nth(4).ok_or("no figure for open files")?;
    let id = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &id, &format!("--nofile={hard}:{hard}")]).status()?;
    if !raised.success() {
        return Err("the limit on open files can't be raised".into());
    }
    Ok(hard.parse().unwrap_or(usize::MAX))
}
