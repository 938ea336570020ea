//! Whether the time of a refused login tells why: an unknown name, a wrong password, a disabled account.

use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::verdict;
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::report::{median, quantile, say};
use crate::stage::Stage;

const ROUNDS: usize = 300;
/// Each is tried in turn, so that none is locked.
const NAMES: usize = 5;
/// Of Welch's t between two kinds: what dudect calls a leak.
const MOST_T: f64 = 4.5;
const PASSWORD: &str = "correct horse battery staple";
const KINDS: [(&str, &str, u16); 4] = [
    ("unknown name", "unknown", 401),
    ("wrong password", "known", 401),
    ("disabled, wrong password", "disabled", 401),
    ("disabled, right password", "disabled", 403),
];

pub fn run(stage: &Stage) -> Result<(), Failure> {
    say(&format!(
        "{ROUNDS} tries of each, in turn; Welch's t against the unknown name, noise below {MOST_T}\n"
    ))?;
    for (port, state) in [(19100, "embedded".to_owned()), (19110, Stage::redis_url())] {
        let gateway = gateway::start(stage, &Plan::new(stage, port, &state)?)?;
        add_accounts(stage, &gateway)?;
        say(&format!("| state: {state} | p50 ms | p99 ms | t |\n| --- | ---: | ---: | ---: |"))?;
        let taken = measure(&gateway.address)?;
        let worst = taken.iter().map(|kind| welch(&taken[0], kind).abs()).fold(0.0, f64::max);
        for ((name, ..), took) in KINDS.iter().zip(&taken) {
            let (half, most) = (median(took.iter().copied()), quantile(took.iter().copied(), 0.99));
            say(&format!("| {name} | {half:.2} | {most:.2} | {:.1} |", welch(&taken[0], took)))?;
        }
        say(&format!("\nlargest |t|: {worst:.1} ({})\n", verdict(worst < MOST_T)))?;
    }
    Ok(())
}

/// By the command line, on the stores of the running gateway.
fn add_accounts(stage: &Stage, gateway: &Gateway) -> Result<(), Failure> {
    let run = |arguments: &[&str]| -> Result<(), Failure> {
        let done = Command::new(stage.programs.join("portcullis"))
            .args(arguments)
            .arg("--config")
            .arg(&gateway.config)
            .env("PORTCULLIS_PASSWORD", PASSWORD)
            .stdout(Stdio::null())
            .status()?;
        if done.success() { Ok(()) } else { Err(format!("{arguments:?} failed").into()) }
    };
    for number in 0..NAMES {
        run(&["user", "add", &format!("known{number}")])?;
        run(&["user", "add", &format!("disabled{number}")])?;
        run(&["user", "disable", &format!("disabled{number}")])?;
    }
    Ok(())
}

/// Milliseconds by kind; which comes first changes from round to round.
fn measure(address: &str) -> Result<Vec<Vec<f64>>, Failure> {
    let mut client = Client::connect(address)?;
    let mut taken = vec![Vec::with_capacity(ROUNDS); KINDS.len()];
    for round in 0..ROUNDS {
        for place in 0..KINDS.len() {
            let kind = (round + place) % KINDS.len();
            let (_, name, expected) = KINDS[kind];
            let password = if expected == 403 { PASSWORD } else { "not this one either" };
            let login = json!({ "username": format!("{name}{}", round % NAMES), "password": password });
            let began = Instant::now();
            let status = client.post("/auth/login", None, &login.to_string())?.status;
            taken[kind].push(began.elapsed().as_secs_f64() * 1e3);
            if status != expected {
                return Err(format!("{}: {status} instead of {expected}", KINDS[kind].0).into());
            }
        }
    }
    Ok(taken)
}

/// By how many of their common standard errors two means differ; a tenth of the slowest on each side, which
/// the machine's other work makes, is left out.
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let (one, other) = (Moments::of(one), Moments::of(other));
    let error = (one.variance / one.count + other.variance / other.count).sqrt();
    if error == 0.0 { 0.0 } else { (other.mean - one.mean) / error }
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(figures: &[f64]) -> Self {
        let bound = quantile(figures.iter().copied(), 0.9);
        let kept: Vec<f64> = figures.iter().copied().filter(|figure| *figure <= bound).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|figure| (figure - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { count, mean, variance }
    }
}
