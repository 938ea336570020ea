//! Medians, and the tables that docs/performance.md quotes.

use std::io::Write;
use std::time::Duration;

use crate::wrk::Sample;

pub struct Row {
    pub name: &'static str,
    samples: Vec<Sample>,
}

/// From nothing to `/readyz` 200, and what the process holds.
pub struct Startup {
    pub took: Duration,
    pub idle_kib: u64,
    /// With the memory of one hashing thread.
    pub after_login_kib: u64,
}

impl Row {
    pub fn new(name: &'static str) -> Self {
        Self { name, samples: Vec::new() }
    }

    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    fn rate(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.requests_per_second))
    }

    fn cpu_us(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.cpu_us))
    }

    fn p99(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.p99_ms))
    }

    /// How many times as many requests per second as `other` it serves.
    pub fn rate_against(&self, other: &Self) -> f64 {
        self.against(other, |own, other| own.requests_per_second / other.requests_per_second)
    }

    /// How many times its CPU time per request `other` takes.
    pub fn cpu_against(&self, other: &Self) -> f64 {
        self.against(other, |own, other| other.cpu_us / own.cpu_us)
    }

    /// The median of what each round's figures say when `compare`d with the other ones of that
    /// round: the machine's speed changes from round to round.
    fn against(&self, other: &Self, compare: impl Fn(&Sample, &Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&other.samples).map(|(own, other)| compare(own, other)))
    }
}

/// The first row is what the others are compared with.
pub fn print_rows(rows: &[Row]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let Some(bare) = rows.first() else { return Ok(()) };
    writeln!(out, "| subject | requests/s | ratio to (a) | CPU µs per request | (a)'s over it | p99 ms |")?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
    for row in rows {
        writeln!(
            out,
            "| {} | {:.0} | {:.2} | {:.1} | {:.2} | {:.2} |",
            row.name,
            row.rate(),
            row.rate_against(bare),
            row.cpu_us(),
            row.cpu_against(bare),
            row.p99()
        )?;
    }
    Ok(())
}

pub fn print_startup(startup: &Startup) -> std::io::Result<()> {
    let mib = |kib: u64| kib as f64 / 1024.0;
    say(&format!(
        "\nstart to ready: {} ms\nresident: {:.1} MiB idle, {:.1} MiB after a login",
        startup.took.as_millis(),
        mib(startup.idle_kib),
        mib(startup.after_login_kib)
    ))
}

/// To standard output, where all figures go.
pub fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    quantile(figures, 0.5)
}

/// The figure that this share of all figures doesn't exceed.
pub fn quantile(figures: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let place = (figures.len() as f64 * share) as usize;
    figures.get(place.min(figures.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
