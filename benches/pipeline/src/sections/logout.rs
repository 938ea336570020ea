//! How long a token that was logged out at one gateway still passes at another, which shares its
//! accounts and its Redis.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_bench::token::Bearer;

use super::verdict;
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::process::LOAD_CORE;
use crate::report::{quantile, say};
use crate::stage::Stage;

const LOGOUTS: usize = 1000;
/// Longer than the logouts take; the load is ended with them.
const LOAD_SECONDS: u32 = 60;
const MOST_MS: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let redis_url = Stage::redis_url();
    let first = Plan::new(stage, 19080, &redis_url)?;
    let second = Plan { data: first.data.clone(), ..Plan::new(stage, 19090, &redis_url)? };
    let (a, b) = (gateway::start(stage, &first)?, gateway::start(stage, &second)?);
    let mut users = (0..).map(Bearer::user);
    let mut tokens = || users.by_ref().take(LOGOUTS).map(|user| user.mint()).collect::<Vec<_>>();
    print("nothing else to do", &delays(&a, &b, &tokens())?)?;

    let mut load = Command::new("taskset")
        .args(["-c", LOAD_CORE, "wrk", "-t1", "-c16", &format!("-d{LOAD_SECONDS}s")])
        .args([
            "-H",
            &format!("Authorization: Bearer {}", b.token),
            &format!("http://{}/protected", b.address),
        ])
        .stdout(Stdio::null())
        .spawn()?;
    let under_load = delays(&a, &b, &tokens());
    load.kill()?;
    load.wait()?;
    print("16 connections keep the other gateway busy", &under_load?)
}

/// Milliseconds from the answer to the logout until the answer to the first request that is
/// refused; the way to the gateway and back is part of it.
fn delays(a: &Gateway, b: &Gateway, tokens: &[String]) -> Result<Vec<f64>, Failure> {
    let mut here = Client::connect(&a.address)?;
    let mut there = Client::connect(&b.address)?;
    let mut delays = Vec::with_capacity(tokens.len());
    for token in tokens {
        expect("before the logout", there.get("/protected", Some(token))?.status, 200)?;
        expect("the logout", here.post("/auth/logout", Some(token), "")?.status, 204)?;
        let logged_out = Instant::now();
        while there.get("/protected", Some(token))?.status == 200 {
            if logged_out.elapsed() > PATIENCE {
                return Err("a token that was logged out stayed good".into());
            }
        }
        delays.push(logged_out.elapsed().as_secs_f64() * 1e3);
    }
    Ok(delays)
}

fn expect(what: &str, status: u16, wanted: u16) -> Result<(), Failure> {
    if status != wanted {
        return Err(format!("{what}: {status} instead of {wanted}").into());
    }
    Ok(())
}

fn print(when: &str, delays: &[f64]) -> Result<(), Failure> {
    let share = |share: f64| quantile(delays.iter().copied(), share);
    let (half, most, longest) = (share(0.5), share(0.99), share(1.0));
    say(&format!(
        "{} logouts, {when}: refused by the other gateway after p50 {half:.2} ms, p99 {most:.2} ms, at most {longest:.2} ms (target p99 ≤ {MOST_MS:.0} ms: {})",
        delays.len(),
        verdict(most <= MOST_MS)
    ))?;
    Ok(())
}
