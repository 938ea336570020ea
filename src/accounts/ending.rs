//! Ending what an account has: the one place that knows the order.
//!
//! The account store decides: a change raises the version there, in a statement that names the version it was
//! decided on. Only then the state store revokes what is older, by the version that the account store answered.
//! Every step can be repeated. What is in flight meanwhile was decided on the older version, and no session of a
//! revoked version starts.

use crate::clock::Timestamp;
use crate::store::{
    Account, Accounts, AuditRecord, Revocation, Revocations, SessionPage, Sessions, StoreError,
};

/// Sessions that are looked at in one go.
const PAGE: u32 = 200;

pub struct Ending<'s> {
    pub accounts: &'s dyn Accounts,
    pub sessions: &'s dyn Sessions,
    pub revocations: &'s dyn Revocations,
    /// When the last access token that exists now has expired.
    pub until: Timestamp,
}

impl Ending<'_> {
    /// Makes a change of the account, and ends what it takes the right from: tokens of older versions, and
    /// sessions begun under older credentials. The changed account; `None`, and nothing ended, if the account
    /// changed meanwhile.
    pub async fn after<E: From<StoreError>>(
        &self,
        account: &Account,
        change: impl Future<Output = Result<Option<Account>, E>>,
    ) -> Result<Option<Account>, E> {
        // Says nothing new. A state store that takes no writes fails here, and leaves the account as it was.
        self.revoke_below(account, account.version).await?;
        let Some(changed) = change.await? else { return Ok(None) };
        self.revoke_below(&changed, changed.version).await?;
        if changed.credentials != account.credentials {
            self.sessions.end_all(changed.id, self.until).await?;
        }
        Ok(Some(changed))
    }

    /// Deletes the account; `false` if it changed meanwhile, or is gone.
    ///
    /// The present version is revoked first, so that no session starts before the account is gone. Should the
    /// account store fail then, the next login mends the account, and the deletion can be tried again.
    pub async fn delete(&self, account: &Account, note: &AuditRecord) -> Result<bool, StoreError> {
        self.revoke_below(account, account.version + 1).await?;
        self.sessions.end_all(account.id, self.until).await?;
        self.accounts.delete(account, note).await
    }

    /// Brings an account and the state store together again, after an older dump of the account store was
    /// restored, or after something failed half-way: later versions than the account's are revoked. The account
    /// gets a version above all of these, and whatever was begun before ends. `None` if the account changed
    /// meanwhile.
    pub async fn mend(
        &self,
        account: &Account,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let revoked = self.revocations.revoked_below(account.id, now).await?.unwrap_or_default();
        let version = revoked.max(account.version) + 1;
        let raise = self.accounts.raise_version(account, version, now, note);
        self.after(account, raise).await
    }

    /// Ends once more what earlier changes should have ended: for a change that failed half-way and has nothing
    /// left to change.
    pub async fn again(&self, account: &Account, now: Timestamp) -> Result<(), StoreError> {
        self.revoke_below(account, account.version).await?;
        let mut page = SessionPage { after: None, limit: PAGE };
        loop {
            let sessions = self.sessions.list(account.id, page, now).await?;
            for session in sessions.iter().filter(|session| account.disabled || !session.is_of(account)) {
                self.sessions.end(session.id, self.until).await?;
            }
            let Some(last) = sessions.last() else { return Ok(()) };
            page.after = Some(last.id);
        }
    }

    async fn revoke_below(&self, account: &Account, version: u64) -> Result<(), StoreError> {
        self.revocations.revoke(Revocation::UserBelow(account.id, version), self.until).await
    }
}
