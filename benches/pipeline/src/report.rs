//! Medians, and the table that docs/performance.md quotes.

use std::io::Write;
use std::time::Duration;

use crate::wrk::Sample;

pub struct Row {
    name: &'static str,
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

    /// The median of what each round's figures say when `compare`d with the bare ones of that round:
    /// the machine's speed changes from round to round.
    fn against(&self, bare: &Self, compare: impl Fn(&Sample, &Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&bare.samples).map(|(own, bare)| compare(own, bare)))
    }

    fn p99(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.p99_ms))
    }
}

/// The first row is what the others are compared with.
pub fn print(rows: &[Row], startup: &Startup) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let Some(bare) = rows.first() else { return Ok(()) };
    writeln!(out, "| subject | requests/s | ratio to (a) | CPU µs per request | (a)'s over it | p99 ms |")?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
    for row in rows {
        let (rate, cpu) = (row.rate(), row.cpu_us());
        let of_rate = row.against(bare, |own, bare| own.requests_per_second / bare.requests_per_second);
        let of_cpu = row.against(bare, |own, bare| bare.cpu_us / own.cpu_us);
        writeln!(
            out,
            "| {} | {rate:.0} | {of_rate:.2} | {cpu:.1} | {of_cpu:.2} | {:.2} |",
            row.name,
            row.p99()
        )?;
    }
    let mib = |kib: u64| kib as f64 / 1024.0;
    writeln!(out, "\nstart to ready: {} ms", startup.took.as_millis())?;
    writeln!(
        out,
        "resident: {:.1} MiB idle, {:.1} MiB after a login",
        mib(startup.idle_kib),
        mib(startup.after_login_kib)
    )
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
