//! What the admin port says about this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::{Timestamp, now};
use crate::config::problem::Problem;
use crate::telemetry::Metrics;

/// The last time that the file was read.
#[derive(Debug, Clone, Serialize)]
pub struct LastTry {
    pub at: Timestamp,
    /// Empty: the file is in force.
    pub problems: Vec<Problem>,
}

pub struct Status {
    listening: AtomicBool,
    draining: AtomicBool,
    last_try: Mutex<LastTry>,
    pub metrics: Arc<Metrics>,
}

impl Status {
    /// The first load went through, or there would be no status.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let status = Self {
            listening: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            last_try: Mutex::new(LastTry { at: now(), problems: Vec::new() }),
            metrics,
        };
        status.note_reload(Vec::new());
        status
    }

    pub fn note_listening(&self) {
        self.listening.store(true, Ordering::Release);
    }

    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// What became of a try to take up the file; without problems it is in force.
    pub fn note_reload(&self, problems: Vec<Problem>) {
        let successful = problems.is_empty();
        self.metrics.config_last_reload_successful.set(i64::from(successful));
        let at = now();
        if successful {
            self.metrics.config_last_reload_success_timestamp.set(at.timestamp_micros() as f64 / 1e6);
        }
        *self.last_try.lock() = LastTry { at, problems };
    }

    pub fn last_try(&self) -> LastTry {
        self.last_try.lock().clone()
    }

    pub fn has_reload_failed(&self) -> bool {
        !self.last_try.lock().problems.is_empty()
    }
}
