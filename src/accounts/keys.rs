//! Ending personal API keys, at every gateway.

use super::audit;
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{ApiKey, ApiKeys, AuditRecord, Revocation, Revocations, StoreError};

pub struct Keys<'s> {
    pub store: &'s dyn ApiKeys,
    pub revocations: &'s dyn Revocations,
    /// No gateway remembers a key for longer.
    pub until: Timestamp,
}

impl Keys<'_> {
    /// `false` if it is gone already. It is revoked first: should deleting fail, it is still there to try again.
    pub async fn end(&self, key: &ApiKey, note: &AuditRecord) -> Result<bool, StoreError> {
        self.revocations.revoke(Revocation::Session(key.id), self.until).await?;
        self.store.delete(key.user_id, key.id, note).await
    }

    /// Every key of an account; how many there were. Without one, nothing is recorded; the record is logged, too.
    pub async fn end_all(&self, user: UserId, note: &AuditRecord) -> Result<u64, StoreError> {
        let known = self.store.list(user).await?;
        for key in &known {
            self.revocations.revoke(Revocation::Session(key.id), self.until).await?;
        }
        let deleted = self.store.delete_all(user, note).await?;
        // Those that were made since the list.
        for id in deleted.iter().filter(|id| known.iter().all(|key| key.id != **id)) {
            self.revocations.revoke(Revocation::Session(*id), self.until).await?;
        }
        if !deleted.is_empty() {
            audit::log(note);
        }
        Ok(deleted.len() as u64)
    }
}
