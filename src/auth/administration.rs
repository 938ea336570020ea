//! What operators do to accounts and sessions; the command line and the admin API call it. Whatever
//! takes rights away takes effect at once: tokens made before are revoked in the same breath.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Mailer, PasswordQueue, Stores, audit, password};
use crate::accounts::ending::Ending;
use crate::accounts::operators::Grant;
use crate::clock::{Timestamp, now};
use crate::config::policy::Policy;
use crate::identity::{SessionId, UserId, email as address, name};
use crate::rejection::Rejection;
use crate::store::lockouts::Lockout;
use crate::store::{
    Account, AccountFilter, AuditEntry, AuditEvent, AuditFilter, AuditPage, AuditPosition, AuditRecord,
    CreateError, FormerName, NewAccount, Session, SessionPage, StoreError,
};

#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    #[error("no account is called {0:?}")]
    Unknown(String),
    #[error("there is no session {0}")]
    UnknownSession(SessionId),
    /// By how much of it may be shown.
    #[error("there is no API key {0:?}")]
    UnknownKey(String),
    #[error("the username {0:?} is taken")]
    Taken(String),
    #[error("the account {0:?} is being changed by others; try again")]
    Changed(String),
    #[error("the username {0:?} was another account's; `portcullis user free-name {0}` frees it")]
    Reserved(String),
    #[error("{0:?} is no former username")]
    NoFormerName(String),
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
    /// Whether the operator answers for the address, so that it needn't be confirmed.
    pub is_confirmed: bool,
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

/// What operators change of an account whatever it was before, so that it is tried again when something else
/// changes the account at the same time.
pub(super) enum Change<'a> {
    Roles(&'a [String]),
    /// And whether it counts as confirmed.
    Email(&'a str, bool),
    Disabled(bool),
    /// The hash.
    Password(&'a str),
    NoSecondFactor,
    Mended,
}

/// How often a change is tried while others change the account.
pub(super) const ATTEMPTS: usize = 5;

pub(super) type Done<T> = Result<T, AdministrationError>;

impl Administration {
    pub async fn add(&self, new: NewUser<'_>) -> Done<Account> {
        let username = name::username(new.username).map_err(AdministrationError::Bad)?;
        let email = new.email.map(address::parse).transpose().map_err(AdministrationError::Bad)?;
        check_roles(new.roles)?;
        let granted = self.check_grant(&[], new.roles, new.allow_operators)?;
        let account = NewAccount {
            id: Uuid::now_v7(),
            password_hash: self.hash(new.password, &username, email.as_deref()).await?,
            username,
            email_verified: email.is_some() && new.is_confirmed,
            email,
            must_confirm_email: false,
            roles: new.roles.to_vec(),
            created_at: now(),
        };
        let roles = Some(account.roles.join(","));
        let record = self.record(AuditEvent::Registered, account.id, &account.username, roles);
        let created = self.stores.accounts.create(&account, &record).await;
        let account = created.map_err(|error| match error {
            CreateError::UsernameTaken => AdministrationError::Taken(account.username.clone()),
            CreateError::UsernameReserved => AdministrationError::Reserved(account.username.clone()),
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
        for _ in 0..ATTEMPTS {
            let account = self.find(user).await?;
            let granted = self.check_grant(&account.roles, roles, allow_operators)?;
            let record = self.about(AuditEvent::RolesChanged, &account, Some(roles.join(",")));
            if let Some(changed) = self.try_change(&account, &Change::Roles(roles), &record).await? {
                audit::log(&record);
                let grant = Grant { id: changed.id, username: changed.username.clone(), roles: granted };
                self.note_grants(&[grant]).await?;
                return Ok(changed);
            }
        }
        Err(AdministrationError::Changed(user.to_owned()))
    }

    pub async fn set_disabled(&self, user: &str, disabled: bool) -> Done<Account> {
        let event = if disabled { AuditEvent::Disabled } else { AuditEvent::Enabled };
        self.change(user, event, None, Change::Disabled(disabled)).await
    }

    /// A new password, whatever the old one was; every session and lockout ends, and every API key unless they are kept.
    pub async fn set_password(&self, user: &str, password: &str, keep_keys: bool) -> Done<Account> {
        let reason = (!keep_keys).then_some("password set by an operator");
        let account = self.find(user).await?;
        let hash = self.hash(password, &account.username, account.email.as_deref()).await?;
        // Before, so that a store that fails leaves the account as it was; after, for keys made in between.
        self.end_keys_of(&account, reason).await?;
        let changed = self.change(user, AuditEvent::PasswordChanged, None, Change::Password(&hash)).await?;
        self.end_keys_of(&changed, reason).await?;
        self.stores.lockouts.clear(changed.id).await?;
        Ok(changed)
    }

    /// Takes the second factor away; every session ends, and every API key unless they are kept. `false` if there
    /// was none.
    pub async fn reset_mfa(&self, user: &str, keep_keys: bool) -> Done<bool> {
        let reason = (!keep_keys).then_some("second factor reset");
        let account = self.find(user).await?;
        if !account.has_second_factor {
            // Maybe it was removed before, and ending the sessions failed.
            self.ending().again(&account, now()).await?;
            return Ok(false);
        }
        self.end_keys_of(&account, reason).await?;
        let changed = self.change(user, AuditEvent::SecondFactorReset, None, Change::NoSecondFactor).await?;
        self.end_keys_of(&changed, reason).await?;
        Ok(true)
    }

    /// Gives the account a version above all that were revoked, and ends every session of it: after an older dump
    /// of the account store was restored.
    pub async fn mend(&self, user: &str) -> Done<Account> {
        self.change(user, AuditEvent::Mended, None, Change::Mended).await
    }

    pub(super) async fn change(
        &self,
        user: &str,
        event: AuditEvent,
        detail: Option<String>,
        change: Change<'_>,
    ) -> Done<Account> {
        for _ in 0..ATTEMPTS {
            let account = self.find(user).await?;
            let record = self.about(event, &account, detail.clone());
            if let Some(changed) = self.try_change(&account, &change, &record).await? {
                audit::log(&record);
                return Ok(changed);
            }
        }
        Err(AdministrationError::Changed(user.to_owned()))
    }

    /// `None` if the account changed meanwhile.
    pub(super) async fn try_change(
        &self,
        account: &Account,
        change: &Change<'_>,
        record: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let (accounts, ending, now) = (&self.stores.accounts, self.ending(), now());
        match *change {
            Change::Roles(roles) => {
                ending.after(account, accounts.set_roles(account, roles, now, record)).await
            }
            Change::Email(email, is_confirmed) => {
                let change = accounts.set_email(account, email, is_confirmed, now, record);
                ending.after(account, change).await
            }
            Change::Disabled(disabled) => {
                ending.after(account, accounts.set_disabled(account, disabled, now, record)).await
            }
            Change::Password(hash) => {
                ending.after(account, accounts.set_password(account, hash, now, record)).await
            }
            Change::NoSecondFactor => {
                ending.after(account, self.stores.second_factors.remove(account, now, record)).await
            }
            Change::Mended => ending.mend(account, now, record).await,
        }
    }

    /// Who is locked out of each of these accounts, in their order.
    pub async fn lockouts(&self, accounts: &[Account]) -> Done<Vec<Lockout>> {
        let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
        Ok(self.stores.lockouts.lockouts(&ids, now()).await?)
    }

    /// The account as [`find`](Self::find) finds it, and who is locked out of it.
    pub async fn find_with_lockout(&self, user: &str) -> Done<(Account, Lockout)> {
        let account = self.find(user).await?;
        let lockouts = self.lockouts(std::slice::from_ref(&account)).await?;
        Ok((account, lockouts.into_iter().next().unwrap_or_default()))
    }

    /// `true` if there was a lockout or failures to clear.
    pub async fn unlock(&self, user: &str) -> Done<bool> {
        let account = self.find(user).await?;
        let was_locked = self.stores.lockouts.clear(account.id).await?;
        self.append(self.about(AuditEvent::Unlocked, &account, None)).await?;
        Ok(was_locked)
    }

    pub async fn delete(&self, user: &str) -> Done<()> {
        for _ in 0..ATTEMPTS {
            let account = self.find(user).await?;
            let record = self.about(AuditEvent::Deleted, &account, None);
            if self.ending().delete(&account, &record).await? {
                audit::log(&record);
                return Ok(());
            }
        }
        Err(AdministrationError::Changed(user.to_owned()))
    }

    /// A page of the names that renamed and deleted accounts had, in order; empty at the end.
    pub async fn former_names(&self, after: Option<&str>, limit: u32) -> Done<Vec<FormerName>> {
        Ok(self.stores.accounts.former_names(after, limit).await?)
    }

    /// Lets anybody have such a name.
    pub async fn free_name(&self, username: &str) -> Done<()> {
        let record = self.record(AuditEvent::NameFreed, UserId::nil(), username, None);
        let record = AuditRecord { user_id: None, ..record };
        if !self.stores.accounts.free_name(username, &record).await? {
            return Err(AdministrationError::NoFormerName(username.to_owned()));
        }
        audit::log(&record);
        Ok(())
    }

    /// A page of them, newest first; empty at the end.
    pub async fn sessions(&self, user: &str, page: SessionPage) -> Done<Vec<Session>> {
        let account = self.find(user).await?;
        Ok(self.stores.sessions.list(account.id, page, now()).await?)
    }

    pub async fn end_session(&self, id: SessionId) -> Done<()> {
        let found = self.stores.sessions.find(id, now()).await?;
        let session = found.ok_or(AdministrationError::UnknownSession(id))?;
        self.stores.sessions.end(id, self.last_token_dies()).await?;
        let detail = Some(id.to_string());
        self.append(self.record(AuditEvent::SessionEnded, session.user_id, &session.username, detail)).await
    }

    /// Notes that a token is about to be made outside of any login.
    pub async fn note_mint(&self, account: &Account, with_factor: bool) -> Done<()> {
        let detail = with_factor.then(|| "with a second factor".to_owned());
        self.append(self.about(AuditEvent::TokenMinted, account, detail)).await
    }

    /// Notes that the keys of all tokens were rotated, which concerns nobody in particular.
    pub async fn note_rotation(&self) -> Done<()> {
        let record = self.record(AuditEvent::KeysRotated, UserId::nil(), "", None);
        self.append(AuditRecord { user_id: None, ..record }).await
    }

    /// How many sessions there were. Every API key ends, too, unless they are kept.
    pub async fn end_sessions(&self, user: &str, keep_keys: bool) -> Done<u64> {
        let account = self.find(user).await?;
        let ended = self.stores.sessions.end_all(account.id, self.last_token_dies()).await?;
        self.end_keys_of(&account, (!keep_keys).then_some("every session ended by an operator")).await?;
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

    fn ending(&self) -> Ending<'_> {
        Ending {
            accounts: &*self.stores.accounts,
            sessions: &*self.stores.sessions,
            revocations: &*self.stores.revocations,
            until: self.last_token_dies(),
        }
    }

    /// When every access token that exists now has expired.
    pub(super) fn last_token_dies(&self) -> Timestamp {
        let tokens = &self.policy.tokens;
        now() + tokens.access_ttl + tokens.leeway + std::time::Duration::from_secs(1)
    }

    pub(super) async fn append(&self, record: AuditRecord) -> Done<()> {
        audit::log(&record);
        Ok(self.stores.audit.append(&record).await?)
    }

    pub(super) fn about(&self, event: AuditEvent, account: &Account, detail: Option<String>) -> AuditRecord {
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
