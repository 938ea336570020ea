//! Tokens that work once and for a while: sent by mail, or handed out between the two steps of a login.

use std::time::Duration;

use async_trait::async_trait;

use super::{Account, AuditRecord, StoreError};
use crate::clock::Timestamp;
use crate::identity::UserId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    VerifyEmail,
    ResetPassword,
    /// The password was right; the second factor is to follow.
    SecondFactor,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::SecondFactor => "second_factor",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimeToken {
    pub hash: [u8; 32],
    pub purpose: Purpose,
    pub user_id: UserId,
    /// Where it is sent, in lower case. Good only while the account has this address.
    pub address: Option<String>,
    /// Good only while the account has this version.
    pub version: Option<u64>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Tokens go with their account, and are no good while it is disabled. Of many who present the same one
/// at once, one succeeds. What a token brings about comes with its record for the audit log: all of it is
/// written, or nothing.
#[async_trait]
pub trait OneTimeTokens: Send + Sync {
    /// `false`, and nothing kept, if the account is gone. A token with an address isn't kept either when `most` of the
    /// account's for this purpose were made within the time before. Those that confirm an address count by the address
    /// as well, apart for accounts that have a confirmed one: strangers who name it use up none of the owner's.
    async fn keep(&self, token: &OneTimeToken, most: (u32, Duration)) -> Result<bool, StoreError>;
    /// The account of a token that is good; the token stays so.
    async fn owner(
        &self,
        hash: &[u8],
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Account>, StoreError>;
    /// Uses the token up; `false` if it was no good.
    async fn redeem(&self, hash: &[u8], purpose: Purpose, now: Timestamp) -> Result<bool, StoreError>;
    /// Uses the token up and confirms the address it was sent to, which the account must still have: its own, or the
    /// pending one, which replaces the former and raises the version. `None` if the token was no good.
    async fn verify_email(
        &self,
        hash: &[u8],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
    /// Uses the token up, replaces the hash of the password and raises version and credentials, which voids
    /// the account's other tokens of this kind. Good only while the address is confirmed. `None` if the token was no
    /// good.
    async fn reset_password(
        &self,
        hash: &[u8],
        password_hash: &str,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
}
