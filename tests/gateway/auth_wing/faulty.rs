//! Real stores behind a switch: notes every call, and fails those it is told to.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use portcullis::auth::Stores;
use portcullis::clock::Timestamp;
use portcullis::identity::{SessionId, UserId};
use portcullis::store::lockouts::{Begun, Lane, Lockout, Locks, Outcome, Source, Target};
use portcullis::store::{
    Account, AccountFilter, Accounts, AddressState, ApiKeys, AuditEntry, AuditFilter, AuditLog, AuditPage,
    AuditPosition, AuditRecord, Bearer, Bound, CreateError, FormerName, ImportedAccount, LockoutRule,
    Lockouts, NewAccount, Notices, OneTimeTokens, Presentation, Revocation, Revocations, Rotation,
    SecondFactors, Session, SessionPage, Sessions, Standing, Start, StoreError,
};
use tokio::sync::Semaphore;

pub struct Faulty {
    inner: Stores,
    calls: Mutex<Vec<&'static str>>,
    broken: Mutex<Vec<&'static str>>,
    held: Mutex<Option<Arc<Held>>>,
}

/// A call that waits.
pub struct Held {
    name: &'static str,
    arrived: Semaphore,
    may_go: Semaphore,
}

impl Held {
    /// Until somebody waits there.
    pub async fn reached(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }

    pub fn let_go(&self) {
        self.may_go.add_permits(1);
    }
}

impl Faulty {
    pub fn new(inner: Stores) -> Self {
        Self { inner, calls: Mutex::default(), broken: Mutex::default(), held: Mutex::default() }
    }

    /// From now on calls fail whose name (`accounts.create`) starts with one of these.
    pub fn break_down(&self, names: &[&'static str]) {
        *self.broken.lock() = names.to_vec();
    }

    /// These never fail here.
    pub fn api_keys(&self) -> Arc<dyn ApiKeys> {
        self.inner.api_keys.clone()
    }

    /// These never fail here.
    pub fn notices(&self) -> Arc<dyn Notices> {
        self.inner.notices.clone()
    }

    /// These never fail here.
    pub fn one_time_tokens(&self) -> Arc<dyn OneTimeTokens> {
        self.inner.one_time_tokens.clone()
    }

    /// These never fail here.
    pub fn second_factors(&self) -> Arc<dyn SecondFactors> {
        self.inner.second_factors.clone()
    }

    /// The calls since the last time somebody asked.
    pub fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock())
    }

    /// The next call of this name waits, once it is made, until it is let go.
    pub fn hold(&self, name: &'static str) -> Arc<Held> {
        let held = Arc::new(Held { name, arrived: Semaphore::new(0), may_go: Semaphore::new(0) });
        *self.held.lock() = Some(held.clone());
        held
    }

    async fn wait_if_held(&self, name: &'static str) {
        let held = self.held.lock().take_if(|held| held.name == name);
        if let Some(held) = held {
            held.arrived.add_permits(1);
            held.may_go.acquire().await.expect("never closed").forget();
        }
    }

    async fn call(&self, name: &'static str) -> Result<&Stores, StoreError> {
        self.wait_if_held(name).await;
        self.calls.lock().push(name);
        match self.broken.lock().iter().any(|broken| name.starts_with(broken)) {
            true => Err(StoreError::new("sqlite", "out of order")),
            false => Ok(&self.inner),
        }
    }
}

#[async_trait]
impl Accounts for Faulty {
    async fn create(&self, new: &NewAccount, note: &AuditRecord) -> Result<Account, CreateError> {
        self.call("accounts.create").await?.accounts.create(new, note).await
    }
    async fn import(
        &self,
        rows: &[ImportedAccount],
        progress: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<(), CreateError> {
        self.call("accounts.import").await?.accounts.import(rows, progress).await
    }

    async fn known_ids(&self, ids: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.call("accounts.known_ids").await?.accounts.known_ids(ids).await
    }
    async fn taken(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        self.call("accounts.taken").await?.accounts.taken(names).await
    }
    async fn find_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        let found = self.call("accounts.find_by_username").await?.accounts.find_by_username(username).await;
        self.wait_if_held("accounts.found_by_username").await;
        found
    }
    async fn find_by_email(
        &self,
        email: &str,
        state: AddressState,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        self.call("accounts.find_by_email").await?.accounts.find_by_email(email, state, limit).await
    }
    async fn find_by_roles(&self, roles: &[String], limit: u32) -> Result<Vec<Account>, StoreError> {
        self.call("accounts.find_by_roles").await?.accounts.find_by_roles(roles, limit).await
    }
    async fn find_by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let found = self.call("accounts.find_by_id").await?.accounts.find_by_id(id).await;
        self.wait_if_held("accounts.found_by_id").await;
        found
    }
    async fn former_names(&self, after: Option<&str>, limit: u32) -> Result<Vec<FormerName>, StoreError> {
        self.call("accounts.former_names").await?.accounts.former_names(after, limit).await
    }
    async fn free_name(&self, username: &str, note: &AuditRecord) -> Result<bool, StoreError> {
        self.call("accounts.free_name").await?.accounts.free_name(username, note).await
    }
    async fn list(&self, filter: AccountFilter<'_>, limit: u32) -> Result<Vec<Account>, StoreError> {
        self.call("accounts.list").await?.accounts.list(filter, limit).await
    }
    async fn set_profile(
        &self,
        account: &Account,
        username: &str,
        email: Option<&str>,
        new_hash: Option<&str>,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, CreateError> {
        let accounts = &self.call("accounts.set_profile").await?.accounts;
        accounts.set_profile(account, username, email, new_hash, now, note).await
    }
    async fn set_email(
        &self,
        account: &Account,
        email: &str,
        is_confirmed: bool,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let accounts = &self.call("accounts.set_email").await?.accounts;
        accounts.set_email(account, email, is_confirmed, now, note).await
    }
    async fn set_password(
        &self,
        account: &Account,
        new_hash: &str,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let accounts = &self.call("accounts.set_password").await?.accounts;
        accounts.set_password(account, new_hash, now, note).await
    }
    async fn set_roles(
        &self,
        account: &Account,
        roles: &[String],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        self.call("accounts.set_roles").await?.accounts.set_roles(account, roles, now, note).await
    }
    async fn set_disabled(
        &self,
        account: &Account,
        disabled: bool,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        self.call("accounts.set_disabled").await?.accounts.set_disabled(account, disabled, now, note).await
    }
    async fn raise_version(
        &self,
        account: &Account,
        version: u64,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        self.call("accounts.raise_version").await?.accounts.raise_version(account, version, now, note).await
    }
    async fn upgrade_hash(
        &self,
        id: UserId,
        old_hash: &str,
        new_hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.call("accounts.upgrade_hash").await?.accounts.upgrade_hash(id, old_hash, new_hash, now).await
    }
    async fn delete(&self, account: &Account, note: &AuditRecord) -> Result<bool, StoreError> {
        self.call("accounts.delete").await?.accounts.delete(account, note).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.call("accounts.ping").await?.accounts.ping().await
    }
}

#[async_trait]
impl AuditLog for Faulty {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        self.call("audit.append").await?.audit.append(record).await
    }
    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.call("audit.forget").await?.audit.forget(before, limit).await
    }
    async fn find(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.call("audit.find").await?.audit.find(filter, limit).await
    }
    async fn newest(&self, filter: &AuditFilter, limit: u32) -> Result<AuditPage, StoreError> {
        self.call("audit.newest").await?.audit.newest(filter, limit).await
    }
    async fn since(
        &self,
        filter: &AuditFilter,
        position: &AuditPosition,
        limit: u32,
    ) -> Result<Option<AuditPage>, StoreError> {
        self.call("audit.since").await?.audit.since(filter, position, limit).await
    }
}

#[async_trait]
impl Sessions for Faulty {
    async fn start(&self, session: &Session, bound: Bound) -> Result<Start, StoreError> {
        self.call("state.start").await?.sessions.start(session, bound).await
    }
    async fn rotate(&self, id: SessionId, presented: Presentation<'_>) -> Result<Rotation, StoreError> {
        self.call("state.rotate").await?.sessions.rotate(id, presented).await
    }
    async fn note_account(&self, id: SessionId, account: &Account) -> Result<(), StoreError> {
        self.call("state.note_account").await?.sessions.note_account(id, account).await
    }
    async fn find(&self, id: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        self.call("state.find").await?.sessions.find(id, now).await
    }
    async fn list(
        &self,
        user: UserId,
        page: SessionPage,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        self.call("state.list").await?.sessions.list(user, page, now).await
    }
    async fn end(&self, id: SessionId, revoked_until: Timestamp) -> Result<bool, StoreError> {
        self.call("state.end").await?.sessions.end(id, revoked_until).await
    }
    async fn end_all(&self, user: UserId, revoked_until: Timestamp) -> Result<u64, StoreError> {
        self.call("state.end_all").await?.sessions.end_all(user, revoked_until).await
    }
}

#[async_trait]
impl Revocations for Faulty {
    async fn revoke(&self, what: Revocation, until: Timestamp) -> Result<(), StoreError> {
        self.call("state.revoke").await?.revocations.revoke(what, until).await
    }
    async fn standing(&self, bearer: Bearer, now: Timestamp) -> Result<Standing, StoreError> {
        self.call("state.standing").await?.revocations.standing(bearer, now).await
    }
    async fn revoked_below(&self, user: UserId, now: Timestamp) -> Result<Option<u64>, StoreError> {
        self.call("state.revoked_below").await?.revocations.revoked_below(user, now).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.call("state.ping").await?.revocations.ping().await
    }
}

#[async_trait]
impl Lockouts for Faulty {
    async fn begin(
        &self,
        target: Target<'_>,
        source: &Source,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        self.call("state.begin").await?.lockouts.begin(target, source, rule, now).await
    }
    async fn settle(
        &self,
        target: Target<'_>,
        lane: &Lane,
        outcome: Outcome<'_>,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Option<Locks>, StoreError> {
        self.call("state.settle").await?.lockouts.settle(target, lane, outcome, rule, now).await
    }
    async fn lockouts(&self, accounts: &[UserId], now: Timestamp) -> Result<Vec<Lockout>, StoreError> {
        self.call("state.lockouts").await?.lockouts.lockouts(accounts, now).await
    }
    async fn clear(&self, account: UserId) -> Result<bool, StoreError> {
        self.call("state.clear").await?.lockouts.clear(account).await
    }
    async fn clear_in_a_row(&self, account: UserId) -> Result<(), StoreError> {
        self.call("state.clear_in_a_row").await?.lockouts.clear_in_a_row(account).await
    }
}
