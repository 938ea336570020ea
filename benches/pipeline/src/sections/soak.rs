//! Whether memory grows: full load for ten minutes, by more users than any of the gateway's own tables
//! holds. Not part of the whole bench, for its length; `soak 60` takes a minute.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_bench::token::Bearer;

use super::verdict;
use crate::Failure;
use crate::gateway::{self, Gateway, Plan};
use crate::process::LOAD_CORE;
use crate::report::{median, say};
use crate::stage::Stage;

const SECONDS: u64 = 600;
const USERS: usize = 200_000;
/// Of the resident memory in the second fifth of the time, by which all tables are full.
const MOST_GROWTH: f64 = 1.02;
const EVERY: Duration = Duration::from_secs(1);

/// Each request by the next of all users.
const SCRIPT: &str = r#"
local requests, at = {}, 0
for token in io.lines("TOKENS") do
  requests[#requests + 1] = "GET /protected HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " .. token .. "\r\n\r\n"
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"#;

pub fn run(stage: &Stage, seconds: Option<&str>) -> Result<(), Failure> {
    let seconds = seconds.map_or(Ok(SECONDS), str::parse)?;
    say(&format!("\n## Soak: {seconds} s at full load, {USERS} users\n"))?;
    for (name, port, state) in [("embedded", 19040, "embedded"), ("on Redis", 19050, &*Stage::redis_url())] {
        let gateway = gateway::start(stage, &Plan::new(stage, port, state)?)?;
        let script = write_script(&stage.folder(&format!("{port}-load"))?)?;
        let resident = || Ok(gateway.process.resident_kib()? as f64 / 1024.0);
        let samples = sample(load(&gateway, &script, seconds)?, EVERY, resident)?;
        report(name, &samples)?;
    }
    Ok(())
}

fn write_script(folder: &Path) -> Result<String, Failure> {
    let tokens = folder.join("tokens");
    let lines = (0..USERS).fold(String::new(), |mut lines, number| {
        let _ = writeln!(lines, "{}", Bearer::user(number).mint());
        lines
    });
    std::fs::write(&tokens, lines)?;
    let script = folder.join("users.lua");
    std::fs::write(&script, SCRIPT.replace("TOKENS", &tokens.display().to_string()))?;
    Ok(script.display().to_string())
}

fn load(gateway: &Gateway, script: &str, seconds: u64) -> Result<Child, Failure> {
    let url = format!("http://{}/", gateway.address);
    let duration = format!("-d{seconds}s");
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", LOAD_CORE, "wrk", "-t1", "-c64", &duration, "-s", script, &url]).stdout(Stdio::piped());
    Ok(wrk.spawn().map_err(|error| format!("running wrk: {error}"))?)
}

/// What `look` sees at this pace until the load is over. Any answer but 2xx fails the bench.
pub fn sample<T>(
    mut wrk: Child,
    every: Duration,
    mut look: impl FnMut() -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut samples = Vec::new();
    let mut due = Instant::now();
    while wrk.try_wait()?.is_none() {
        samples.push(look()?);
        due += every;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let output = wrk.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") || !output.status.success() {
        return Err(format!("not every answer was good:\n{text}").into());
    }
    let rate = text.lines().find(|line| line.contains(" requests in ")).unwrap_or("wrk reported no count");
    say(rate.trim())?;
    Ok(samples)
}

fn report(name: &str, samples: &[f64]) -> Result<(), Failure> {
    let fifths: Vec<f64> =
        samples.chunks(samples.len().div_ceil(5).max(1)).map(|fifth| median(fifth.iter().copied())).collect();
    let (Some(full), Some(last)) = (fifths.get(1), fifths.last()) else {
        return Err("too short to tell".into());
    };
    let growth = last / full;
    let each: Vec<String> = fifths.iter().map(|fifth| format!("{fifth:.1}")).collect();
    say(&format!(
        "{name}: resident MiB by fifths of the time: {}; last over second {growth:.3} (target ≤ {MOST_GROWTH}: {})",
        each.join(", "),
        verdict(growth <= MOST_GROWTH)
    ))?;
    Ok(())
}
