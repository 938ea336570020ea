//! Consecutive failed logins per name. Unknown names are counted like known ones, so that neither
//! time nor answer tells which accounts exist.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::config::policy::LockoutRule;

#[async_trait]
pub trait Lockouts: Send + Sync {
    /// Counts one more failure; atomic, so that parallel guesses all count. `true` for the failure
    /// that locks the name (exactly once per lockout, for the audit log). Failures while locked
    /// change nothing: a stranger can't prolong a lockout for ever. A count is forgotten when
    /// `rule.for_` has gone by without a failure.
    async fn record_failure(&self, name: &str, rule: LockoutRule, now: Timestamp)
    -> Result<bool, StoreError>;
    /// How much longer the name is locked; `None` if it isn't.
    async fn locked_for(&self, name: &str, now: Timestamp) -> Result<Option<Duration>, StoreError>;
    /// After a right password, or by an operator. `true` if there was anything to clear.
    async fn clear(&self, name: &str) -> Result<bool, StoreError>;
}
