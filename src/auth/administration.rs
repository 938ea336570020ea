//! What operators do to accounts; the command line calls it. Whatever takes rights away takes
//! effect at once: tokens made before are revoked in the same breath.

use std::sync::Arc;

use uuid::Uuid;

use super::Stores;
use crate::clock::{Timestamp, now};
use crate::config::policy::Policy;
use crate::identity::{name, password};
use crate::store::{Account, AuditEvent, AuditRecord, CreateError, NewAccount, Revocation, StoreError};

const PAGE: u32 = 200;

#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    #[error("no account is called {0:?}")]
    Unknown(String),
    #[error("the username {0:?} is taken")]
    Taken(String),
    /// One sentence about what was wrong with the input.
    #[error("{0}")]
    Bad(String),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

/// An account to add; the password in clear.
pub struct NewUser<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub email: Option<&'a str>,
    pub roles: &'a [String],
}

pub struct Administration {
    stores: Stores,
    policy: Arc<Policy>,
}

type Done<T> = Result<T, AdministrationError>;

impl Administration {
    pub fn new(stores: Stores, policy: Arc<Policy>) -> Self {
        Self { stores, policy }
    }

    pub async fn add(&self, new: NewUser<'_>) -> Done<Account> {
        let rules = &self.policy.auth.password;
        name::check_username(new.username).map_err(AdministrationError::Bad)?;
        password::check(new.password, new.username, rules).map_err(AdministrationError::Bad)?;
        check_roles(new.roles)?;
        let account = NewAccount {
            id: Uuid::now_v7(),
            username: new.username.to_owned(),
            email: new.email.map(str::to_owned),
            password_hash: password::hash(new.password, rules.argon2),
            roles: new.roles.to_vec(),
            created_at: now(),
        };
        let account = match self.stores.accounts.create(&account).await {
            Ok(account) => account,
            Err(CreateError::UsernameTaken) => {
                return Err(AdministrationError::Taken(new.username.to_owned()));
            }
            Err(CreateError::Store(error)) => return Err(error.into()),
        };
        self.note(AuditEvent::Registered, &account, Some(account.roles.join(","))).await?;
        Ok(account)
    }

    /// A page of accounts after the given username, in its order; empty at the end.
    pub async fn list(&self, after: Option<&str>) -> Done<Vec<Account>> {
        Ok(self.stores.accounts.list(after, PAGE).await?)
    }

    pub async fn set_roles(&self, username: &str, roles: &[String]) -> Done<Account> {
        check_roles(roles)?;
        let account = self.find(username).await?;
        let changed = self.stores.accounts.set_roles(account.id, roles, now()).await?;
        let changed = changed.ok_or_else(|| AdministrationError::Unknown(username.to_owned()))?;
        self.make_stale(&changed).await?;
        self.note(AuditEvent::RolesChanged, &changed, Some(roles.join(","))).await?;
        Ok(changed)
    }

    pub async fn set_disabled(&self, username: &str, disabled: bool) -> Done<Account> {
        let account = self.find(username).await?;
        let changed = self.stores.accounts.set_disabled(account.id, disabled, now()).await?;
        let changed = changed.ok_or_else(|| AdministrationError::Unknown(username.to_owned()))?;
        self.make_stale(&changed).await?;
        if disabled {
            self.stores.sessions.end_all(changed.id, self.last_token_dies()).await?;
        }
        self.note(if disabled { AuditEvent::Disabled } else { AuditEvent::Enabled }, &changed, None).await?;
        Ok(changed)
    }

    /// `true` if there was a lockout or failures to clear.
    pub async fn unlock(&self, username: &str) -> Done<bool> {
        let account = self.find(username).await?;
        let was_locked = self.stores.lockouts.clear(&name::fold(&account.username)).await?;
        self.note(AuditEvent::Unlocked, &account, None).await?;
        Ok(was_locked)
    }

    pub async fn delete(&self, username: &str) -> Done<()> {
        let account = self.find(username).await?;
        // Tokens first: should the second step fail, the account is still there to try again.
        let every_version = Revocation::UserBelow(account.id, u64::from(u32::MAX));
        self.stores.revocations.revoke(every_version, self.last_token_dies()).await?;
        self.stores.sessions.end_all(account.id, self.last_token_dies()).await?;
        self.stores.accounts.delete(account.id).await?;
        self.note(AuditEvent::Deleted, &account, None).await
    }

    async fn find(&self, username: &str) -> Done<Account> {
        let found = self.stores.accounts.find_by_username(username).await?;
        found.ok_or_else(|| AdministrationError::Unknown(username.to_owned()))
    }

    /// Tokens made before the account's present version no longer count.
    async fn make_stale(&self, account: &Account) -> Done<()> {
        let below = Revocation::UserBelow(account.id, account.version);
        Ok(self.stores.revocations.revoke(below, self.last_token_dies()).await?)
    }

    /// When every access token that exists now has expired.
    fn last_token_dies(&self) -> Timestamp {
        let tokens = &self.policy.tokens;
        now() + tokens.access_ttl + tokens.leeway + std::time::Duration::from_secs(1)
    }

    async fn note(&self, event: AuditEvent, account: &Account, detail: Option<String>) -> Done<()> {
        let record = AuditRecord {
            at: now(),
            event,
            user_id: Some(account.id),
            username: account.username.clone(),
            address: None,
            request_id: None,
            detail,
        };
        Ok(self.stores.audit.append(&record).await?)
    }
}

fn check_roles(roles: &[String]) -> Done<()> {
    match roles.iter().find(|role| !name::is_role(role)) {
        Some(bad) => {
            Err(AdministrationError::Bad(format!("{bad:?} isn't a role name: a-z, 0-9 and _ . : -")))
        }
        None => Ok(()),
    }
}
