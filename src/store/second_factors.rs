//! Second factors: the sealed secret of an authenticator app and the hashes of recovery codes, beside the
//! account they belong to.

use async_trait::async_trait;

use super::{Account, AuditRecord, StoreError};
use crate::clock::Timestamp;
use crate::identity::UserId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondFactor {
    pub sealed_secret: Vec<u8>,
    /// Whether the owner has shown a code; until then the factor counts for nothing.
    pub is_confirmed: bool,
    pub recovery_codes: u64,
}

/// The hash of a recovery code.
pub type CodeHash = [u8; 32];

/// They go with their account. Changes come with their record for the audit log: both are written, or
/// neither. What takes an account changes nothing if that has another version by now, or is gone.
#[async_trait]
pub trait SecondFactors: Send + Sync {
    async fn find(&self, user: UserId) -> Result<Option<SecondFactor>, StoreError>;
    /// Keeps an unconfirmed one in place of any such; `false` if the account changed meanwhile or has a
    /// confirmed one.
    async fn begin(&self, account: &Account, sealed_secret: &[u8]) -> Result<bool, StoreError>;
    /// Confirms the unconfirmed one if it has this secret and was begun under the account's present
    /// credentials, by the code of `step`, and raises the account's version and credentials. The account, which
    /// says so from now on; `None` if the account changed meanwhile or there is none to confirm.
    async fn confirm(
        &self,
        account: &Account,
        sealed_secret: &[u8],
        step: u64,
        codes: &[CodeHash],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
    /// Uses the code of a step up: `false` if it or a later one was used before. Of many at once with
    /// one code, at whatever gateways, one succeeds.
    async fn use_step(&self, user: UserId, step: u64) -> Result<bool, StoreError>;
    /// Uses a recovery code up; `false` if there is no such code.
    async fn use_code(&self, user: UserId, code: &CodeHash) -> Result<bool, StoreError>;
    /// `false` if the account changed meanwhile or there is no confirmed factor.
    async fn replace_codes(
        &self,
        account: &Account,
        codes: &[CodeHash],
        note: &AuditRecord,
    ) -> Result<bool, StoreError>;
    /// Replaces the secret's seal if it still is the old one.
    async fn reseal(&self, user: UserId, old: &[u8], new: &[u8]) -> Result<(), StoreError>;
    /// Removes factor and codes, and raises the account's version and credentials; `None` if the account
    /// changed meanwhile or there was no confirmed factor.
    async fn remove(
        &self,
        account: &Account,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
}
