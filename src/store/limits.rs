//! Rate limits by GCRA (the leaky bucket as a meter, ITU-T I.371): exact, one number per key.
//!
//! A counter holds the instant at which its bucket will be empty again. Its level is the time until
//! then; a request adds `emission_us` and passes if the level stays within the tolerance. This is
//! the arithmetic that `redis/scripts/gcra.lua` repeats; a property test holds the two together.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::config::policy::Quota;

impl Quota {
    /// What one request adds to the level.
    pub fn step_us(&self) -> u64 {
        self.emission_us.min(LONGEST_US)
    }

    /// The highest level a request may leave behind.
    pub fn tolerance_us(&self) -> u64 {
        self.emission_us.saturating_mul(u64::from(self.burst)).min(LONGEST_US)
    }

    /// The level of a counter by this quota, whatever it was filled under.
    pub fn clamp_us(&self, level_us: u64) -> u64 {
        level_us.min(self.ceiling_us())
    }

    pub fn ceiling_us(&self) -> u64 {
        self.ceiling_us.min(LONGEST_US)
    }

    /// What a part of a request adds to the level.
    fn part_us(&self, thousandths: u32) -> u64 {
        (self.step_us() * u64::from(thousandths)).div_ceil(1000)
    }

    /// The verdict on a request that found `level_us`. It is charged when every limit lets it pass;
    /// otherwise what it reports is the counter left alone.
    pub fn verdict(&self, price: Price, level_us: u64, is_charged: bool) -> Verdict {
        let wait_us = level_us.saturating_add(self.part_us(price.room)).saturating_sub(self.tolerance_us());
        let level_us = if is_charged { level_us + self.part_us(price.charged) } else { level_us };
        let remaining = self.tolerance_us().saturating_sub(level_us) / self.step_us();
        Verdict {
            allowed: wait_us == 0,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: Duration::from_micros(level_us),
            retry_after: Duration::from_micros(wait_us),
        }
    }
}

/// About 35 years. Everything longer is cut to this, so that its sum with the time of day stays
/// exact in the doubles of Redis' Lua.
const LONGEST_US: u64 = 1 << 50;

/// One request against one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The counter's name without the store's prefix: `<limit>:<kind>:<value>`.
    pub key: String,
    pub quota: Quota,
    /// Charged even when the bearer turns out to be revoked (limits by address are; limits by
    /// user are not, or a thief could use up what belongs to the user).
    pub before_identity: bool,
    pub price: Price,
}

impl Charge {
    /// What it adds to the level.
    pub fn cost_us(&self) -> u64 {
        self.quota.part_us(self.price.charged)
    }

    /// How far below the tolerance the level has to be.
    pub fn room_us(&self) -> u64 {
        self.quota.part_us(self.price.room)
    }

    pub fn verdict(&self, level_us: u64, is_charged: bool) -> Verdict {
        self.quota.verdict(self.price, level_us, is_charged)
    }
}

/// How much of a request is charged, and how much of one has to fit: in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    pub charged: u32,
    pub room: u32,
}

impl Price {
    pub const WHOLE: Self = Self { charged: 1000, room: 1000 };

    /// A part, where a whole request would pass: whoever is at the limit is refused whatever it costs.
    pub fn part(thousandths: u32) -> Self {
        Self { charged: thousandths, room: 1000 }
    }

    /// What is missing to a whole request, after a part was charged.
    pub fn rest(self) -> Self {
        let rest = 1000 - self.charged.min(1000);
        Self { charged: rest, room: rest }
    }
}

/// What became of one charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    /// Requests that would pass right now, after this one.
    pub remaining: u32,
    /// Until the key is at rest again (`t` of `RateLimit`).
    pub reset_after: Duration,
    /// Until the next request would pass; zero when allowed.
    pub retry_after: Duration,
}

impl Verdict {
    /// The stricter of both, of two counters for the same requests.
    pub fn and(self, other: Self) -> Self {
        Self {
            allowed: self.allowed && other.allowed,
            remaining: self.remaining.min(other.remaining),
            reset_after: self.reset_after.max(other.reset_after),
            retry_after: self.retry_after.max(other.retry_after),
        }
    }
}

/// The counters of limits by their names, for operators.
#[async_trait]
pub trait Counters: Send + Sync {
    /// In microseconds until each is at rest, in order.
    async fn levels_us(&self, counters: &[String]) -> Result<Vec<u64>, StoreError>;
    /// Back to rest; what a gateway remembers of a counter it forgets within a second.
    async fn reset(&self, counters: &[String]) -> Result<(), StoreError>;
}
