//! The people: one row each, in Postgres or SQLite.

use async_trait::async_trait;

use super::{AuditRecord, StoreError};
use crate::clock::Timestamp;
use crate::identity::UserId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: UserId,
    /// As the user wrote it; unique without regard to case.
    pub username: String,
    pub email: Option<String>,
    /// Whether mail to the address reaches the user, or an operator answers for it.
    pub email_verified: bool,
    /// Another address that the owner gave; it replaces a confirmed `email` once it is confirmed itself.
    pub pending_email: Option<String>,
    /// Registered where an address must be confirmed before the first login, and none was confirmed yet.
    pub must_confirm_email: bool,
    /// Whether a login takes a second step.
    pub has_second_factor: bool,
    /// PHC string format.
    pub password_hash: String,
    pub roles: Vec<String>,
    /// Goes up by one whenever tokens issued before must no longer count (roles, disable, password).
    pub version: u64,
    /// Goes up, together with `version`, when sessions begun before must no longer go on: the password or the
    /// second factor changed, or the account was disabled.
    pub credentials: u64,
    pub disabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Account {
    /// The only address that upstreams, tokens and mail about the account may be given.
    pub fn confirmed_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified)
    }

    /// The address that a mail should ask to confirm.
    pub fn unconfirmed_email(&self) -> Option<&str> {
        match self.confirmed_email() {
            Some(_) => self.pending_email.as_deref(),
            None => self.email.as_deref(),
        }
    }

    /// The address that the owner gave last, confirmed or not.
    pub fn latest_email(&self) -> Option<&str> {
        self.unconfirmed_email().or(self.confirmed_email())
    }
}

/// Which accounts are meant by an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressState {
    Confirmed,
    /// Of the account, or a pending change.
    Unconfirmed,
}

/// What registering needs. The name was checked by `identity::name`, the password is hashed.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: UserId,
    pub username: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub must_confirm_email: bool,
    pub password_hash: String,
    pub roles: Vec<String>,
    pub created_at: Timestamp,
}

/// An account that another program kept so far, with its record for the audit log. Its name was
/// checked, and its hash can be verified.
#[derive(Debug, Clone)]
pub struct ImportedAccount {
    pub account: NewAccount,
    pub disabled: bool,
    /// Of a second factor that is on from the start; sealed.
    pub sealed_secret: Option<Vec<u8>>,
    pub note: AuditRecord,
}

/// Which accounts a list has, in order of username.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountFilter<'a> {
    /// What the username begins with, in any case.
    pub prefix: Option<&'a str>,
    /// Only usernames after this one.
    pub after: Option<&'a str>,
}

/// A name that an account had. Nobody else gets it until it is freed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerName {
    /// As that account wrote it.
    pub username: String,
    /// The account may be gone.
    pub user_id: UserId,
    pub since: Timestamp,
}

/// Why an account didn't get its name.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("the username is taken")]
    UsernameTaken,
    /// Another account had it.
    #[error("the username was another account's")]
    UsernameReserved,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CreateError {
    /// Whether an account can't have a name that another one has, or had.
    pub fn of_name(has_holder: bool, had_holder: bool) -> Option<Self> {
        match (has_holder, had_holder) {
            (true, _) => Some(Self::UsernameTaken),
            (false, true) => Some(Self::UsernameReserved),
            (false, false) => None,
        }
    }
}

/// Every change comes with its record for the audit log: both are written, or neither. A change takes the
/// account as it was when the change was decided on, and is made in one statement that names its version: if
/// the account has another version by now, or is gone, nothing is changed or recorded.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Adds an account with version 1. Of two at once with the same name (in any case), one wins.
    async fn create(&self, new: &NewAccount, note: &AuditRecord) -> Result<Account, CreateError>;
    /// Adds all of them with version 1, or none when one of the names is taken or was another account's, or an id is
    /// there already. `progress` is told how many are written so far.
    async fn import(
        &self,
        rows: &[ImportedAccount],
        progress: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<(), CreateError>;
    /// Which of these ids accounts have.
    async fn known_ids(&self, ids: &[UserId]) -> Result<Vec<UserId>, StoreError>;
    /// Which of these names, all folded, accounts have or had; folded.
    async fn taken(&self, names: &[String]) -> Result<Vec<String>, StoreError>;
    /// Without regard to case.
    async fn find_by_username(&self, username: &str) -> Result<Option<Account>, StoreError>;
    async fn find_by_id(&self, id: UserId) -> Result<Option<Account>, StoreError>;
    /// Without regard to case; those with a confirmed address first, then the oldest; `limit` at most.
    async fn find_by_email(
        &self,
        email: &str,
        state: AddressState,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError>;
    /// Those with at least one of these roles; oldest first, `limit` at most.
    async fn find_by_roles(&self, roles: &[String], limit: u32) -> Result<Vec<Account>, StoreError>;
    /// In order of username, `limit` at most.
    async fn list(&self, filter: AccountFilter<'_>, limit: u32) -> Result<Vec<Account>, StoreError>;
    /// Replaces the username, gives an address, and raises the version; the changed account, or `None` if it
    /// changed meanwhile. A confirmed address stays until the one given is confirmed, which is pending until then; one that
    /// isn't confirmed is replaced at once. The confirmed address itself ends a pending change, and no address
    /// removes all. With a new hash the password is replaced in the same step, which raises the credentials, too.
    async fn set_profile(
        &self,
        account: &Account,
        username: &str,
        email: Option<&str>,
        new_hash: Option<&str>,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, CreateError>;
    /// Replaces the address, which counts as confirmed or has yet to be, drops a pending one, and raises the version;
    /// `None` if the account changed meanwhile.
    async fn set_email(
        &self,
        account: &Account,
        email: &str,
        is_confirmed: bool,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
    /// Replaces the hash, and raises version and credentials; `None` if the account changed meanwhile.
    async fn set_password(
        &self,
        account: &Account,
        new_hash: &str,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
    /// Replaces the roles and raises the version; `None` if the account changed meanwhile.
    async fn set_roles(
        &self,
        account: &Account,
        roles: &[String],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
    /// Disables or enables, and raises the version; disabling raises the credentials, too. `None` if the
    /// account changed meanwhile.
    async fn set_disabled(
        &self,
        account: &Account,
        disabled: bool,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
    /// Sets a version that is higher than the present one, and raises the credentials; `None` if the
    /// account changed meanwhile.
    async fn raise_version(
        &self,
        account: &Account,
        version: u64,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError>;
    /// Replaces the hash if it still is `old_hash` (two upgrades at once: one wins); the version
    /// stays, since the password is the same, and so does the audit log. `false` if it was another one.
    async fn upgrade_hash(
        &self,
        id: UserId,
        old_hash: &str,
        new_hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// `false` if the account changed meanwhile, or is gone already.
    async fn delete(&self, account: &Account, note: &AuditRecord) -> Result<bool, StoreError>;
    /// Whether the store answers at all; for `/readyz`.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Names that accounts had and nobody has got since, in order of name, `limit` at most.
    async fn former_names(&self, after: Option<&str>, limit: u32) -> Result<Vec<FormerName>, StoreError>;
    /// Lets anybody have a former name; `false` if it was none.
    async fn free_name(&self, username: &str, note: &AuditRecord) -> Result<bool, StoreError>;
}
