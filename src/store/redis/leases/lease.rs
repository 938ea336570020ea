//! Requests that Redis has let pass in advance: charged all at once, taken one by one.
//!
//! A lease is worth no more than what its charge still holds in the bucket. The bucket drains, so a
//! lease that is not used melts away with it; docs/decisions/0008-leases-decay.md says why this is
//! exact. All instants are microseconds on the table's clock.

/// What is left of a lease is gone after this, however full the bucket.
const LIFE_US: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, Default)]
pub struct Lease {
    left: u32,
    /// Just before Redis was asked, so not later than the grant itself.
    asked_us: u64,
    /// When the bucket is empty that the grant left behind.
    drained_us: u64,
}

impl Lease {
    /// `left` requests that are granted and not used, at a counter that stood at `level_us` after the
    /// grant.
    pub fn new(left: u32, asked_us: u64, level_us: u64) -> Self {
        let drained_us = asked_us.saturating_add(level_us);
        Self { left, asked_us, drained_us }
    }

    /// Tells it from the key's other leases: only one question at a time asks for a lease.
    pub fn id(&self) -> u64 {
        self.asked_us
    }

    /// How many requests may be taken now. What has melted does not come back.
    pub fn left(&mut self, step_us: u64, now_us: u64) -> u32 {
        let is_over = now_us.saturating_sub(self.asked_us) >= LIFE_US;
        let undrained = self.drained_us.saturating_sub(now_us) / step_us.max(1);
        let worth = if is_over { 0 } else { u32::try_from(undrained).unwrap_or(u32::MAX) };
        self.left = self.left.min(worth);
        self.left
    }

    pub fn take(&mut self, step_us: u64, now_us: u64) -> bool {
        let is_there = self.left(step_us, now_us) > 0;
        if is_there {
            self.left -= 1;
        }
        is_there
    }

    /// Undoes one [`take`](Self::take). The next look takes it away again if it has melted meanwhile.
    pub fn give_back(&mut self) {
        self.left = self.left.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEP: u64 = 1000;

    fn taken(lease: &mut Lease, now_us: u64) -> u32 {
        std::iter::from_fn(|| lease.take(STEP, now_us).then_some(())).count() as u32
    }

    #[test]
    fn a_lease_melts_as_the_bucket_drains_and_never_grows_again() {
        let mut lease = Lease::new(9, 0, 10 * STEP);

        assert_eq!(lease.left(STEP, 4 * STEP + 1), 5);
        assert_eq!(lease.left(STEP, 3 * STEP), 5);
        assert_eq!(lease.left(STEP, 10 * STEP), 0);
    }

    #[test]
    fn in_a_full_bucket_it_lasts_a_second() {
        let mut lease = Lease::new(9, 0, 5_000 * STEP);

        assert_eq!(lease.left(STEP, LIFE_US - 1), 9);
        assert_eq!(lease.left(STEP, LIFE_US), 0);
    }

    #[test]
    fn what_was_given_back_can_be_taken_again_while_it_is_worth_something() {
        let mut lease = Lease::new(2, 0, 3 * STEP);
        assert_eq!(taken(&mut lease, 0), 2);

        lease.give_back();
        lease.give_back();

        assert_eq!(taken(&mut lease, STEP + 1), 1, "the bucket holds no more than one of the two");
    }

    /// A bucket that records leases when they are granted, beside the bucket of their actual uses.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        /// The request that asks uses one of them, or is refused by another limit.
        Grant {
            gateway: usize,
            count: u32,
            is_used: bool,
        },
        Use {
            gateway: usize,
        },
        Wait {
            us: u64,
        },
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            1 => (0..3usize, 1..8u32, any::<bool>())
                .prop_map(|(gateway, count, is_used)| Event::Grant { gateway, count, is_used }),
            8 => (0..3usize).prop_map(|gateway| Event::Use { gateway }),
            4 => (0..4 * STEP).prop_map(|us| Event::Wait { us }),
        ];
        prop::collection::vec(event, 1..200)
    }

    proptest! {
        /// The counter in Redis is never below the one that the requests themselves would have made.
        #[test]
        fn no_use_goes_unrecorded_however_many_gateways(events in events(), level in 0..20 * STEP) {
            let (mut recorded_us, mut actual_us, mut now_us) = (level, level, 0);
            let mut leases = [Lease::default(); 3];
            let use_one = |actual_us: &mut u64, now_us: u64| *actual_us = now_us.max(*actual_us) + STEP;
            for event in events {
                match event {
                    Event::Wait { us } => now_us += us,
                    Event::Grant { gateway, count, is_used } => {
                        recorded_us = now_us.max(recorded_us) + u64::from(count) * STEP;
                        let left = count - u32::from(is_used);
                        leases[gateway] = Lease::new(left, now_us, recorded_us - now_us);
                        if is_used {
                            use_one(&mut actual_us, now_us);
                        }
                    }
                    Event::Use { gateway } => {
                        if leases[gateway].take(STEP, now_us) {
                            use_one(&mut actual_us, now_us);
                        }
                    }
                }
                prop_assert!(actual_us <= recorded_us, "{} µs were given away", actual_us - recorded_us);
            }
        }
    }
}
