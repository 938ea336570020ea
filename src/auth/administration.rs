//! What operators do to accounts and sessions; the command line and the admin API call it. Whatever
//! takes rights away takes effect at once: tokens made before are revoked in the same breath.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Mailer, PasswordQueue, Stores, audit, password};
use crate::accounts::operators::Grant;
use crate::clock::{Timestamp, now};
use crate::config::policy::Policy;
use crate::identity::{SessionId, UserId, name};
use crate::rejection::Rejection;
use crate::store::{
    Account, AccountFilter, AuditEntry, AuditEvent, AuditFilter, AuditPage, AuditPosition, AuditRecord,
    CreateError, NewAccount, Revocation, Session, StoreError,
};

#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    #[error("no account is called {0:?}")]
    Unknown(String),
    #[error("there is no session {0}")]
    UnknownSession(SessionId),
    #[error("the username {0:?} is taken")]
    Taken(String),
    /// One sentence about what was wrong with the input.
    #[error("{0}")]
    Bad(String),
    /// One sentence about what was wrong with the password.
    #[error("{0}")]
    Weak(String),
    /// Hashing was refused.
    #[error("{}", .0.code.detail())]
    Busy(Rejection),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

/// An account to add; the password in clear.
pub struct NewUser<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub email: Option<&'a str>,
    pub roles: &'a [String],
    /// Whether it was said that the account may become an operator.
    pub allow_operators: bool,
}

/// Who does it, for the audit log.
#[derive(Debug, Clone)]
pub struct Operator {
    /// A username, or `cli:` and the login at the command line.
    pub name: String,
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

pub struct Administration {
    pub stores: Stores,
    pub policy: Arc<Policy>,
    pub passwords: PasswordQueue,
    pub mailer: Mailer,
    pub operator: Operator,
}

pub(super) type Done<T> = Result<T, AdministrationError>;

impl Administration {
    pub async fn add(&self, new: NewUser<'_>) -> Done<Account> {
        let username = name::username(new.username).map_err(AdministrationError::Bad)?;
        if let Some(email) = new.email {
            name::check_email(email).map_err(AdministrationError::Bad)?;
        }
        check_roles(new.roles)?;
        let granted = self.check_grant(&[], new.roles, new.allow_operators)?;
        let account = NewAccount {
            id: Uuid::now_v7(),
            password_hash: self.hash(new.password, &username, new.email).await?,
            username,
            email: new.email.map(str::to_owned),
            // Operators answer for it.
            email_verified: true,
            roles: new.roles.to_vec(),
            created_at: now(),
        };
        let roles = Some(account.roles.join(","));
        let record = self.record(AuditEvent::Registered, account.id, &account.username, roles);
        let created = self.stores.accounts.create(&account, &record).await;
        let account = created.map_err(|error| match error {
            CreateError::UsernameTaken => AdministrationError::Taken(account.username.clone()),
            CreateError::Store(error) => error.into(),
        })?;
        audit::log(&record);
        self.note_grants(&[Grant { id: account.id, username: account.username.clone(), roles: granted }])
            .await?;
        Ok(account)
    }

    /// A page of accounts in order of username; empty at the end.
    pub async fn list(&self, filter: AccountFilter<'_>, limit: u32) -> Done<Vec<Account>> {
        Ok(self.stores.accounts.list(filter, limit).await?)
    }

    /// By id or by username, which can't look like an id.
    pub async fn find(&self, user: &str) -> Done<Account> {
        let found = match Uuid::parse_str(user) {
            Ok(id) => self.stores.accounts.find_by_id(id).await?,
            Err(_) => self.stores.accounts.find_by_username(user).await?,
        };
        found.ok_or_else(|| AdministrationError::Unknown(user.to_owned()))
    }

    /// `allow_operators`: whether it was said that the account may become an operator.
    pub async fn set_roles(&self, user: &str, roles: &[String], allow_operators: bool) -> Done<Account> {
        check_roles(roles)?;
        let account = self.find(user).await?;
        let granted = self.check_grant(&account.roles, roles, allow_operators)?;
        let record = self.about(AuditEvent::RolesChanged, &account, Some(roles.join(",")));
        let changed = self.stores.accounts.set_roles(account.id, roles, now(), &record).await?;
        let changed = self.make_stale(user, changed, &record).await?;
        self.note_grants(&[Grant { id: changed.id, username: changed.username.clone(), roles: granted }])
            .await?;
        Ok(changed)
    }

    pub async fn set_disabled(&self, user: &str, disabled: bool) -> Done<Account> {
        let account = self.find(user).await?;
        let event = if disabled { AuditEvent::Disabled } else { AuditEvent::Enabled };
        let record = self.about(event, &account, None);
        let changed = self.stores.accounts.set_disabled(account.id, disabled, now(), &record).await?;
        let changed = self.make_stale(user, changed, &record).await?;
        if disabled {
            self.stores.sessions.end_all(changed.id, self.last_token_dies()).await?;
        }
        Ok(changed)
    }

    /// A new password, whatever the old one was; every session ends.
    pub async fn set_password(&self, user: &str, password: &str) -> Done<Account> {
        let account = self.find(user).await?;
        let hash = self.hash(password, &account.username, account.email.as_deref()).await?;
        let record = self.about(AuditEvent::PasswordChanged, &account, None);
        let changed = self.stores.accounts.set_password(account.id, None, &hash, now(), &record).await?;
        let changed = self.make_stale(user, changed, &record).await?;
        self.stores.sessions.end_all(changed.id, self.last_token_dies()).await?;
        Ok(changed)
    }

    /// Takes the second factor away; every session ends. `false` if there was none.
    pub async fn reset_mfa(&self, user: &str) -> Done<bool> {
        let account = self.find(user).await?;
        if !account.has_second_factor {
            return Ok(false);
        }
        // Before, so that a state store that fails leaves all as it was, and the next try isn't told that there is
        // nothing to do; after, for logins that came in between.
        self.stores.sessions.end_all(account.id, self.last_token_dies()).await?;
        let record = self.about(AuditEvent::SecondFactorReset, &account, None);
        let Some(changed) = self.stores.second_factors.remove(account.id, now(), &record).await? else {
            return Ok(false);
        };
        let changed = self.make_stale(user, Some(changed), &record).await?;
        self.stores.sessions.end_all(changed.id, self.last_token_dies()).await?;
        Ok(true)
    }

    /// `true` if there was a lockout or failures to clear.
    pub async fn unlock(&self, user: &str) -> Done<bool> {
        let account = self.find(user).await?;
        let was_locked = self.stores.lockouts.clear(&name::fold(&account.username)).await?;
        self.append(self.about(AuditEvent::Unlocked, &account, None)).await?;
        Ok(was_locked)
    }

    pub async fn delete(&self, user: &str) -> Done<()> {
        let account = self.find(user).await?;
        // Tokens first: should the last step fail, the account is still there to try again.
        let every_version = Revocation::UserBelow(account.id, u64::from(u32::MAX));
        self.stores.revocations.revoke(every_version, self.last_token_dies()).await?;
        self.stores.sessions.end_all(account.id, self.last_token_dies()).await?;
        let record = self.about(AuditEvent::Deleted, &account, None);
        if self.stores.accounts.delete(account.id, &record).await? {
            audit::log(&record);
        }
        Ok(())
    }

    pub async fn sessions(&self, user: &str) -> Done<Vec<Session>> {
        let account = self.find(user).await?;
        Ok(self.stores.sessions.list(account.id, now()).await?)
    }

    pub async fn end_session(&self, id: SessionId) -> Done<()> {
        let found = self.stores.sessions.find(id, now()).await?;
        let session = found.ok_or(AdministrationError::UnknownSession(id))?;
        self.stores.sessions.end(id, self.last_token_dies()).await?;
        let detail = Some(id.to_string());
        self.append(self.record(AuditEvent::SessionEnded, session.user_id, &session.username, detail)).await
    }

    /// Notes that a token is about to be made outside of any login.
    pub async fn note_mint(&self, account: &Account) -> Done<()> {
        self.append(self.about(AuditEvent::TokenMinted, account, None)).await
    }

    /// Notes that the keys of all tokens were rotated, which concerns nobody in particular.
    pub async fn note_rotation(&self) -> Done<()> {
        let record = self.record(AuditEvent::KeysRotated, UserId::nil(), "", None);
        self.append(AuditRecord { user_id: None, ..record }).await
    }

    /// How many there were.
    pub async fn end_sessions(&self, user: &str) -> Done<u64> {
        let account = self.find(user).await?;
        let ended = self.stores.sessions.end_all(account.id, self.last_token_dies()).await?;
        let detail = Some(format!("everywhere: {ended} sessions"));
        self.append(self.about(AuditEvent::SessionEnded, &account, detail)).await?;
        Ok(ended)
    }

    /// Newest first.
    pub async fn audit(&self, filter: &AuditFilter, limit: u32) -> Done<Vec<AuditEntry>> {
        Ok(self.stores.audit.find(filter, limit).await?)
    }

    /// The same, and where the log ends now.
    pub async fn newest_audit(&self, filter: &AuditFilter, limit: u32) -> Done<AuditPage> {
        Ok(self.stores.audit.newest(filter, limit).await?)
    }

    /// What has come since, oldest first.
    pub async fn audit_since(&self, filter: &AuditFilter, position: &str, limit: u32) -> Done<AuditPage> {
        let position = AuditPosition(position.to_owned());
        let page = self.stores.audit.since(filter, &position, limit).await?;
        page.ok_or_else(|| AdministrationError::Bad("`after` is no `position` in this audit log".to_owned()))
    }

    async fn hash(&self, password: &str, username: &str, email: Option<&str>) -> Done<String> {
        password::check(&self.policy, password, username, email).map_err(AdministrationError::Weak)?;
        let password = Zeroizing::new(password.to_owned());
        self.passwords
            .hash(password, self.policy.auth.password.argon2)
            .await
            .map_err(AdministrationError::Busy)
    }

    /// Tokens made before the account's present version no longer count.
    async fn make_stale(&self, user: &str, changed: Option<Account>, record: &AuditRecord) -> Done<Account> {
        let changed = changed.ok_or_else(|| AdministrationError::Unknown(user.to_owned()))?;
        audit::log(record);
        let below = Revocation::UserBelow(changed.id, changed.version);
        self.stores.revocations.revoke(below, self.last_token_dies()).await?;
        Ok(changed)
    }

    /// When every access token that exists now has expired.
    fn last_token_dies(&self) -> Timestamp {
        let tokens = &self.policy.tokens;
        now() + tokens.access_ttl + tokens.leeway + std::time::Duration::from_secs(1)
    }

    pub(super) async fn append(&self, record: AuditRecord) -> Done<()> {
        audit::log(&record);
        Ok(self.stores.audit.append(&record).await?)
    }

    fn about(&self, event: AuditEvent, account: &Account, detail: Option<String>) -> AuditRecord {
        self.record(event, account.id, &account.username, detail)
    }

    pub(super) fn record(
        &self,
        event: AuditEvent,
        id: UserId,
        username: &str,
        detail: Option<String>,
    ) -> AuditRecord {
        AuditRecord {
            at: now(),
            event,
            user_id: Some(id),
            username: username.to_owned(),
            actor: Some(self.operator.name.clone()),
            address: self.operator.address,
            user_agent: self.operator.user_agent.clone(),
            request_id: self.operator.request_id.clone(),
            detail,
        }
    }
}

pub(super) fn check_roles(roles: &[String]) -> Done<()> {
    match roles.iter().find(|role| !name::is_role(role)) {
        Some(bad) => {
            Err(AdministrationError::Bad(format!("{bad:?} isn't a role name: a-z, 0-9 and _ . : -")))
        }
        None => Ok(()),
    }
}
