//! What operators do to accounts and sessions; the command line and the admin API call it. Whatever
//! takes rights away takes effect at once: tokens made before are revoked in the same breath.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Mailer, PasswordQueue, Stores, audit, password};
use crate::accounts::ending::{self, Changed, Ending};
use crate::accounts::operators::Grant;
use crate::clock::{Timestamp, now};
use crate::config::policy::Policy;
use crate::identity::{SessionId, UserId, email as address, name};
use crate::rejection::Rejection;
use crate::store::{Account, AccountFilter, AuditEvent, AuditRecord, CreateError, NewAccount, StoreError};

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
            if let Some(changed) = self.try_change(&account, &Change::Roles(roles), None, &record).await? {
                audit::log(&record);
                let username = changed.account.username.clone();
                self.note_grants(&[Grant { id: account.id, username, roles: granted }]).await?;
                return Ok(changed.ended()?);
            }
        }
        Err(AdministrationError::Changed(user.to_owned()))
    }

    pub async fn set_disabled(&self, user: &str, disabled: bool) -> Done<Account> {
        let event = if disabled { AuditEvent::Disabled } else { AuditEvent::Enabled };
        self.change(user, (event, None), None, Change::Disabled(disabled)).await
    }

    /// With a reason, every API key of the account ends, too.
    pub(super) async fn change(
        &self,
        user: &str,
        (event, detail): (AuditEvent, Option<&str>),
        keys_end: Option<&str>,
        change: Change<'_>,
    ) -> Done<Account> {
        for _ in 0..ATTEMPTS {
            let account = self.find(user).await?;
            let record = self.about(event, &account, detail.map(str::to_owned));
            if let Some(changed) = self.try_change(&account, &change, keys_end, &record).await? {
                audit::log(&record);
                return Ok(changed.ended()?);
            }
        }
        Err(AdministrationError::Changed(user.to_owned()))
    }

    /// `None` if the account changed meanwhile.
    pub(super) async fn try_change(
        &self,
        account: &Account,
        change: &Change<'_>,
        keys_end: Option<&str>,
        record: &AuditRecord,
    ) -> Result<Option<Changed>, StoreError> {
        let (accounts, ending, now) = (&self.stores.accounts, self.ending(), now());
        let keys = keys_end.map(|reason| self.about(AuditEvent::KeysEnded, account, Some(reason.to_owned())));
        let change = match *change {
            Change::Roles(roles) => accounts.set_roles(account, roles, now, record),
            Change::Email(email, is_confirmed) => {
                accounts.set_email(account, email, is_confirmed, now, record)
            }
            Change::Disabled(disabled) => accounts.set_disabled(account, disabled, now, record),
            Change::Password(hash) => accounts.set_password(account, hash, now, record),
            Change::NoSecondFactor => self.stores.second_factors.remove(account, now, record),
            Change::Mended => return ending.mend(account, now, record).await,
        };
        ending.after(account, keys.as_ref(), change).await
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

    pub(super) async fn hash(&self, password: &str, username: &str, email: Option<&str>) -> Done<String> {
        password::check(&self.policy, password, username, email).map_err(AdministrationError::Weak)?;
        let password = Zeroizing::new(password.to_owned());
        self.passwords
            .hash(password, self.policy.auth.password.argon2)
            .await
            .map_err(AdministrationError::Busy)
    }

    pub(super) fn ending(&self) -> Ending<'_> {
        Ending {
            accounts: &*self.stores.accounts,
            sessions: &*self.stores.sessions,
            revocations: &*self.stores.revocations,
            keys: self.ending_keys(),
            until: self.last_token_until(),
        }
    }

    /// When no access token that exists now counts any more.
    pub(super) fn last_token_until(&self) -> Timestamp {
        ending::last_token_until(&self.policy.tokens, None, now())
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
            notices: Vec::new(),
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
