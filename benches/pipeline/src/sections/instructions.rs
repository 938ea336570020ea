//! What a request takes outside the kernel, however busy the machine is: instructions and allocations,
//! counted by valgrind's callgrind over many requests on one connection.

use std::path::Path;
use std::process::Command;

use portcullis_bench::token::Bearer;

use super::verdict;
use crate::Failure;
use crate::callgrind::{Counts, Recorder};
use crate::client::Client;
use crate::gateway::Plan;
use crate::report::say;
use crate::sections::routes;
use crate::stage::{Bare, Stage, UPSTREAM};

/// What the program does beside requests, such as looking whether its file has changed, falls into one
/// of these, and the one with the least counts.
const RECORDS: usize = 3;
const REQUESTS: u32 = 1000;
const WARM_UP: u32 = 200;
const MOST_ALLOCATIONS: f64 = 10.0;
const MOST_OF_ROUTES: f64 = 1.05;

pub fn run(stage: &Stage) -> Result<(), Failure> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err("valgrind isn't installed".into());
    }
    say(
        "| subject | instructions per request | over bare | allocations per request | over bare |\n| --- | ---: | ---: | ---: | ---: |",
    )?;
    let bare = of_bare(stage)?;
    print("bare Pingora", &bare, &bare)?;
    let redis_url = Stage::redis_url();
    let (few, few_limits) = (routes::routes(routes::FEW, routes::FEW), routes::limits(routes::FEW));
    let (many, many_limits) =
        (routes::routes(routes::ROUTES, routes::LIMITS), routes::limits(routes::LIMITS));
    let plan = |port, state| Plan::new(stage, port, state);
    let closed = Plan { more: "forwarding: { fast_lane: false }", ..plan(19070, "embedded")? };
    let few = Plan { more_routes: &few, more_limits: &few_limits, ..plan(19080, "embedded")? };
    let many = Plan { more_routes: &many, more_limits: &many_limits, ..plan(19090, "embedded")? };
    let subjects = [
        ("public route", "/public", plan(19040, "embedded")?),
        ("JWT + revocation + limit + role, embedded", "/protected", plan(19050, "embedded")?),
        ("the same on Redis", "/protected", plan(19060, &redis_url)?),
        ("the same, embedded, with the fast lane closed", "/protected", closed),
        ("JWT + revocation + limit, one of 10 routes", "/service-7/x/items", few),
        ("the same, one of 10,000 routes, with 1,000 limits", "/service-7006/x/items", many),
    ];
    let mut counted = Vec::new();
    for (name, path, plan) in &subjects {
        let counts = of_gateway(stage, plan, path)?;
        print(name, &counts, &bare)?;
        counted.push(counts);
    }
    judge(&bare, &counted)?;
    let hit = of_gateway(stage, &plan(19100, &redis_url)?, "/cached")?;
    say("\n| hits | | | | |\n| --- | ---: | ---: | ---: | ---: |")?;
    print("from the process tier", &hit, &bare)
}

fn judge(bare: &Counts, counted: &[Counts]) -> Result<(), Failure> {
    let [_, embedded, redis, _, few, many] = counted else { return Err("not all were counted".into()) };
    for (name, counts) in [("embedded", embedded), ("on Redis", redis)] {
        let more = counts.allocations - bare.allocations;
        say(&format!(
            "\n{name}: {more:+.1} allocations per request over bare Pingora (target ≤ {MOST_ALLOCATIONS}: {})",
            verdict(more <= MOST_ALLOCATIONS)
        ))?;
    }
    let ratio = many.instructions / few.instructions;
    say(&format!(
        "10,000 routes and 1,000 limits against 10 routes: {ratio:.3} times the instructions (target ≤ {MOST_OF_ROUTES}: {})",
        verdict(ratio <= MOST_OF_ROUTES)
    ))?;
    Ok(())
}

fn of_bare(stage: &Stage) -> Result<Counts, Failure> {
    let program = stage.programs.join("bare-pingora");
    record(stage, "bare", &program, &[Bare::ADDRESS, UPSTREAM], Bare::ADDRESS, "/public", None)
}

fn of_gateway(stage: &Stage, plan: &Plan<'_>, path: &str) -> Result<Counts, Failure> {
    let name = plan.port.to_string();
    let config = stage.folder(&name)?.join("gateway.yaml");
    std::fs::write(&config, plan.yaml())?;
    let config = config.to_str().ok_or("the folder's name is not UTF-8")?;
    let program = stage.programs.join("portcullis");
    let address = format!("127.0.0.1:{}", plan.port);
    let token = Bearer::user(1).mint();
    let token = (path != "/public").then_some(token.as_str());
    record(stage, &name, &program, &["serve", "--config", config], &address, path, token)
}

fn record(
    stage: &Stage,
    name: &str,
    program: &Path,
    arguments: &[&str],
    address: &str,
    path: &str,
    token: Option<&str>,
) -> Result<Counts, Failure> {
    let mut recorder =
        Recorder::start(&stage.folder(&format!("{name}-callgrind"))?, program, arguments, address)?;
    let mut client = Client::connect(address)?;
    let mut ask = |times: u32| -> Result<(), Failure> {
        for _ in 0..times {
            let status = client.get(path, token)?.status;
            if status != 200 {
                return Err(format!("{path} got {status}").into());
            }
        }
        Ok(())
    };
    ask(WARM_UP)?;
    let mut least: Option<Counts> = None;
    for _ in 0..RECORDS {
        let counts = recorder.record(|| ask(REQUESTS))?.per(REQUESTS);
        least = Some(least.filter(|least| least.instructions <= counts.instructions).unwrap_or(counts));
    }
    least.ok_or_else(|| "nothing was recorded".into())
}

fn print(name: &str, counts: &Counts, bare: &Counts) -> Result<(), Failure> {
    say(&format!(
        "| {name} | {:.0} | {:.2} | {:.1} | {:+.1} |",
        counts.instructions,
        counts.instructions / bare.instructions,
        counts.allocations,
        counts.allocations - bare.allocations
    ))?;
    Ok(())
}
