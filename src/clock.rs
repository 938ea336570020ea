//! Where the time comes from. Stores and token code take it as an argument.

use chrono::{DateTime, Utc};

/// An instant in UTC.
pub type Timestamp = DateTime<Utc>;

/// The present, to the microsecond.
pub fn now() -> Timestamp {
    Utc::now()
}

/// Whole seconds since the Unix epoch, the unit of JWT's NumericDate (RFC 7519 §2).
pub fn unix_seconds(at: Timestamp) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or(0)
}
