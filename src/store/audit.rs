//! Who did what, when: append only.

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::identity::UserId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditEvent {
    Registered,
    LoggedIn,
    LoginFailed,
    LockedOut,
    RefreshReused,
    LoggedOut,
    RolesChanged,
    Disabled,
    Enabled,
    Unlocked,
    Deleted,
}

impl AuditEvent {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LoggedIn => "logged_in",
            Self::LoginFailed => "login_failed",
            Self::LockedOut => "locked_out",
            Self::RefreshReused => "refresh_reused",
            Self::LoggedOut => "logged_out",
            Self::RolesChanged => "roles_changed",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Unlocked => "unlocked",
            Self::Deleted => "deleted",
        }
    }
}

/// One line of the audit log. No password, token or cookie ever gets in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    pub at: Timestamp,
    pub event: AuditEvent,
    pub user_id: Option<UserId>,
    /// As presented; for failed logins of unknown users it is all there is. Cut to 64 characters.
    pub username: String,
    pub address: Option<std::net::IpAddr>,
    pub request_id: Option<String>,
    /// More words for people, such as the new roles.
    pub detail: Option<String>,
}

#[async_trait]
pub trait AuditLog: Send + Sync {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError>;
    /// The newest `limit` records, newest first.
    async fn recent(&self, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;
}
