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
    const ALL: [Self; 11] = [
        Self::Registered,
        Self::LoggedIn,
        Self::LoginFailed,
        Self::LockedOut,
        Self::RefreshReused,
        Self::LoggedOut,
        Self::RolesChanged,
        Self::Disabled,
        Self::Enabled,
        Self::Unlocked,
        Self::Deleted,
    ];

    /// The reverse of [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }

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

impl AuditRecord {
    /// The record as it is stored: the username cut, and no NUL anywhere, which Postgres would
    /// refuse and with it the record of the attempt.
    pub(super) fn storable(&self) -> Self {
        let without_nul = |text: &str| text.replace('\0', "\u{fffd}");
        Self {
            username: without_nul(&self.username.chars().take(64).collect::<String>()),
            request_id: self.request_id.as_deref().map(without_nul),
            detail: self.detail.as_deref().map(without_nul),
            ..self.clone()
        }
    }
}

#[async_trait]
pub trait AuditLog: Send + Sync {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError>;
    /// The newest `limit` records, newest first.
    async fn recent(&self, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;
}
