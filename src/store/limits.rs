//! Rate limits by GCRA (the leaky bucket as a meter, ITU-T I.371): exact, one number per key.

use std::time::Duration;

/// How much is allowed: `count` per `window`, at most `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Microseconds that one request uses up: window / count.
    pub emission_us: u64,
    /// Requests that may come at once after a rest; at least 1.
    pub burst: u32,
    /// As configured, for `RateLimit-Policy`.
    pub count: u32,
    pub window: Duration,
}

impl Quota {
    /// `burst` is `count` unless the limit says otherwise.
    pub fn new(count: std::num::NonZeroU32, window: Duration, burst: std::num::NonZeroU32) -> Self {
        let window_us = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Self {
            emission_us: (window_us / u64::from(count.get())).max(1),
            burst: burst.get(),
            count: count.get(),
            window,
        }
    }
}

/// One request against one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The counter's name without the store's prefix: `<limit>:<kind>:<value>`.
    pub key: String,
    pub quota: Quota,
    /// Charged even when the bearer turns out to be revoked (limits by address are; limits by
    /// user are not, or a thief could use up what belongs to the user).
    pub before_identity: bool,
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
