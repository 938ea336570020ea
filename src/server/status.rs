//! What the admin port says about this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::telemetry::Metrics;

pub struct Status {
    listening: AtomicBool,
    draining: AtomicBool,
    reload_failed: AtomicBool,
    pub metrics: Arc<Metrics>,
}

impl Status {
    /// The first load went through, or there would be no status.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let status = Self {
            listening: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            reload_failed: AtomicBool::new(false),
            metrics,
        };
        status.note_reload(true);
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

    pub fn note_reload(&self, successful: bool) {
        self.reload_failed.store(!successful, Ordering::Release);
        self.metrics.config_last_reload_successful.set(i64::from(successful));
        if successful {
            let now = crate::clock::now().timestamp_micros() as f64 / 1e6;
            self.metrics.config_last_reload_success_timestamp.set(now);
        }
    }

    pub fn has_reload_failed(&self) -> bool {
        self.reload_failed.load(Ordering::Acquire)
    }
}
