//! What a client sees of a gateway that isn't at its limit, beside what it sees of bare Pingora.

use std::time::Duration;

use super::{steady, verdict};
use crate::Failure;
use crate::gateway::{self, Gateway, Plan};
use crate::report::{median, quantile, say};
use crate::stage::{Bare, Stage};

const ROUNDS: usize = 9;
const LASTING: Duration = Duration::from_secs(3);
const MOST_US: f64 = 200.0;

/// Where requests go.
struct Way<'a> {
    name: &'a str,
    address: &'a str,
    token: Option<&'a str>,
}

impl<'a> Way<'a> {
    fn through(name: &'a str, gateway: &'a Gateway) -> Self {
        Self { name, address: &gateway.address, token: Some(&gateway.token) }
    }
}

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let bare = stage.bare()?;
    let redis_url = Stage::redis_url();
    let embedded = gateway::start(stage, &Plan::new(stage, 19040, "embedded")?)?;
    let redis = gateway::start(stage, &Plan::new(stage, 19050, &redis_url)?)?;
    let ways = [
        Way { name: "bare Pingora", address: Bare::ADDRESS, token: None },
        Way::through("JWT + revocation + limit + role, embedded", &embedded),
        Way::through("the same on Redis", &redis),
    ];
    let rounds = in_turns(&ways)?;
    drop(bare);
    say("| 2,000 requests/s | p50 µs | p99 µs | p99 above bare Pingora's |\n| --- | ---: | ---: | ---: |")?;
    for (at, way) in ways.iter().enumerate() {
        let of_share = |share: f64| median(rounds.iter().map(|round| quantile_of(&round[at], share)));
        let above =
            median(rounds.iter().map(|round| quantile_of(&round[at], 0.99) - quantile_of(&round[0], 0.99)));
        let judged =
            if at == 0 { String::new() } else { format!("{above:.0} µs: {}", verdict(above <= MOST_US)) };
        say(&format!("| {} | {:.0} | {:.0} | {judged} |", way.name, of_share(0.5), of_share(0.99)))?;
    }
    say(&format!("(target ≤ {MOST_US:.0} µs; medians of {ROUNDS} rounds, compared within each)"))?;
    Ok(())
}

/// For each round the latencies of each way, after one round to get warm.
fn in_turns(ways: &[Way<'_>]) -> Result<Vec<Vec<Vec<f64>>>, Failure> {
    let round = |_| ways.iter().map(measure).collect::<Result<Vec<_>, Failure>>();
    round(0)?;
    (0..ROUNDS).map(round).collect()
}

fn measure(way: &Way<'_>) -> Result<Vec<f64>, Failure> {
    steady::latencies(way.address, "/protected", way.token, LASTING)
}

fn quantile_of(latencies: &[f64], share: f64) -> f64 {
    quantile(latencies.iter().copied(), share)
}
