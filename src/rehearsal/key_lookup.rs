//! Finds API keys, and notes nothing about them.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{Account, ApiKey, ApiKeys, AuditRecord, KeyCreation, StoreError};

/// `None` offline: there no key is known.
pub struct KeyLookup(pub Option<Arc<dyn ApiKeys>>);

#[async_trait]
impl ApiKeys for KeyLookup {
    async fn create(
        &self,
        _: &Account,
        _: &ApiKey,
        _: u32,
        _: &AuditRecord,
    ) -> Result<KeyCreation, StoreError> {
        Ok(KeyCreation::AccountChanged)
    }

    async fn list(&self, _: UserId) -> Result<Vec<ApiKey>, StoreError> {
        Ok(Vec::new())
    }

    async fn find(&self, id: Uuid) -> Result<Option<(ApiKey, Account)>, StoreError> {
        match &self.0 {
            Some(real) => real.find(id).await,
            None => Ok(None),
        }
    }

    async fn note_use(&self, _: Uuid, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list_all(&self, _: Option<Uuid>, _: u32) -> Result<Vec<(ApiKey, String)>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete_all(&self, _: UserId, _: &AuditRecord) -> Result<Vec<Uuid>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: UserId, _: Uuid, _: &AuditRecord) -> Result<bool, StoreError> {
        Ok(false)
    }
}
