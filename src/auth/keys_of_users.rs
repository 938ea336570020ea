//! What operators see of personal API keys, and do to them.

use uuid::Uuid;

use super::administration::{Administration, AdministrationError, Done};
use super::audit;
use crate::accounts::keys::Keys;
use crate::identity::api_key;
use crate::store::{Account, ApiKey, AuditEvent};

impl Administration {
    /// In order of creation.
    pub async fn keys(&self, user: &str) -> Done<Vec<(ApiKey, String)>> {
        let account = self.find(user).await?;
        let keys = self.stores.api_keys.list(account.id).await?;
        Ok(keys.into_iter().map(|key| (key, account.username.clone())).collect())
    }

    /// A page of those of every account, in order of id.
    pub async fn all_keys(&self, after: Option<Uuid>, limit: u32) -> Done<Vec<(ApiKey, String)>> {
        Ok(self.stores.api_keys.list_all(after, limit).await?)
    }

    /// By its id, or by its text.
    pub async fn end_key(&self, key: &str) -> Done<Account> {
        let unknown = || AdministrationError::UnknownKey(shown(key));
        let id = api_key::open(key).map(|opened| opened.id).or_else(|_| Uuid::parse_str(key)).ok();
        let found = self.stores.api_keys.find(id.ok_or_else(unknown)?).await?;
        let (key, account) = found.ok_or_else(unknown)?;
        let shown = Some(api_key::shown(key.id));
        let record = self.record(AuditEvent::KeyDeleted, account.id, &account.username, shown);
        if self.ending_keys().end(&key, &record).await? {
            audit::log(&record);
        }
        Ok(account)
    }

    /// How many there were.
    pub async fn end_keys(&self, user: &str) -> Done<u64> {
        let account = self.find(user).await?;
        self.end_keys_of(&account, Some("by an operator")).await
    }

    /// Every key of the account for this reason; none without one.
    pub(super) async fn end_keys_of(&self, account: &Account, reason: Option<&str>) -> Done<u64> {
        let Some(reason) = reason else { return Ok(0) };
        let detail = Some(reason.to_owned());
        let record = self.record(AuditEvent::KeysEnded, account.id, &account.username, detail);
        Ok(self.ending_keys().end_all(account.id, &record).await?)
    }

    pub(super) fn ending_keys(&self) -> Keys<'_> {
        let (store, revocations) = (&*self.stores.api_keys, &*self.stores.revocations);
        Keys { store, revocations, until: self.last_token_until() }
    }
}

/// Never more of it than lists show.
fn shown(key: &str) -> String {
    match api_key::open(key) {
        Ok(opened) => api_key::shown(opened.id),
        Err(_) => key.chars().take(36).collect(),
    }
}
