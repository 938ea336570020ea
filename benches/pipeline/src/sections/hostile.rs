//! Whether honest clients notice hostile ones: ten minutes of slow heads, slow readers, half-open uploads,
//! resets, pipelining, probes and floods from many loopback addresses beside 2,000 honest requests a second.
//! Not part of the whole bench, for its length; `hostile 60` takes a minute.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::attack::Attack;
use super::{memory, steady, verdict};
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::report::{median, quantile, say};
use crate::stage::Stage;

const SECONDS: u64 = 600;
const WINDOW: Duration = Duration::from_secs(5);
const QUIET_WINDOWS: usize = 5;
const EVERY: Duration = Duration::from_secs(1);
/// Of p99, beside that of the quiet windows.
const MOST: f64 = 2.0;
/// Of the resident memory and the descriptors in the second fifth of the time.
const MOST_GROWTH: f64 = 1.05;
/// How long the admin port may take to answer.
const ADMIN_PATIENCE: Duration = Duration::from_secs(1);

const ROUTE: &str = "  - { path: \"/bytes/{*rest}\", methods: [GET], upstream: backend, access: public }\n";

/// What one look at the gateway showed.
struct Look {
    resident_mib: f64,
    descriptors: f64,
    admin: Duration,
}

pub fn run(stage: &Stage, seconds: Option<&str>) -> Result<(), Failure> {
    let lasting = Duration::from_secs(seconds.map_or(Ok(SECONDS), str::parse)?);
    say(&format!("\n## Hostile clients: {} s beside 2,000 honest requests/s\n", lasting.as_secs()))?;
    memory::open_files()?;
    let gateway =
        gateway::start(stage, &Plan { more_routes: ROUTE, ..Plan::new(stage, 19200, "embedded")? })?;
    window(&gateway)?;
    let quiet = (0..QUIET_WINDOWS).map(|_| window(&gateway)).collect::<Result<Vec<_>, _>>()?;
    let over = AtomicBool::new(false);
    let (hostile, looks, tally) = std::thread::scope(|scope| {
        let attack = Attack::start(&gateway.address)?;
        let watch = scope.spawn(|| watch(&gateway, &over));
        let hostile = windows(&gateway, lasting);
        over.store(true, Ordering::Relaxed);
        let looks = watch.join().map_err(|_| "watching failed")??;
        Ok::<_, Failure>((hostile?, looks, attack.end()))
    })?;
    say(&format!("attackers: {tally}"))?;
    report(&quiet, &hostile, &looks)
}

/// The p99 of one window. A request that isn't answered with 200 ends the bench.
fn window(gateway: &Gateway) -> Result<f64, Failure> {
    let latencies = steady::latencies(&gateway.address, "/protected", Some(&gateway.token), WINDOW)
        .map_err(|reason| format!("an honest request failed: {reason}"))?;
    Ok(quantile(latencies.into_iter(), 0.99))
}

fn windows(gateway: &Gateway, lasting: Duration) -> Result<Vec<f64>, Failure> {
    let begun = Instant::now();
    let mut windows = Vec::new();
    while begun.elapsed() < lasting {
        windows.push(window(gateway)?);
    }
    Ok(windows)
}

fn watch(gateway: &Gateway, over: &AtomicBool) -> Result<Vec<Look>, Failure> {
    let mut looks = Vec::new();
    while !over.load(Ordering::Relaxed) {
        looks.push(look(gateway)?);
        std::thread::sleep(EVERY);
    }
    Ok(looks)
}

fn look(gateway: &Gateway) -> Result<Look, Failure> {
    let asked = Instant::now();
    let status = Client::connect(&gateway.admin_address)?.get("/healthz", None)?.status;
    if status != 200 {
        return Err(format!("/healthz got {status}").into());
    }
    let descriptors = PathBuf::from(format!("/proc/{}/fd", gateway.process.id())).read_dir()?.count();
    Ok(Look {
        resident_mib: gateway.process.resident_kib()? as f64 / 1024.0,
        descriptors: descriptors as f64,
        admin: asked.elapsed(),
    })
}

fn report(quiet: &[f64], hostile: &[f64], looks: &[Look]) -> Result<(), Failure> {
    let (before, meanwhile) = (median(quiet.iter().copied()), median(hostile.iter().copied()));
    let ratio = meanwhile / before;
    say(&format!(
        "p99 of honest requests: {before:.0} µs quiet, {meanwhile:.0} µs meanwhile, ratio {ratio:.2} (target ≤ {MOST}: {}); none failed",
        verdict(ratio <= MOST)
    ))?;
    print_growth("resident MiB", looks.iter().map(|look| look.resident_mib).collect())?;
    print_growth("descriptors", looks.iter().map(|look| look.descriptors).collect())?;
    let slowest = looks.iter().map(|look| look.admin).max().unwrap_or_default();
    let is_met = slowest <= ADMIN_PATIENCE;
    say(&format!(
        "the admin port answered within {} ms throughout: {}",
        slowest.as_millis(),
        verdict(is_met)
    ))?;
    Ok(())
}

fn print_growth(what: &str, samples: Vec<f64>) -> Result<(), Failure> {
    let fifth = samples.len().div_ceil(5).max(1);
    let fifths: Vec<f64> = samples.chunks(fifth).map(|fifth| median(fifth.iter().copied())).collect();
    let (Some(second), Some(last)) = (fifths.get(1), fifths.last()) else {
        return Err("too short to tell".into());
    };
    let growth = last / second;
    let each: Vec<String> = fifths.iter().map(|fifth| format!("{fifth:.1}")).collect();
    say(&format!(
        "{what} by fifths of the time: {}; last over second {growth:.3} (target ≤ {MOST_GROWTH}: {})",
        each.join(", "),
        verdict(growth <= MOST_GROWTH)
    ))?;
    Ok(())
}
