//! Personal API keys, beside the accounts they belong to.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Account, AuditRecord, StoreError};
use crate::clock::Timestamp;
use crate::identity::UserId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: Uuid,
    pub user_id: UserId,
    /// The owner's word for it.
    pub name: String,
    pub secret_hash: Vec<u8>,
    /// The key has those of them that the account has, too.
    pub roles: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// To the minute or so.
    pub last_used_at: Option<Timestamp>,
}

/// What became of a key to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCreation {
    Created,
    /// The account has as many as it may have.
    TooMany,
    /// The account has another version by now, or is gone.
    AccountChanged,
}

impl ApiKey {
    /// When it ends: no later than after the longest life that keys have.
    pub fn ends_at(&self, max_ttl: Option<Duration>) -> Option<Timestamp> {
        let latest = max_ttl.map(|ttl| self.created_at + ttl);
        match (self.expires_at, latest) {
            (Some(own), Some(latest)) => Some(own.min(latest)),
            (own, latest) => own.or(latest),
        }
    }
}

/// Keys go with their account. Making and deleting one come with their record for the audit log: both
/// are written, or neither.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Of this account, if it still has this version and fewer than `most` keys.
    async fn create(
        &self,
        owner: &Account,
        key: &ApiKey,
        most: u32,
        note: &AuditRecord,
    ) -> Result<KeyCreation, StoreError>;
    /// In order of creation.
    async fn list(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError>;
    /// With its account, as it is now.
    async fn find(&self, id: Uuid) -> Result<Option<(ApiKey, Account)>, StoreError>;
    /// Notes that it was used; never goes back.
    async fn note_use(&self, id: Uuid, now: Timestamp) -> Result<(), StoreError>;
    /// Of every account, with their usernames, in order of id: `limit` of them after this one.
    async fn list_all(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<(ApiKey, String)>, StoreError>;
    /// All that the user has; their ids. Nothing is recorded if there was none.
    async fn delete_all(&self, user: UserId, note: &AuditRecord) -> Result<Vec<Uuid>, StoreError>;
    /// `false` if the user has no such key.
    async fn delete(&self, user: UserId, id: Uuid, note: &AuditRecord) -> Result<bool, StoreError>;
}
