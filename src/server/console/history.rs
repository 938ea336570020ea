//! The traffic of the last half hour, from the counters: a reading every few seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::telemetry::Metrics;

const EVERY: Duration = Duration::from_secs(10);
const READINGS: usize = 180;

#[derive(Debug, Clone, Copy)]
struct Reading {
    requests: u64,
    denied: u64,
}

#[derive(Default)]
pub struct History {
    readings: Mutex<VecDeque<Reading>>,
}

impl History {
    /// Reads for as long as the process lives; must be called within a runtime.
    pub fn start(metrics: Arc<Metrics>) -> Arc<Self> {
        let history = Arc::new(Self::default());
        let kept = history.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                kept.take(&metrics);
            }
        });
        history
    }

    fn take(&self, metrics: &Metrics) {
        let decisions = metrics.decisions();
        let denied =
            decisions.iter().filter(|decision| decision.is_denied).map(|decision| decision.count).sum();
        let requests = decisions.iter().map(|decision| decision.count).sum();
        let mut readings = self.readings.lock();
        if readings.len() > READINGS {
            readings.pop_front();
        }
        readings.push_back(Reading { requests, denied });
    }

    /// Requests and refusals per second, oldest first.
    pub fn rates(&self) -> (Vec<f64>, Vec<f64>) {
        let readings = self.readings.lock();
        let pairs = readings.iter().zip(readings.iter().skip(1));
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / EVERY.as_secs_f64();
        pairs.map(|(a, b)| (rate(a.requests, b.requests), rate(a.denied, b.denied))).unzip()
    }
}
