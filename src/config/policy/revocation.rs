//! How closely revocations are watched.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// How old the gateway's own copy of the revocations may be before requests ask the store again.
    /// `None`: they always do. Fixed at start.
    pub max_staleness: Option<Duration>,
    /// What a request with a bearer gets when revocation can't be checked: `true` lets it pass.
    pub admit_unchecked_bearers: bool,
}
