//! What is kept of the audit log.

use std::time::Duration;

use super::Quota;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Records that are older are removed; `None`: all are kept.
    pub keep: Option<Duration>,
    /// Rows of failures by callers who haven't shown who they are, by gateway: so many of accounts that exist,
    /// and as many of others. The log has them all.
    pub failures: Quota,
}
