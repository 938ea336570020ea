//! Load by `wrk`, and its report read back.

use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::process::{LOAD_CORE, Process};
use crate::report::Row;

/// One thing to measure: where to send requests, and what proves who sends them.
pub struct Subject<'a> {
    pub name: &'static str,
    /// All that do its work.
    pub processes: Vec<&'a Process>,
    pub url: String,
    pub token: Option<String>,
    /// Further words for wrk.
    pub more: Vec<String>,
}

impl Subject<'_> {
    fn cpu_time(&self) -> Result<Duration, Failure> {
        self.processes.iter().map(|process| process.cpu_time()).sum()
    }
}

/// What one short run showed.
pub struct Sample {
    pub requests_per_second: f64,
    /// Of the proxy, per request.
    pub cpu_us: f64,
    pub p99_ms: f64,
}

/// Every subject in each round, after one second each to get warm.
pub fn in_turns(subjects: &[Subject<'_>], rounds: usize, seconds: u32) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = subjects.iter().map(|subject| Row::new(subject.name)).collect();
    for subject in subjects {
        run(subject, 1)?;
    }
    for _ in 0..rounds {
        for (subject, row) in subjects.iter().zip(&mut rows) {
            row.add(run(subject, seconds)?);
        }
    }
    Ok(rows)
}

/// 64 connections for so many seconds. Any answer but 2xx fails the bench.
pub fn run(subject: &Subject<'_>, seconds: u32) -> Result<Sample, Failure> {
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", LOAD_CORE, "wrk", "-t1", "-c64", "--latency", &format!("-d{seconds}s")]);
    if let Some(token) = &subject.token {
        wrk.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    wrk.args(&subject.more);
    let before = subject.cpu_time()?;
    let output = wrk.arg(&subject.url).output().map_err(|error| format!("running wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") || !output.status.success() {
        return Err(format!("{}: not every answer was good:\n{text}", subject.name).into());
    }
    let figure = |label: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(label));
        line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
    };
    let requests_per_second = figure("Requests/sec:").ok_or("wrk reported no rate")?.parse()?;
    let used = subject.cpu_time()? - before;
    let requests: f64 = requests(&text).ok_or("wrk reported no count")?;
    let cpu_us = used.as_secs_f64() * 1e6 / requests;
    let p99_ms = milliseconds(&figure("99%").ok_or("wrk reported no latency")?)?;
    Ok(Sample { requests_per_second, cpu_us, p99_ms })
}

/// From a line such as `  172893 requests in 6.01s, 62.82MB read`.
fn requests(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

fn milliseconds(text: &str) -> Result<f64, Failure> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(figure) = text.strip_suffix(unit) {
            return Ok(figure.parse::<f64>()? * factor);
        }
    }
    Err(format!("{text} has no unit of time").into())
}
