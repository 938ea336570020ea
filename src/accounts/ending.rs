//! Ending what an account has: the one place that knows the order.
//!
//! The account store decides: a change raises the version there, in a statement that names the version it was
//! decided on. Only then the state store revokes what is older, by the version that the account store answered.
//! Every step can be repeated. What is in flight meanwhile was decided on the older version, and no session of a
//! revoked version starts.

use std::time::Duration;

use super::keys::Keys;
use crate::clock::{Timestamp, unix_seconds};
use crate::config::policy::Tokens;
use crate::identity::Identity;
use crate::store::{
    Account, Accounts, AuditRecord, Revocation, Revocations, SessionPage, Sessions, StoreError,
};

/// Sessions that are looked at in one go.
const PAGE: u32 = 200;
/// How much longer revocations live than any token they concern: for whole seconds in `exp`, and for a refresh that
/// runs at the same time.
const MARGIN: Duration = Duration::from_secs(10);
/// Between attempts to tell the state store of a change that the account store has made. A change that can't be told
/// of within this time is answered as a failure.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// When no access token that exists at `now` counts any more: those that are minted this very moment, and the
/// bearer's own. No token counts for longer than the present `access_ttl`, whatever its `exp` says.
pub fn last_token_until(tokens: &Tokens, bearer: Option<&Identity>, now: Timestamp) -> Timestamp {
    let minted_now = unix_seconds(now + tokens.access_ttl);
    let bearers_own = bearer.map_or(0, |identity| identity.expires_at);
    let last = i64::try_from(minted_now.max(bearers_own)).unwrap_or(i64::MAX);
    let last = Timestamp::from_timestamp(last, 0).unwrap_or(Timestamp::MAX_UTC);
    last + tokens.leeway + MARGIN
}

pub struct Ending<'s> {
    pub accounts: &'s dyn Accounts,
    pub sessions: &'s dyn Sessions,
    pub revocations: &'s dyn Revocations,
    pub keys: Keys<'s>,
    /// When the last access token that exists now has expired.
    pub until: Timestamp,
}

/// A change that the account store has made. It is logged, and its owner is told of it, before [`ended`](Self::ended)
/// is asked.
#[must_use]
pub struct Changed {
    pub account: Account,
    /// API keys that have ended with it.
    pub keys: u64,
    ended: Result<(), StoreError>,
}

impl Changed {
    /// `Err` if tokens and sessions from before may still count.
    pub fn ended(self) -> Result<Account, StoreError> {
        self.ended.map(|()| self.account)
    }
}

impl Ending<'_> {
    /// Makes a change of the account, and ends what it takes the right from: tokens of older versions, and
    /// sessions begun under older credentials. `None`, and no session ended, if the account changed meanwhile.
    ///
    /// With a record of their end, every API key ends, too: before the change, so that a store that fails leaves
    /// the account as it was, and after it, for keys that were made in between.
    pub async fn after<E: From<StoreError>>(
        &self,
        account: &Account,
        keys: Option<&AuditRecord>,
        change: impl Future<Output = Result<Option<Account>, E>>,
    ) -> Result<Option<Changed>, E> {
        // Says nothing new. A state store that takes no writes fails here, and leaves the account as it was.
        self.revoke_below(account, account.version).await?;
        let mut ended_keys = self.end_keys(account, keys).await?;
        let Some(changed) = change.await? else { return Ok(None) };
        let ended = match self.end_before(account, &changed).await {
            Ok(()) => again_and_again(|| self.end_keys(account, keys)).await.map(|more| ended_keys += more),
            Err(error) => Err(error),
        };
        Ok(Some(Changed { account: changed, keys: ended_keys, ended }))
    }

    /// What counted before the change and doesn't any more.
    async fn end_before(&self, before: &Account, changed: &Account) -> Result<(), StoreError> {
        again_and_again(|| self.revoke_below(changed, changed.version)).await?;
        if changed.credentials != before.credentials {
            again_and_again(|| self.sessions.end_all(changed.id, self.until)).await?;
        }
        Ok(())
    }

    async fn end_keys(&self, account: &Account, note: Option<&AuditRecord>) -> Result<u64, StoreError> {
        match note {
            Some(note) => self.keys.end_all(account.id, note).await,
            None => Ok(0),
        }
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
    ) -> Result<Option<Changed>, StoreError> {
        let revoked = self.revocations.revoked_below(account.id, now).await?.unwrap_or_default();
        let version = revoked.max(account.version) + 1;
        let raise = self.accounts.raise_version(account, version, now, note);
        self.after(account, None, raise).await
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

/// For what must not be left undone because a store was away for a moment. The last error, if it is away for longer.
async fn again_and_again<T, F>(mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for pause in PAUSES {
        match call().await {
            Ok(done) => return Ok(done),
            Err(error) => {
                tracing::warn!(store = error.store, cause = %error.cause, "an account has changed, and what it ends is not ended yet");
            }
        }
        tokio::time::sleep(pause).await;
    }
    call().await
}
