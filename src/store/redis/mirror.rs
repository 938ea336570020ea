//! This gateway's copy of the revocations: what the request path reads instead of asking Redis.
//!
//! What it says of a revoked bearer is always true. That a bearer is good counts only while the
//! copy is current: [`follower`](super::follower) says how far it has read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;
use crate::clock::Timestamp;
use crate::store::memory::RevokedSet;
use crate::store::{Bearer, Mirroring, Revocation, Standing};

pub(super) struct Mirror {
    revoked: RevokedSet,
    max_staleness: Duration,
    /// Time zero: a clock that nobody sets back.
    start: Instant,
    /// Nothing revoked before this is missing, in microseconds since the start; 0 before the stream
    /// was read for the first time.
    complete_at_us: AtomicU64,
}

impl Mirror {
    pub fn new(max_staleness: Duration) -> Self {
        Self {
            revoked: RevokedSet::default(),
            max_staleness,
            start: Instant::now(),
            complete_at_us: AtomicU64::new(0),
        }
    }

    pub fn insert(&self, what: Revocation, until: Timestamp) {
        self.revoked.insert(what, until);
    }

    /// `None` when only Redis can say.
    pub fn standing(&self, bearer: Bearer, now: Timestamp) -> Option<Standing> {
        match self.revoked.standing(bearer, now) {
            Standing::Good => self.is_current().then_some(Standing::Good),
            bad => Some(bad),
        }
    }

    /// Everything that was in the stream at `asked` has been inserted. The instant before the
    /// question was sent, not that of the answer: an answer may have lain somewhere for a while.
    pub fn note_complete(&self, asked: Instant) {
        let asked_us = micros(asked.saturating_duration_since(self.start)).max(1);
        self.complete_at_us.fetch_max(asked_us, Ordering::Release);
    }

    pub fn mirroring(&self) -> Mirroring {
        Mirroring { age: self.age(), is_filled: self.is_filled(), is_current: self.is_current() }
    }

    pub fn prune(&self) {
        self.revoked.prune(clock::now());
    }

    fn is_current(&self) -> bool {
        self.is_filled() && self.age() <= self.max_staleness
    }

    fn is_filled(&self) -> bool {
        self.complete_at_us.load(Ordering::Acquire) > 0
    }

    /// Since the stream was last known to be read to its end; at first, since the start.
    fn age(&self) -> Duration {
        let complete_at = Duration::from_micros(self.complete_at_us.load(Ordering::Acquire));
        self.start.elapsed().saturating_sub(complete_at)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn bearer() -> Bearer {
        Bearer { token: Uuid::now_v7(), session: Uuid::now_v7(), user: Uuid::now_v7(), version: 5 }
    }

    #[test]
    fn nobody_is_good_before_the_stream_was_read() {
        let mirror = Mirror::new(HOUR);

        assert_eq!(mirror.standing(bearer(), clock::now()), None);
        mirror.note_complete(Instant::now());
        assert_eq!(mirror.standing(bearer(), clock::now()), Some(Standing::Good));
    }

    #[test]
    fn a_stale_mirror_vouches_for_nobody_and_still_knows_the_revoked() {
        let mirror = Mirror::new(Duration::ZERO);
        let revoked = bearer();
        mirror.note_complete(mirror.start);

        mirror.insert(Revocation::Session(revoked.session), clock::now() + HOUR);

        assert_eq!(mirror.standing(revoked, clock::now()), Some(Standing::Revoked));
        assert_eq!(mirror.standing(bearer(), clock::now()), None);
        assert!(!mirror.mirroring().is_current);
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let mirror = Mirror::new(HOUR);
        for _ in 0..1000 {
            mirror.insert(Revocation::Token(Uuid::now_v7()), clock::now());
        }
        mirror.insert(Revocation::Token(Uuid::now_v7()), clock::now() + HOUR);

        mirror.prune();

        assert_eq!(mirror.revoked.len(), 1);
    }

    #[test]
    fn an_answer_that_arrives_late_does_not_make_it_younger() {
        let mirror = Mirror::new(HOUR);
        let asked = Instant::now();
        mirror.note_complete(asked);
        let age = mirror.age();

        mirror.note_complete(asked - Duration::from_nanos(1));

        assert!(mirror.age() >= age);
    }
}
