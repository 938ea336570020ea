//! How often a request makes the gateway ask Redis, which is what a whole fleet shares.

use std::time::{Duration, Instant};

use portcullis_bench::token::Bearer;

use super::verdict;
use crate::client::Client;
use crate::gateway::{self, Plan};
use crate::redis::Monitor;
use crate::report::say;
use crate::stage::Stage;
use crate::{Failure, redis};

const HOT_USERS: usize = 10;
const HOT_LASTING: Duration = Duration::from_secs(4);
const HOT_MOST: f64 = 0.05;
const USERS_ONCE: usize = 10_000;
const ONCE_MOST: f64 = 1.0;
const CONNECTIONS: usize = 16;
/// The share of commands that have nothing to do with requests, such as reading a stream now and
/// then; they aren't to decide.
const OF_ITSELF: f64 = 0.01;

/// What a limit may well be; at a million a second, a bucket is empty again before it can be leased.
const LIMIT: &str = "  ten-thousand: { rate: 10000/1s, by: user }";
const ROUTE: &str =
    "  - { path: /usual, upstream: backend, access: { roles: [user] }, limits: [ten-thousand] }";

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let redis_url = Stage::redis_url();
    let plan = Plan { more_limits: LIMIT, more_routes: ROUTE, ..Plan::new(stage, 19070, &redis_url)? };
    let gateway = gateway::start(stage, &plan)?;
    let hot: Vec<String> = (0..HOT_USERS).map(|number| Bearer::user(number).mint()).collect();
    for (path, limit) in [("/usual", "10,000"), ("/protected", "1,000,000")] {
        let until = Instant::now() + HOT_LASTING;
        measure(&format!("10 users, over and over, limit {limit}/s"), HOT_MOST, || {
            over_connections(&gateway.address, path, |connection| {
                let mine = hot.iter().cycle().skip(connection);
                mine.take_while(|_| Instant::now() < until).cloned()
            })
        })?;
    }
    let once: Vec<String> = (0..USERS_ONCE).map(|number| Bearer::user(HOT_USERS + number).mint()).collect();
    measure("10,000 users, one request each", ONCE_MOST, || {
        over_connections(&gateway.address, "/usual", |connection| {
            once.iter().skip(connection).step_by(CONNECTIONS).cloned()
        })
    })
}

fn measure(who: &str, most: f64, load: impl FnOnce() -> Result<usize, Failure>) -> Result<(), Failure> {
    redis::command("CONFIG RESETSTAT")?;
    let monitor = Monitor::start()?;
    let requests = load()?;
    let executed = executed()? as f64 / requests as f64;
    let sent = monitor.stop()?;
    let per_request = sent.values().sum::<usize>() as f64 / requests as f64;
    let names: Vec<String> = sent.iter().map(|(name, count)| format!("{count} {name}")).collect();
    say(&format!(
        "{who}: {requests} requests, {per_request:.3} commands sent per request (target ≤ {most}: {}): {}; {executed:.2} executed, those within scripts included",
        verdict(per_request <= most * (1.0 + OF_ITSELF)),
        names.join(", ")
    ))?;
    Ok(())
}

/// One request for each token; how many there were.
fn over_connections<T: Iterator<Item = String> + Send>(
    address: &str,
    path: &str,
    tokens: impl Fn(usize) -> T,
) -> Result<usize, Failure> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                let tokens = tokens(connection);
                scope.spawn(move || one_connection(address, path, tokens))
            })
            .collect();
        let mut requests = 0;
        for worker in workers {
            requests += worker.join().map_err(|_| "a client panicked")??;
        }
        Ok(requests)
    })
}

fn one_connection(address: &str, path: &str, tokens: impl Iterator<Item = String>) -> Result<usize, Failure> {
    let mut client = Client::connect(address)?;
    let mut requests = 0;
    for token in tokens {
        let status = client.get(path, Some(&token))?.status;
        if status != 200 {
            return Err(format!("a good token got {status}").into());
        }
        requests += 1;
    }
    Ok(requests)
}

/// By `INFO commandstats`, which counts what scripts call, too.
fn executed() -> Result<u64, Failure> {
    let stats = redis::command("INFO commandstats")?;
    let of_gateway = stats.lines().filter(|line| {
        !["info", "config", "monitor"].iter().any(|own| line.starts_with(&format!("cmdstat_{own}")))
    });
    let calls =
        of_gateway.filter_map(|line| line.split_once(":calls=")?.1.split(',').next()?.parse::<u64>().ok());
    Ok(calls.sum())
}
