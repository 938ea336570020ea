//! What this gateway knows of one counter in Redis. All instants are microseconds on the table's
//! clock.

use std::time::Duration;

use super::lease::Lease;
use crate::store::redis::ask::Counter;
use crate::store::{Price, Quota, Verdict};

/// A lease used up within this is followed by one of twice its size.
const QUICK_US: u64 = 250_000;
/// A key that was not asked for during this begins with single requests again.
const FORGOTTEN_US: u64 = 1_000_000;
/// No question takes longer; one that was given up is over then.
const ASKING_US: u64 = 1_000_000;
/// The largest lease is this part of the burst.
const PART_OF_BURST: u32 = 10;
/// For so long after Redis had room for a request, those that cost nothing pass without asking.
const ROOM_US: u64 = 1_000_000;

#[derive(Debug)]
pub struct Known {
    pub quota: Quota,
    /// The bucket is not empty before this: counters only ever go up. So what is refused by it would
    /// be refused by Redis, too.
    empty_at_us: u64,
    lease: Lease,
    /// Until then a request that costs nothing passes.
    room_until_us: u64,
    /// Of the lease that was asked for last, and when that was.
    size: u32,
    asked_us: Option<u64>,
    /// Until then somebody is asking for a lease; all others ask for themselves alone.
    asking_until_us: u64,
    pub touched_us: u64,
}

/// How a request stands by what is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has taken from the lease with this id.
    Taken(u64, Verdict),
    Refused(Verdict),
    /// Only Redis can say.
    Unknown,
}

/// What to ask Redis for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub count: u32,
    /// Asks for the key's lease, not for one request alone.
    pub is_for_lease: bool,
}

/// Of what Redis has granted, what the request that asked uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    One,
    /// The request is refused all the same.
    None,
}

impl Known {
    pub fn new(quota: Quota, now_us: u64) -> Self {
        Self {
            quota,
            empty_at_us: 0,
            lease: Lease::default(),
            room_until_us: 0,
            size: 1,
            asked_us: None,
            asking_until_us: 0,
            touched_us: now_us,
        }
    }

    pub fn take(&mut self, price: Price, now_us: u64) -> Outcome {
        self.touched_us = now_us;
        let is_free = price.charged == 0 && now_us < self.room_until_us;
        if self.lease.take(price.charged, self.quota.step_us(), now_us) || is_free {
            return Outcome::Taken(self.lease.id(), self.verdict(true, now_us));
        }
        let verdict = self.quota.verdict(price, self.level_us(now_us), false);
        if verdict.allowed { Outcome::Unknown } else { Outcome::Refused(verdict) }
    }

    pub fn give_back(&mut self, price: Price, lease: u64) {
        if lease == self.lease.id() {
            self.lease.give_back(price.charged);
        }
    }

    /// How the counter stands, as far as it is known; for a request that is refused by another limit.
    pub fn standing(&mut self, price: Price, now_us: u64) -> Verdict {
        let least = u64::from(price.charged.max(1));
        let is_leased = self.lease.left(self.quota.step_us(), now_us) >= least;
        match is_leased {
            true => self.verdict(true, now_us),
            false => self.quota.verdict(price, self.level_us(now_us), false),
        }
    }

    /// What costs nothing leases nothing: it would be charged for what nobody uses.
    pub fn wish(&mut self, price: Price, now_us: u64) -> Wish {
        self.touched_us = now_us;
        if now_us < self.asking_until_us || price.charged == 0 {
            return Wish { count: 1, is_for_lease: false };
        }
        self.asking_until_us = now_us + ASKING_US;
        Wish { count: self.next_size(now_us), is_for_lease: true }
    }

    /// Grows while leases don't last, shrinks when they do.
    fn next_size(&self, now_us: u64) -> u32 {
        let most = (self.quota.burst / PART_OF_BURST).max(1);
        let size = match self.asked_us.map(|asked_us| now_us.saturating_sub(asked_us)) {
            Some(0..=QUICK_US) => self.size.saturating_mul(2),
            Some(..FORGOTTEN_US) => self.size / 2,
            _ => 1,
        };
        size.clamp(1, most)
    }

    /// Takes in what Redis answered to a question that was sent at `asked_us`.
    pub fn settle(
        &mut self,
        (price, wish): (Price, Wish),
        counter: &Counter,
        used: Used,
        asked_us: u64,
        now_us: u64,
    ) -> Verdict {
        let has_room = counter.wait_us == 0 && counter.remaining > 0;
        self.room_until_us = if has_room { asked_us + ROOM_US } else { 0 };
        self.empty_at_us = self.empty_at_us.max(asked_us.saturating_add(counter.level_us));
        if wish.is_for_lease {
            self.asking_until_us = 0;
            if counter.granted > 0 {
                self.size = counter.granted;
                self.asked_us = Some(asked_us);
            }
        }
        let own = if used == Used::None && counter.granted > 0 { price.charged } else { 0 };
        let in_advance = u64::from(counter.granted.saturating_sub(1)) * 1000 + u64::from(own);
        let mut lease = Lease::new(in_advance, asked_us, counter.level_us);
        let step_us = self.quota.step_us();
        if lease.left(step_us, now_us) > self.lease.left(step_us, now_us) {
            self.lease = lease;
        }
        let remaining = counter.remaining.saturating_add(in_advance / 1000);
        let advance_us = in_advance.saturating_mul(step_us) / 1000;
        Verdict {
            allowed: counter.wait_us == 0,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: Duration::from_micros(counter.level_us.saturating_sub(advance_us)),
            retry_after: Duration::from_micros(counter.wait_us),
        }
    }

    /// Redis didn't answer.
    pub fn give_up(&mut self, wish: Wish) {
        if wish.is_for_lease {
            self.asking_until_us = 0;
        }
    }

    /// Says no more than an absent one.
    pub fn is_at_rest(&self, now_us: u64) -> bool {
        self.empty_at_us <= now_us && now_us.saturating_sub(self.touched_us) >= FORGOTTEN_US
    }

    fn level_us(&self, now_us: u64) -> u64 {
        self.empty_at_us.saturating_sub(now_us)
    }

    /// What is left of the lease counts as not yet used.
    fn verdict(&mut self, allowed: bool, now_us: u64) -> Verdict {
        let step_us = self.quota.step_us();
        let left_us = self.lease.left(step_us, now_us).saturating_mul(step_us) / 1000;
        let level_us = self.level_us(now_us).saturating_sub(left_us);
        let remaining = self.quota.tolerance_us().saturating_sub(level_us) / step_us;
        Verdict {
            allowed,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: Duration::from_micros(level_us),
            retry_after: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const STEP: u64 = 60_000_000;
    const ONE: Price = Price::WHOLE;

    /// `burst` at once, then one a minute.
    fn quota(burst: u32) -> Quota {
        let burst = NonZeroU32::new(burst).expect("not zero");
        Quota::new(NonZeroU32::MIN, Duration::from_micros(STEP), burst)
    }

    fn granted(level: u64, granted: u32, burst: u32) -> Counter {
        Counter { wait_us: 0, remaining: u64::from(burst) - level, level_us: level * STEP, granted }
    }

    /// Asks and is granted all it asks for, at once.
    fn lease(known: &mut Known, used: &mut u64, now_us: u64) -> u32 {
        let wish = known.wish(ONE, now_us);
        *used += u64::from(wish.count);
        known.settle((ONE, wish), &granted(*used, wish.count, known.quota.burst), Used::One, now_us, now_us);
        wish.count
    }

    #[test]
    fn leases_double_while_they_do_not_last_and_end_at_a_tenth_of_the_burst() {
        let (mut known, mut used) = (Known::new(quota(100), 0), 0);

        let sizes: Vec<u32> = (0..6).map(|round| lease(&mut known, &mut used, round * QUICK_US)).collect();

        assert_eq!(sizes, [1, 2, 4, 8, 10, 10]);
        let slower: Vec<u32> =
            (1..4).map(|round| lease(&mut known, &mut used, (5 + 2 * round) * QUICK_US)).collect();
        assert_eq!(slower, [5, 2, 1], "half a second later each time");
        assert_eq!(Known::new(quota(9), 0).wish(ONE, 0).count, 1);
    }

    #[test]
    fn only_one_question_at_a_time_asks_for_more_than_one() {
        let (mut known, mut used) = (Known::new(quota(100), 0), 0);
        lease(&mut known, &mut used, 0);

        let (first, second) = (known.wish(ONE, 1), known.wish(ONE, 1));

        assert_eq!((first.count, second.count), (2, 1));
        known.give_up(second);
        assert_eq!(known.wish(ONE, 2).count, 1, "the first is still on its way");
        known.give_up(first);
        assert_eq!(known.wish(ONE, 2).count, 2);
        assert!(known.wish(ONE, 2 + ASKING_US).is_for_lease, "a question that was abandoned");
    }

    #[test]
    fn a_request_from_the_lease_is_told_what_remains_in_both_places() {
        let mut known = Known::new(quota(100), 0);
        let wish = Wish { count: 10, is_for_lease: true };

        let first = known.settle((ONE, wish), &granted(10, 10, 100), Used::One, 0, 0);
        let Outcome::Taken(_, second) = known.take(ONE, 0) else { panic!("nine are left") };

        assert_eq!((first.remaining, first.reset_after), (99, Duration::from_micros(STEP)));
        assert_eq!((second.remaining, second.reset_after), (98, Duration::from_micros(2 * STEP)));
    }

    #[test]
    fn a_full_bucket_is_refused_here_until_a_request_would_pass() {
        let mut known = Known::new(quota(2), 0);
        let wish = known.wish(ONE, 0);
        known.settle((ONE, wish), &granted(2, 1, 2), Used::One, 0, 0);

        let Outcome::Refused(refused) = known.take(ONE, STEP - 1) else { panic!("it is full") };

        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert_eq!(refused.retry_after, Duration::from_micros(1));
        assert_eq!(known.take(ONE, STEP), Outcome::Unknown);
    }

    #[test]
    fn what_was_granted_to_a_request_that_is_refused_all_the_same_is_a_lease() {
        let mut known = Known::new(quota(100), 0);
        let wish = Wish { count: 1, is_for_lease: true };

        let verdict = known.settle((ONE, wish), &granted(1, 1, 100), Used::None, 0, 0);

        assert_eq!((verdict.remaining, verdict.reset_after), (100, Duration::ZERO));
        assert!(matches!(known.take(ONE, 0), Outcome::Taken(..)));
        assert_eq!(known.take(ONE, 0), Outcome::Unknown);
    }

    #[test]
    fn what_is_given_back_to_a_lease_that_was_replaced_is_lost() {
        let mut known = Known::new(quota(100), 0);
        let wish = Wish { count: 3, is_for_lease: true };
        known.settle((ONE, wish), &granted(3, 3, 100), Used::One, 0, 0);
        let Outcome::Taken(old, _) = known.take(ONE, 0) else { panic!("two are left") };
        known.settle((ONE, wish), &granted(6, 3, 100), Used::One, 1, 1);

        known.give_back(ONE, old);

        let left =
            std::iter::from_fn(|| matches!(known.take(ONE, 1), Outcome::Taken(..)).then_some(())).count();
        assert_eq!(left, 2);
    }
}
