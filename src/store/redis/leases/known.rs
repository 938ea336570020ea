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
/// What Redis said of a counter is believed for so long: somebody may reset it, or raise its limit at another gateway.
const BELIEVED_US: u64 = 1_000_000;
/// For so long after Redis had room for a request, those that cost nothing pass without asking.
const ROOM_US: u64 = 1_000_000;

#[derive(Debug)]
pub struct Known {
    pub quota: Quota,
    /// The bucket is not empty before this, unless it was reset: by themselves counters only ever go up. So what is
    /// refused by it would be refused by Redis, too.
    empty_at_us: u64,
    /// When Redis was asked last of those times that it answered.
    learned_us: u64,
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
            learned_us: 0,
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
        let empty_at_us = asked_us.saturating_add(counter.level_us);
        // An older answer may arrive after a newer one.
        self.empty_at_us = match self.is_believed(asked_us) {
            true => self.empty_at_us.max(empty_at_us),
            false => empty_at_us,
        };
        self.learned_us = self.learned_us.max(asked_us);
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

    /// At rest when nobody has asked for a while.
    fn level_us(&self, now_us: u64) -> u64 {
        if self.is_believed(now_us) { self.last_level_us(now_us) } else { 0 }
    }

    fn is_believed(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.learned_us) < BELIEVED_US
    }

    /// By the last answer, however long ago that was.
    pub fn last_level_us(&self, now_us: u64) -> u64 {
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
mod tests;
