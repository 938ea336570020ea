//! Whether the cache stays within its bounds: more keys than fit into Redis and into the process, for a
//! minute at full load. Not part of the whole bench, for its length; `soak-cache 600` takes ten minutes.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{soak, verdict};
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::process::LOAD_CORE;
use crate::report::say;
use crate::stage::Stage;
use crate::{Failure, redis};

const SECONDS: u64 = 60;
const KEYS: usize = 50_000;
/// 200 MB in all.
const BODY_BYTES: usize = 4096;
const REDIS_MIB: f64 = 64.0;
const PROCESS_MIB: f64 = 16.0;
const EVERY: Duration = Duration::from_millis(250);

const ROUTE: &str = "  - { path: \"/bytes/{*rest}\", methods: [GET], upstream: backend, access: { roles: [user] }, limits: [per-user], cache: { ttl: 1h, vary_by: shared } }\n";

/// All keys once, one after the other, then any of them.
const SCRIPT: &str = r#"
local at = 0
request = function()
  at = at + 1
  local key = at <= KEYS and at or math.random(KEYS)
  return wrk.format("GET", "/bytes/BYTES/" .. key)
end
"#;

/// What one look at both tiers showed; in MiB.
struct Held {
    redis: f64,
    process: f64,
    resident: f64,
}

pub fn run(stage: &Stage, seconds: Option<&str>) -> Result<(), Failure> {
    let seconds = seconds.map_or(Ok(SECONDS), str::parse)?;
    say(&format!(
        "\n## Cache soak: {seconds} s at full load, {KEYS} keys of {BODY_BYTES} bytes, {REDIS_MIB} MiB of Redis, {PROCESS_MIB} MiB of process memory\n"
    ))?;
    redis::command(&format!("CONFIG SET maxmemory {REDIS_MIB}mb"))?;
    redis::command("CONFIG SET maxmemory-policy volatile-ttl")?;
    let redis_url = Stage::redis_url();
    let memory = format!("cache: {{ memory: {PROCESS_MIB}MiB }}");
    let plan = Plan { more: &memory, more_routes: ROUTE, ..Plan::new(stage, 19190, &redis_url)? };
    let gateway = gateway::start(stage, &plan)?;
    let before = gateway.process.resident_kib()? as f64 / 1024.0;
    let samples = soak::sample(load(stage, &gateway, seconds)?, EVERY, || look(&gateway))?;
    report(&gateway, before, &samples)
}

fn load(stage: &Stage, gateway: &Gateway, seconds: u64) -> Result<Child, Failure> {
    let script = stage.folder("soak-cache-load")?.join("keys.lua");
    let text = SCRIPT.replace("KEYS", &KEYS.to_string()).replace("BYTES", &BODY_BYTES.to_string());
    std::fs::write(&script, text)?;
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", LOAD_CORE, "wrk", "-t1", "-c64", &format!("-d{seconds}s"), "-s"]).arg(&script);
    wrk.args(["-H", &format!("Authorization: Bearer {}", gateway.token)]);
    wrk.arg(format!("http://{}/", gateway.address)).stdout(Stdio::piped());
    Ok(wrk.spawn().map_err(|error| format!("running wrk: {error}"))?)
}

fn look(gateway: &Gateway) -> Result<Held, Failure> {
    let in_mib = |bytes: f64| bytes / f64::from(1 << 20);
    let process = metric(gateway, "portcullis_cache_bytes", "tier=\"process\"")?;
    Ok(Held {
        redis: in_mib(limited_by_redis()?),
        process: in_mib(process),
        resident: gateway.process.resident_kib()? as f64 / 1024.0,
    })
}

/// What Redis compares with `maxmemory`: all it uses but the buffers of replicas and of the append-only file. It
/// does so before it runs a command, so what this one takes in turn isn't part of it.
fn limited_by_redis() -> Result<f64, Failure> {
    let memory = redis::command("INFO memory")?;
    let asking = redis::command("CLIENT INFO")?;
    let asking = asking.split(' ').find_map(|word| word.strip_prefix("tot-mem="));
    let asking: f64 = asking.ok_or("Redis doesn't say what a client takes")?.parse()?;
    Ok(figure(&memory, "used_memory")? - figure(&memory, "mem_not_counted_for_evict")? - asking)
}

/// A figure of Redis' `INFO`.
fn figure(info: &str, field: &str) -> Result<f64, Failure> {
    let figure = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(figure.ok_or_else(|| format!("Redis says nothing of {field}"))?.trim().parse()?)
}

/// The sum of the series that have this label.
fn metric(gateway: &Gateway, name: &str, label: &str) -> Result<f64, Failure> {
    let page = Client::connect(&gateway.admin_address)?.get("/metrics", None)?.body;
    let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
    Ok(lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .fold(0.0, |sum, value| sum + value))
}

fn report(gateway: &Gateway, before: f64, samples: &[Held]) -> Result<(), Failure> {
    let most = |figure: fn(&Held) -> f64| samples.iter().map(figure).fold(0.0, f64::max);
    let (redis, process, resident) =
        (most(|held| held.redis), most(|held| held.process), most(|held| held.resident));
    say(&format!(
        "Redis: {redis:.3} MiB at most (target ≤ {REDIS_MIB}: {}), {} keys evicted",
        verdict(redis <= REDIS_MIB),
        figure(&redis::command("INFO stats")?, "evicted_keys")?
    ))?;
    say(&format!(
        "process tier: {process:.1} MiB at most (target ≤ {PROCESS_MIB}: {}); resident {before:.1} MiB before, {resident:.1} MiB at most",
        verdict(process <= PROCESS_MIB)
    ))?;
    let outcomes = ["hit", "miss", "bypass"].map(|outcome| {
        let label = format!("outcome=\"{outcome}\"");
        metric(gateway, "portcullis_cache_requests_total", &label).map(|count| format!("{outcome} {count}"))
    });
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    say(&format!("requests: {}", outcomes.join(", ")))?;
    let misses = metric(gateway, "portcullis_cache_requests_total", "outcome=\"miss\"")?;
    if misses < KEYS as f64 {
        return Err(format!("only {misses} of {KEYS} keys were asked for; let it run for longer").into());
    }
    Ok(())
}
