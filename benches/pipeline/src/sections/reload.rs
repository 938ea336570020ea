//! Whether reloads are felt: 5,000 routes saved anew five times a second while the gateway is at full
//! load, beside the same load while they are saved where the gateway doesn't look: writing such files takes its
//! part of the load generator's core. Not part of the whole bench, for its length; `reload 10` takes less.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::routes::{self, FEW};
use super::verdict;
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::report::say;
use crate::stage::Stage;
use crate::wrk::{self, Sample, Subject};

const SECONDS: u32 = 60;
const ROUTES: usize = 5_000;
const EVERY: Duration = Duration::from_millis(200);
/// No two reloads come within this.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Until the gateway has noticed a file by itself and taken it up.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST: f64 = 1.3;
const TAKEN_UP_AT: &str = "portcullis_config_last_reload_success_timestamp_seconds";

pub fn run(stage: &Stage, seconds: Option<&str>) -> Result<(), Failure> {
    let seconds = seconds.map_or(Ok(SECONDS), str::parse)?;
    say(&format!("\n## Reloads of {ROUTES} routes at full load, {seconds} s\n"))?;
    let (limits, many) = (routes::limits(FEW), routes::routes(ROUTES, FEW));
    let plan = Plan { more_limits: &limits, more_routes: &many, ..Plan::new(stage, 19050, "embedded")? };
    let gateway = gateway::start(stage, &plan)?;
    let subject = gateway.subject("5,000 routes", "/protected", true);
    wrk::run(&subject, 1)?;
    let elsewhere = stage.folder("elsewhere")?.join("gateway.yaml");
    let (calm, _) =
        under_load(&subject, seconds, |is_over| save_until(&gateway, &plan, &elsewhere, is_over))?;
    let (loaded, reloads) =
        under_load(&subject, seconds, |is_over| save_until(&gateway, &plan, &gateway.config, is_over))?;
    let times = loaded.p99_ms / calm.p99_ms;
    say(&format!(
        "{reloads} of {} files taken up, no failed request; p99 {:.2} ms, without reloads {:.2} ms: {times:.2} times (target ≤ {MOST}: {}); requests/s {:.0}, without {:.0}",
        u128::from(seconds) * 1000 / EVERY.as_millis(),
        loaded.p99_ms,
        calm.p99_ms,
        verdict(times <= MOST),
        loaded.requests_per_second,
        calm.requests_per_second,
    ))?;
    Ok(())
}

/// What load and `work`, which goes on until it is over, come to. Any answer but 2xx is an error.
fn under_load<T: Send>(
    subject: &Subject<'_>,
    seconds: u32,
    work: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send,
) -> Result<(Sample, T), Failure> {
    let is_over = AtomicBool::new(false);
    let (sample, done) = std::thread::scope(|scope| {
        let working = scope.spawn(|| work(&is_over));
        let sample = wrk::run(subject, seconds);
        is_over.store(true, Ordering::Release);
        (sample, working.join())
    });
    Ok((sample?, done.map_err(|_| "the thread beside the load panicked")??))
}

/// Saves another file to `path` every 200 ms; how many of them were taken up.
fn save_until(
    gateway: &Gateway,
    plan: &Plan<'_>,
    path: &Path,
    is_over: &AtomicBool,
) -> Result<usize, Failure> {
    let mut admin = Client::connect(&gateway.admin_address)?;
    let (text, mut before) = (plan.yaml(), reload_time(&mut admin)?);
    let (mut saved, mut taken_up, mut last_taken_up) = (0, 0, Instant::now());
    let begun = Instant::now();
    while !is_over.load(Ordering::Acquire) {
        if begun.elapsed() >= EVERY * saved {
            let route = format!("  - {{ path: /new-{saved}, upstream: backend, access: public }}\n");
            routes::save(path, &(text.clone() + &route))?;
            saved += 1;
        }
        std::thread::sleep(LOOK_EVERY);
        let now = reload_time(&mut admin)?;
        if now != before {
            (before, last_taken_up) = (now, Instant::now());
            taken_up += 1;
        }
        if path == gateway.config && last_taken_up.elapsed() > PATIENCE {
            return Err("no file was taken up for too long".into());
        }
    }
    Ok(taken_up)
}

/// When the gateway last took up a file, as its metrics say.
fn reload_time(admin: &mut Client) -> Result<String, Failure> {
    let page = admin.get("/metrics", None)?.body;
    let value = page.lines().find_map(|line| line.strip_prefix(TAKEN_UP_AT)).map(str::trim);
    Ok(value.ok_or("no time of a reload among the metrics")?.to_owned())
}
