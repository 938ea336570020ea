//! Who did what, when: append only.

use async_trait::async_trait;

use super::{QueuedNotice, StoreError};
use crate::clock::Timestamp;
use crate::identity::{UserId, name};

#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum AuditEvent {
    Registered,
    LoggedIn,
    LoginFailed,
    LockedOut,
    RefreshReused,
    LoggedOut,
    RolesChanged,
    OperatorGranted,
    Disabled,
    Enabled,
    Unlocked,
    Deleted,
    ProfileChanged,
    PasswordChanged,
    SessionEnded,
    KeyCreated,
    KeyDeleted,
    KeysEnded,
    TokenMinted,
    Imported,
    VerificationSent,
    EmailVerified,
    PasswordResetSent,
    PasswordReset,
    OneTimeTokenRefused,
    NoticeSent,
    MailFailed,
    KeysRotated,
    SecondFactorEnabled,
    SecondFactorDisabled,
    SecondFactorReset,
    RecoveryCodeUsed,
    RecoveryCodesRenewed,
    Mended,
    NameFreed,
}

impl AuditEvent {
    pub const ALL: [Self; 35] = [
        Self::Registered,
        Self::LoggedIn,
        Self::LoginFailed,
        Self::LockedOut,
        Self::RefreshReused,
        Self::LoggedOut,
        Self::RolesChanged,
        Self::OperatorGranted,
        Self::Disabled,
        Self::Enabled,
        Self::Unlocked,
        Self::Deleted,
        Self::ProfileChanged,
        Self::PasswordChanged,
        Self::SessionEnded,
        Self::KeyCreated,
        Self::KeyDeleted,
        Self::KeysEnded,
        Self::TokenMinted,
        Self::Imported,
        Self::VerificationSent,
        Self::EmailVerified,
        Self::PasswordResetSent,
        Self::PasswordReset,
        Self::OneTimeTokenRefused,
        Self::NoticeSent,
        Self::MailFailed,
        Self::KeysRotated,
        Self::SecondFactorEnabled,
        Self::SecondFactorDisabled,
        Self::SecondFactorReset,
        Self::RecoveryCodeUsed,
        Self::RecoveryCodesRenewed,
        Self::Mended,
        Self::NameFreed,
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
            Self::OperatorGranted => "operator_granted",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Unlocked => "unlocked",
            Self::Deleted => "deleted",
            Self::ProfileChanged => "profile_changed",
            Self::PasswordChanged => "password_changed",
            Self::SessionEnded => "session_ended",
            Self::KeyCreated => "key_created",
            Self::KeyDeleted => "key_deleted",
            Self::KeysEnded => "keys_ended",
            Self::TokenMinted => "token_minted",
            Self::Imported => "imported",
            Self::VerificationSent => "verification_sent",
            Self::EmailVerified => "email_verified",
            Self::PasswordResetSent => "password_reset_sent",
            Self::PasswordReset => "password_reset",
            Self::OneTimeTokenRefused => "one_time_token_refused",
            Self::NoticeSent => "notice_sent",
            Self::MailFailed => "mail_failed",
            Self::KeysRotated => "keys_rotated",
            Self::SecondFactorEnabled => "second_factor_enabled",
            Self::SecondFactorDisabled => "second_factor_disabled",
            Self::SecondFactorReset => "second_factor_reset",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::RecoveryCodesRenewed => "recovery_codes_renewed",
            Self::Mended => "mended",
            Self::NameFreed => "name_freed",
        }
    }

    /// `failure` where somebody was refused.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::LoginFailed | Self::RefreshReused | Self::OneTimeTokenRefused | Self::MailFailed => {
                "failure"
            }
            _ => "success",
        }
    }
}

/// One line of the audit log. No password, token or cookie ever gets in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    pub at: Timestamp,
    pub event: AuditEvent,
    pub user_id: Option<UserId>,
    /// As presented; for failed logins of unknown users it is all there is. Cut to the length of the longest username.
    pub username: String,
    /// Who did it: a username, or `cli:` and the login of the operator at the command line. `None`
    /// where nobody has shown who they are.
    pub actor: Option<String>,
    pub address: Option<std::net::IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    /// The reason, or more words for people, such as the new roles.
    pub detail: Option<String>,
    /// Mail that tells of it, which is in its queue when the record is in the log. None where records are read.
    pub notices: Vec<QueuedNotice>,
}

impl AuditRecord {
    /// The record as it is stored: the username cut, and no NUL anywhere, which Postgres would
    /// refuse and with it the record of the attempt.
    pub(super) fn storable(&self) -> Self {
        let without_nul = |text: &str| text.replace('\0', "\u{fffd}");
        Self {
            username: without_nul(&self.username.chars().take(name::MAX_USERNAME).collect::<String>()),
            actor: self.actor.as_deref().map(without_nul),
            user_agent: self.user_agent.as_deref().map(without_nul),
            request_id: self.request_id.as_deref().map(without_nul),
            detail: self.detail.as_deref().map(without_nul),
            ..self.clone()
        }
    }
}

/// A record and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: i64,
    pub record: AuditRecord,
}

/// Which records to find; all of the conditions that are given hold.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub user_id: Option<UserId>,
    pub event: Option<AuditEvent>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Earlier than this time.
    pub until: Option<Timestamp>,
    /// Only records with a smaller id: the next page.
    pub before_id: Option<i64>,
}

/// How far the log has been followed; only the log itself can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPosition(pub String);

/// Records, and how far the log has been read with them.
pub type AuditPage = (Vec<AuditEntry>, AuditPosition);

#[async_trait]
pub trait AuditLog: Send + Sync {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError>;
    /// Removes the oldest records from before this time, at most `limit`; how many it were.
    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// The newest `limit` records that fit, newest first.
    async fn find(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;
    /// The same, and where the log ends at that moment.
    async fn newest(&self, filter: &AuditFilter, limit: u32) -> Result<AuditPage, StoreError>;
    /// What has been written since and fits, oldest first: `limit` records of it or all that there are. Each
    /// comes once and none is missed, also of a transaction that took long: its ids may lie before others'
    /// that have come already. `None` if that is no position in this log.
    async fn since(
        &self,
        filter: &AuditFilter,
        position: &AuditPosition,
        limit: u32,
    ) -> Result<Option<AuditPage>, StoreError>;
}
