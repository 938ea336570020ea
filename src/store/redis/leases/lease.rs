//! Requests that Redis has let pass in advance: charged all at once, taken one by one, or in parts.
//!
//! A lease is worth no more than what its charge still holds in the bucket. The bucket drains, so a
//! lease that is not used melts away with it; docs/decisions/0008-leases-decay.md says why this is
//! exact. All instants are microseconds on the table's clock, all amounts thousandths of a request.

/// What is left of a lease is gone after this, however full the bucket.
const LIFE_US: u64 = 1_000_000;
/// A lease runs low when this part of it is left.
const LOW_PART: u64 = 4;

/// What a gateway was lent of one key: the lease in use, and the one that was asked for before its end.
#[derive(Debug, Default)]
pub struct Held {
    current: Lease,
    next: Lease,
}

impl Held {
    /// The lease that is worth least gives way.
    pub fn add(&mut self, mut lease: Lease, step_us: u64, now_us: u64) {
        if self.current.left(step_us, now_us) == 0 {
            self.current = std::mem::take(&mut self.next);
        }
        let place = match self.current.left(step_us, now_us) {
            0 => &mut self.current,
            _ => &mut self.next,
        };
        if lease.left(step_us, now_us) > place.left(step_us, now_us) {
            *place = lease;
        }
    }

    /// The id of the lease that it was taken from. What costs nothing is taken from a lease that isn't
    /// used up.
    pub fn take(&mut self, thousandths: u32, step_us: u64, now_us: u64) -> Option<u64> {
        if self.current.take(thousandths, step_us, now_us) {
            return Some(self.current.asked_us);
        }
        self.next.take(thousandths, step_us, now_us).then(|| {
            self.current = std::mem::take(&mut self.next);
            self.current.asked_us
        })
    }

    /// Undoes one [`take`](Self::take). What belongs to a lease that was replaced is lost.
    pub fn give_back(&mut self, thousandths: u32, id: u64) {
        let lease = [&mut self.current, &mut self.next].into_iter().find(|lease| lease.asked_us == id);
        if let Some(lease) = lease {
            lease.give_back(thousandths);
        }
    }

    pub fn left(&mut self, step_us: u64, now_us: u64) -> u64 {
        self.current.left(step_us, now_us).saturating_add(self.next.left(step_us, now_us))
    }

    /// Whether a request at this price could be taken.
    pub fn has(&mut self, thousandths: u32, step_us: u64, now_us: u64) -> bool {
        let least = u64::from(thousandths.max(1));
        self.current.left(step_us, now_us) >= least || self.next.left(step_us, now_us) >= least
    }

    /// Whether it is time to ask for the next one: true until [`note_renewal`](Self::note_renewal).
    pub fn runs_low(&mut self, step_us: u64, now_us: u64) -> bool {
        let Lease { left, granted, is_renewed, .. } = self.current;
        !is_renewed && left * LOW_PART <= granted && self.next.left(step_us, now_us) == 0
    }

    /// The lease in use is renewed only once, whatever comes of it.
    pub fn note_renewal(&mut self) {
        self.current.is_renewed = true;
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Lease {
    granted: u64,
    left: u64,
    /// Just before Redis was asked, so not later than the grant itself.
    asked_us: u64,
    /// When the bucket is empty that the grant left behind.
    drained_us: u64,
    is_renewed: bool,
}

impl Lease {
    /// `left` is granted and not used, at a counter that stood at `level_us` after the grant.
    pub fn new(left: u64, asked_us: u64, level_us: u64) -> Self {
        let drained_us = asked_us.saturating_add(level_us);
        Self { granted: left, left, asked_us, drained_us, is_renewed: false }
    }

    /// How much may be taken now. What has melted does not come back.
    fn left(&mut self, step_us: u64, now_us: u64) -> u64 {
        let is_over = now_us.saturating_sub(self.asked_us) >= LIFE_US;
        let undrained_us = self.drained_us.saturating_sub(now_us);
        let worth = if is_over { 0 } else { undrained_us.saturating_mul(1000) / step_us.max(1) };
        self.left = self.left.min(worth);
        self.left
    }

    fn take(&mut self, thousandths: u32, step_us: u64, now_us: u64) -> bool {
        let is_there = self.left(step_us, now_us) >= u64::from(thousandths.max(1));
        if is_there {
            self.left -= u64::from(thousandths);
        }
        is_there
    }

    /// The next look takes it away again if it has melted meanwhile.
    fn give_back(&mut self, thousandths: u32) {
        self.left = self.left.saturating_add(u64::from(thousandths));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEP: u64 = 1000;
    const WHOLE: u32 = 1000;

    fn taken(lease: &mut Lease, now_us: u64) -> u32 {
        std::iter::from_fn(|| lease.take(WHOLE, STEP, now_us).then_some(())).count() as u32
    }

    #[test]
    fn a_lease_melts_as_the_bucket_drains_and_never_grows_again() {
        let mut lease = Lease::new(9000, 0, 10 * STEP);

        assert_eq!(lease.left(STEP, 4 * STEP + 1), 5999);
        assert_eq!(lease.left(STEP, 3 * STEP), 5999);
        assert_eq!(taken(&mut lease, 4 * STEP + 1), 5);
        assert_eq!(lease.left(STEP, 10 * STEP), 0);
    }

    #[test]
    fn in_a_full_bucket_it_lasts_a_second() {
        let mut lease = Lease::new(9000, 0, 5_000 * STEP);

        assert_eq!(lease.left(STEP, LIFE_US - 1), 9000);
        assert_eq!(lease.left(STEP, LIFE_US), 0);
    }

    #[test]
    fn what_was_given_back_can_be_taken_again_while_it_is_worth_something() {
        let mut lease = Lease::new(2000, 0, 3 * STEP);
        assert_eq!(taken(&mut lease, 0), 2);

        lease.give_back(WHOLE);
        lease.give_back(WHOLE);

        assert_eq!(taken(&mut lease, STEP + 1), 1, "the bucket holds no more than one of the two");
    }

    #[test]
    fn parts_of_a_request_add_up_and_what_costs_nothing_needs_something_to_be_left() {
        let mut lease = Lease::new(1000, 0, 3 * STEP);

        assert!((0..4).all(|_| lease.take(0, STEP, 0) && lease.take(250, STEP, 0)));
        assert!(!lease.take(1, STEP, 0) && !lease.take(0, STEP, 0));
    }

    /// `count` requests, in a bucket that was at rest and is slow to drain.
    fn of_requests(count: u64, asked_us: u64) -> Lease {
        Lease::new(count * 1000, asked_us, 5_000 * STEP)
    }

    #[test]
    fn the_lease_in_use_is_used_up_before_the_next_one() {
        let mut held = Held::default();
        held.add(of_requests(2, 1), STEP, 1);
        held.add(of_requests(3, 2), STEP, 2);

        let ids: Vec<u64> = std::iter::from_fn(|| held.take(WHOLE, STEP, 3)).collect();

        assert_eq!(ids, [1, 1, 2, 2, 2]);
    }

    #[test]
    fn of_three_leases_the_two_are_kept_that_help_most() {
        let mut held = Held::default();
        held.add(of_requests(2, 1), STEP, 1);
        held.add(of_requests(1, 2), STEP, 2);

        held.add(of_requests(9, 3), STEP, 3);
        held.add(of_requests(4, 4), STEP, 4);

        assert_eq!(held.left(STEP, 4), 11_000);
    }

    #[test]
    fn a_lease_runs_low_once_at_a_quarter_and_not_while_another_one_waits() {
        let mut held = Held::default();
        assert!(!Held::default().has(0, STEP, 0), "nothing was lent");
        held.add(of_requests(8, 1), STEP, 1);

        let lows: Vec<bool> =
            std::iter::from_fn(|| held.take(WHOLE, STEP, 1).map(|_| held.runs_low(STEP, 1)))
                .take(6)
                .collect();

        assert_eq!(lows, [false, false, false, false, false, true]);
        held.add(of_requests(8, 2), STEP, 2);
        assert!(!held.runs_low(STEP, 2), "the next one is there");
        held.take(2 * WHOLE, STEP, 2);
        (0..7).for_each(|_| assert!(held.take(WHOLE, STEP, 2).is_some()));
        assert!(held.runs_low(STEP, 2));
        held.note_renewal();
        assert!(!held.runs_low(STEP, 2));
    }

    /// A bucket that records leases when they are granted, beside the bucket of their actual uses.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        /// The request that asks costs a part, which it uses, or is refused by another limit.
        Grant {
            gateway: usize,
            part: u32,
            in_advance: u32,
            is_used: bool,
        },
        Use {
            gateway: usize,
            part: u32,
        },
        Wait {
            us: u64,
        },
    }

    fn part() -> impl Strategy<Value = u32> {
        prop_oneof![Just(WHOLE), 0..=WHOLE]
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            1 => (0..3usize, part(), 0..8u32, any::<bool>())
                .prop_map(|(gateway, part, in_advance, is_used)| Event::Grant { gateway, part, in_advance, is_used }),
            8 => (0..3usize, part()).prop_map(|(gateway, part)| Event::Use { gateway, part }),
            4 => (0..4 * STEP).prop_map(|us| Event::Wait { us }),
        ];
        prop::collection::vec(event, 1..200)
    }

    proptest! {
        /// The counter in Redis is never below the one that the requests themselves would have made.
        #[test]
        fn no_use_goes_unrecorded_however_many_gateways(events in events(), level in 0..20 * STEP) {
            let (mut recorded_us, mut actual_us, mut now_us) = (level, level, 0);
            let mut leases: [Held; 3] = Default::default();
            let charge = |level_us: &mut u64, now_us: u64, thousandths: u32| {
                *level_us = now_us.max(*level_us) + STEP * u64::from(thousandths) / 1000;
            };
            for event in events {
                match event {
                    Event::Wait { us } => now_us += us,
                    Event::Grant { gateway, part, in_advance, is_used } => {
                        charge(&mut recorded_us, now_us, part + in_advance * WHOLE);
                        let left = in_advance * WHOLE + if is_used { 0 } else { part };
                        leases[gateway].add(Lease::new(left.into(), now_us, recorded_us - now_us), STEP, now_us);
                        if is_used {
                            charge(&mut actual_us, now_us, part);
                        }
                    }
                    Event::Use { gateway, part } => {
                        if leases[gateway].take(part, STEP, now_us).is_some() {
                            charge(&mut actual_us, now_us, part);
                        }
                    }
                }
                prop_assert!(actual_us <= recorded_us, "{} µs were given away", actual_us - recorded_us);
            }
        }
    }
}
