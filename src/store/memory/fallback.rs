//! Limits while the store is away, in this process alone. What the store has counted before is carried over, and what
//! passes meanwhile counts until it would have drained: an outage gives nobody a fresh burst.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::LocalCounters;
use crate::store::{Charge, Verdict};

pub struct Fallback {
    counters: LocalCounters,
    /// When all that has passed without the store is drained, in microseconds since the start; 0 when it is.
    busy_until_us: AtomicU64,
    start: Instant,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { counters: LocalCounters::default(), busy_until_us: AtomicU64::new(0), start: Instant::now() }
    }
}

impl Fallback {
    /// In place of the store, which said last that the counter stood at `known_level_us`.
    pub fn take(&self, charge: &Charge, known_level_us: u64) -> Verdict {
        self.counters.raise(charge, known_level_us);
        let verdict = self.counters.take_one(charge);
        let drained_us = self.now_us().saturating_add(micros(verdict.reset_after));
        self.busy_until_us.fetch_max(drained_us, Ordering::Relaxed);
        verdict
    }

    /// Whether anything is counted here that the store may not know.
    pub fn is_busy(&self) -> bool {
        let until_us = self.busy_until_us.load(Ordering::Relaxed);
        // Most gateways have never been without their store.
        if until_us == 0 || self.now_us() < until_us {
            return until_us != 0;
        }
        // Another outage may have begun just now.
        self.busy_until_us.compare_exchange(until_us, 0, Ordering::Relaxed, Ordering::Relaxed).is_err()
    }

    /// Beside the store, which let the request pass. The requests of an outage are drained in their time, however many
    /// come after it.
    pub fn recount(&self, charge: &Charge) -> Verdict {
        self.counters.take_one(charge)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::store::{Price, Quota};

    fn charge(burst: u32, window: Duration) -> Charge {
        let burst = NonZeroU32::new(burst).expect("not zero");
        let quota = Quota::new(burst, window, burst);
        Charge { key: "k".into(), quota, before_identity: true, price: Price::WHOLE }
    }

    #[test]
    fn what_the_store_has_counted_is_carried_over_once() {
        let (fallback, charge) = (Fallback::default(), charge(10, Duration::from_secs(3600)));
        let step_us = charge.quota.step_us();

        let passed = (0..10).filter(|_| fallback.take(&charge, 7 * step_us).allowed).count();

        assert_eq!(passed, 3);
        assert!(!fallback.take(&charge, u64::MAX).allowed);
    }

    #[test]
    fn what_passed_in_an_outage_counts_until_it_is_drained() {
        let fallback = Fallback::default();
        assert!(!fallback.is_busy());
        let hourly = charge(2, Duration::from_secs(3600));
        fallback.take(&hourly, 0);
        assert!(fallback.is_busy());
        assert!(fallback.recount(&hourly).allowed);
        assert!(!fallback.recount(&hourly).allowed, "two have passed, one of them without the store");

        let fallback = Fallback::default();
        fallback.take(&charge(1, Duration::from_millis(1)), 0);
        while fallback.is_busy() {
            std::thread::yield_now();
        }
        assert!(!fallback.is_busy());
    }
}
