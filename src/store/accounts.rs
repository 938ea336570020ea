//! The people: one row each, in Postgres or SQLite.

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::identity::UserId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: UserId,
    /// As the user wrote it; unique without regard to case.
    pub username: String,
    pub email: Option<String>,
    /// PHC string format.
    pub password_hash: String,
    pub roles: Vec<String>,
    /// Goes up by one whenever tokens issued before must no longer count (roles, disable, password).
    pub version: u64,
    pub disabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What registering needs. The name was checked by `identity::name`, the password is hashed.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: UserId,
    pub username: String,
    pub email: Option<String>,
    pub password_hash: String,
    pub roles: Vec<String>,
    pub created_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("the username is taken")]
    UsernameTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[async_trait]
pub trait Accounts: Send + Sync {
    /// Adds an account with version 1. Of two at once with the same name (in any case), one wins.
    async fn create(&self, new: &NewAccount) -> Result<Account, CreateError>;
    /// Without regard to case.
    async fn find_by_username(&self, username: &str) -> Result<Option<Account>, StoreError>;
    async fn find_by_id(&self, id: UserId) -> Result<Option<Account>, StoreError>;
    /// In order of username, `limit` at most, after `after` (a username, exclusive).
    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Account>, StoreError>;
    /// Replaces the roles and raises the version; the changed account, or `None` if unknown.
    async fn set_roles(
        &self,
        id: UserId,
        roles: &[String],
        now: Timestamp,
    ) -> Result<Option<Account>, StoreError>;
    /// Disables or enables, and raises the version; the changed account, or `None` if unknown.
    async fn set_disabled(
        &self,
        id: UserId,
        disabled: bool,
        now: Timestamp,
    ) -> Result<Option<Account>, StoreError>;
    /// Replaces the hash if it still is `old_hash` (two upgrades at once: one wins); the version
    /// stays, since the password is the same. `false` if it was another one.
    async fn upgrade_hash(
        &self,
        id: UserId,
        old_hash: &str,
        new_hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// `false` if there was none.
    async fn delete(&self, id: UserId) -> Result<bool, StoreError>;
    /// Whether the store answers at all; for `/readyz`.
    async fn ping(&self) -> Result<(), StoreError>;
}
