//! What this gateway knows of one counter in Redis. All instants are microseconds on the table's
//! clock.

use std::time::Duration;

use super::lease::{Held, Lease};
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
    leases: Held,
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
    Taken(Taken),
    Refused(Verdict),
    /// Only Redis can say.
    Unknown,
}

/// A request that was taken from a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Which lease.
    pub lease: u64,
    pub verdict: Verdict,
    /// Whether it is time to ask for more.
    pub runs_low: bool,
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
            leases: Held::default(),
            room_until_us: 0,
            size: 1,
            asked_us: None,
            asking_until_us: 0,
            touched_us: now_us,
        }
    }

    pub fn take(&mut self, price: Price, now_us: u64) -> Outcome {
        self.touched_us = now_us;
        let step_us = self.quota.step_us();
        if let Some(lease) = self.leases.take(price.charged, step_us, now_us) {
            let runs_low = now_us >= self.asking_until_us && self.leases.runs_low(step_us, now_us);
            return Outcome::Taken(Taken { lease, verdict: self.verdict(true, now_us), runs_low });
        }
        if price.charged == 0 && now_us < self.room_until_us {
            return Outcome::Taken(Taken { lease: 0, verdict: self.verdict(true, now_us), runs_low: false });
        }
        let verdict = self.quota.verdict(price, self.level_us(now_us), false);
        if verdict.allowed { Outcome::Unknown } else { Outcome::Refused(verdict) }
    }

    pub fn give_back(&mut self, price: Price, lease: u64) {
        self.leases.give_back(price.charged, lease);
    }

    /// How the counter stands, as far as it is known; for a request that is refused by another limit.
    pub fn standing(&mut self, price: Price, now_us: u64) -> Verdict {
        match self.leases.has(price.charged, self.quota.step_us(), now_us) {
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

    /// For a lease that runs low, unless somebody asks already: what to ask for beside a request that
    /// costs nothing. `None` when it would be that request alone.
    pub fn renewal(&mut self, now_us: u64) -> Option<Wish> {
        if now_us < self.asking_until_us || !self.leases.runs_low(self.quota.step_us(), now_us) {
            return None;
        }
        self.leases.note_renewal();
        let size = self.next_size(now_us);
        (size > 1).then(|| {
            self.asking_until_us = now_us + ASKING_US;
            Wish { count: size.saturating_add(1), is_for_lease: true }
        })
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
                self.size = counter.granted - u32::from(price.charged == 0);
                self.asked_us = Some(asked_us);
            }
        }
        let own = if used == Used::None && counter.granted > 0 { price.charged } else { 0 };
        let in_advance = u64::from(counter.granted.saturating_sub(1)) * 1000 + u64::from(own);
        let step_us = self.quota.step_us();
        self.leases.add(Lease::new(in_advance, asked_us, counter.level_us), step_us, now_us);
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

    /// What is left of the leases counts as not yet used.
    fn verdict(&mut self, allowed: bool, now_us: u64) -> Verdict {
        let step_us = self.quota.step_us();
        let left_us = self.leases.left(step_us, now_us).saturating_mul(step_us) / 1000;
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

    fn take(known: &mut Known, now_us: u64) -> Taken {
        match known.take(ONE, now_us) {
            Outcome::Taken(taken) => taken,
            other => panic!("{other:?}"),
        }
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
        let second = take(&mut known, 0).verdict;

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
        take(&mut known, 0);
        assert_eq!(known.take(ONE, 0), Outcome::Unknown);
    }

    #[test]
    fn what_is_given_back_to_a_lease_that_was_replaced_is_lost() {
        let mut known = Known::new(quota(100), 0);
        let wish = Wish { count: 3, is_for_lease: true };
        known.settle((ONE, wish), &granted(3, 3, 100), Used::One, 0, 0);
        let old = take(&mut known, 0).lease;
        take(&mut known, 0);
        known.settle((ONE, wish), &granted(6, 3, 100), Used::One, 1, 1);

        known.give_back(ONE, old);

        let left =
            std::iter::from_fn(|| matches!(known.take(ONE, 1), Outcome::Taken(_)).then_some(())).count();
        assert_eq!(left, 2);
    }

    #[test]
    fn a_lease_that_runs_low_is_renewed_by_one_and_nobody_else_asks_meanwhile() {
        let (mut known, mut used) = (Known::new(quota(1000), 0), 0);
        for _ in 0..3 {
            lease(&mut known, &mut used, 0);
        }
        let lows = [0; 4].map(|now_us| take(&mut known, now_us).runs_low);
        assert_eq!(lows, [false, false, false, true], "one was left of the second, three of the third");

        let wish = known.renewal(0).expect("it runs low");

        assert_eq!((wish.count, wish.is_for_lease), (9, true), "eight beside the one that costs nothing");
        assert_eq!(known.renewal(0), None);
        assert_eq!(known.wish(ONE, 0).count, 1);
        known.settle((Price::part(0), wish), &granted(used + 8, 9, 1000), Used::None, 0, 0);
        assert!((0..5).all(|_| !take(&mut known, 0).runs_low));
        assert!(take(&mut known, 0).runs_low, "two of eight are left");
        assert_eq!(known.renewal(0).map(|wish| wish.count), Some(17));
    }

    #[test]
    fn a_renewal_that_brings_nothing_is_not_tried_again() {
        let mut known = Known::new(quota(100), 0);
        let wish = Wish { count: 8, is_for_lease: true };
        known.settle((ONE, wish), &granted(8, 8, 100), Used::One, 0, 0);
        assert!((0..6).all(|_| take(&mut known, 0).verdict.allowed));
        let wish = known.renewal(0).expect("one of seven is left");
        known.settle((Price::part(0), wish), &granted(99, 1, 100), Used::None, 0, 0);

        assert!(!take(&mut known, 0).runs_low);
        assert_eq!((known.renewal(0), known.take(ONE, 0)), (None, Outcome::Unknown));
    }
}
