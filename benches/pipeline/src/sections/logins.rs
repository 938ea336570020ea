//! Whether those who are being proxied notice that others log in: hashing a password takes as long
//! as hundreds of requests.

use std::time::Duration;

use super::flood::{self, Tally};
use super::{steady, verdict};
use crate::Failure;
use crate::gateway::{self, Plan};
use crate::report::{median, quantile, say};
use crate::stage::Stage;

const ROUNDS: usize = 5;
const LASTING: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 64;
/// `auth.password.queue` has 64 places, so half of these find none.
const TOO_MANY: usize = 130;
const MOST: f64 = 1.5;

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let gateway = gateway::start(stage, &Plan::new(stage, 19040, "embedded")?)?;
    let proxied = || steady::latencies(&gateway.address, "/public", None, LASTING);
    let (mut idle, mut flooded, mut logins) = (Vec::new(), Vec::new(), Tally::new());
    proxied()?;
    for _ in 0..ROUNDS {
        idle.push(proxied()?);
        let (latencies, tally) = flood::during(&gateway.address, CONNECTIONS, proxied)?;
        flooded.push(latencies);
        tally.into_iter().for_each(|(status, took)| logins.entry(status).or_default().extend(took));
    }
    say("| 2,000 requests/s on a public route | p50 µs | p99 µs |\n| --- | ---: | ---: |")?;
    print_latencies("idle", &idle)?;
    print_latencies("64 connections log in without pause", &flooded)?;
    let ratio = median(idle.iter().zip(&flooded).map(|(idle, flooded)| p99(flooded) / p99(idle)));
    say(&format!("\nratio of p99: {ratio:.2} (target ≤ {MOST}: {})", verdict(ratio <= MOST)))?;
    print_logins("64 connections", &logins)?;

    let pause = || {
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    };
    let ((), tally) = flood::during(&gateway.address, TOO_MANY, pause)?;
    print_logins(&format!("{TOO_MANY} connections, more than the queue holds"), &tally)
}

fn p99(latencies: &[f64]) -> f64 {
    quantile(latencies.iter().copied(), 0.99)
}

fn print_latencies(name: &str, rounds: &[Vec<f64>]) -> Result<(), Failure> {
    let p50 = median(rounds.iter().map(|round| median(round.iter().copied())));
    let p99 = median(rounds.iter().map(|round| p99(round)));
    say(&format!("| {name} | {p50:.0} | {p99:.0} |"))?;
    Ok(())
}

fn print_logins(who: &str, tally: &Tally) -> Result<(), Failure> {
    for (status, took) in tally {
        let share = |share: f64| quantile(took.iter().copied(), share);
        let (count, half, most) = (took.len(), share(0.5), share(0.99));
        say(&format!("logins of {who}: {count} got {status}, p50 {half:.1} ms, p99 {most:.1} ms"))?;
    }
    Ok(())
}
