//! `./dev peers`: the gateway's work on other proxies, as far as each can do it, side by side with
//! the gateway in one run.

mod check;
pub mod start;
mod targets;

use crate::Failure;
use crate::gateway::{self, Plan};
use crate::process::Process;
use crate::report::{self, say};
use crate::stage::{Bare, Stage};
use crate::wrk::{self, Subject};

/// Many short ones: the machine's speed changes, and what is compared should lie close together.
const ROUNDS: usize = 13;
const SECONDS: u32 = 1;

/// Another proxy, ready to be measured.
pub struct Peer {
    pub name: &'static str,
    pub address: String,
    pub processes: Vec<Process>,
    /// Whether it has a list of revoked tokens.
    revokes: bool,
}

impl Peer {
    pub fn subject(&self, path: &str, token: &str) -> Subject<'_> {
        Subject {
            name: self.name,
            processes: self.processes.iter().collect(),
            url: format!("http://{}{path}", self.address),
            token: Some(token.to_owned()),
            more: Vec::new(),
        }
    }
}

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let bare = stage.bare()?;
    let redis_url = Stage::redis_url();
    let redis = gateway::start(stage, &Plan::new(stage, 19020, &redis_url)?)?;
    let embedded = gateway::start(stage, &Plan::new(stage, 19010, "embedded")?)?;
    for gateway in [&redis, &embedded] {
        check::refusals(&gateway.address, &gateway.token)?;
    }
    let peers = peers(stage, &redis.token)?;

    let mut subjects = vec![
        Subject {
            name: "(a) bare Pingora passthrough",
            processes: vec![&bare.process],
            url: Bare::url(),
            token: None,
            more: Vec::new(),
        },
        redis.subject(targets::ON_REDIS, "/protected", true),
        embedded.subject(targets::EMBEDDED, "/protected", true),
    ];
    subjects.extend(peers.iter().map(|peer| peer.subject("/protected", &redis.token)));
    let rows = wrk::in_turns(&subjects, ROUNDS, SECONDS)?;
    report::print_rows(&rows)?;
    targets::print(&rows)?;
    Ok(())
}

/// Those that are to be had. Each has refused what the gateway refuses.
fn peers(stage: &Stage, token: &str) -> Result<Vec<Peer>, Failure> {
    let mut ready = Vec::new();
    for (name, start) in start::ALL {
        let peer = start(stage, name).and_then(|peer| {
            check::refusals(&peer.address, token)?;
            if peer.revokes {
                check::revocation(&peer.address)?;
            }
            Ok(peer)
        });
        match peer {
            Ok(peer) => ready.push(peer),
            Err(reason) => say(&format!("NOT MEASURED: {name}: {reason}\n"))?,
        }
    }
    Ok(ready)
}
