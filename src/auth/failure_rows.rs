//! How many rows failures may fill by the minute: whoever guesses at many names, or from many addresses, must not
//! fill the table. Two counters, so that names that nobody has leave room for those of accounts.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::policy::Quota;
use crate::store::{AuditEvent, AuditRecord};

#[derive(Default)]
pub struct FailureRows {
    of_accounts: Mutex<Bucket>,
    of_others: Mutex<Bucket>,
}

/// When it is empty again.
#[derive(Default)]
struct Bucket(Option<Instant>);

impl FailureRows {
    /// Whether the record gets a row.
    pub fn take(&self, record: &AuditRecord, quota: &Quota) -> bool {
        let is_failure = record.event.outcome() == "failure" || record.event == AuditEvent::LockedOut;
        if !is_failure || record.actor.is_some() {
            return true;
        }
        let bucket = if record.user_id.is_some() { &self.of_accounts } else { &self.of_others };
        bucket.lock().take(Instant::now(), quota)
    }
}

impl Bucket {
    fn take(&mut self, now: Instant, quota: &Quota) -> bool {
        let emission = Duration::from_micros(quota.emission_us);
        let empty_at = self.0.map_or(now, |at| at.max(now)) + emission;
        let is_allowed = empty_at.duration_since(now) <= emission * quota.burst;
        if is_allowed {
            self.0 = Some(empty_at);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_bucket_takes_its_burst_and_then_its_rate() {
        let three = NonZeroU32::new(3).expect("it isn't 0");
        let quota = Quota::new(three, Duration::from_secs(60), three);
        let (mut bucket, now) = (Bucket::default(), Instant::now());

        assert_eq!([(); 4].map(|()| bucket.take(now, &quota)), [true, true, true, false]);
        let later = now + Duration::from_secs(20);
        assert_eq!([(); 2].map(|()| bucket.take(later, &quota)), [true, false]);
    }
}
