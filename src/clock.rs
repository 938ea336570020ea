//! Where the time comes from. Stores and token code take it as an argument.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// An instant in UTC.
pub type Timestamp = DateTime<Utc>;

/// The present, to the microsecond.
pub fn now() -> Timestamp {
    Utc::now()
}

/// Microseconds on a clock that nobody sets back.
pub type Monotonic = fn() -> u64;

/// Since the process looked for the first time.
pub fn monotonic_us() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_micros()).expect("584,000 years fit")
}

/// Rounded up, for header fields that count seconds: nobody is told to come back too early.
pub fn seconds_up(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// Whole seconds since the Unix epoch, the unit of JWT's NumericDate (RFC 7519 §2).
pub fn unix_seconds(at: Timestamp) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or(0)
}
