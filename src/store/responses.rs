//! Stored upstream answers, as opaque bytes under opaque keys.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;

/// One answer: what the cache knows about it, its head and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// What purges go by: a [`Label`](super::Label).
    pub label: Bytes,
    /// Times and variance, in the cache library's own form.
    pub meta: Bytes,
    pub head: Bytes,
    pub body: Bytes,
}

#[async_trait]
pub trait Responses: Send + Sync {
    /// `None` when nothing is stored, or only something of another format version.
    async fn find(&self, key: &str) -> Result<Option<StoredResponse>, StoreError>;
    /// Keeps the answer for at most `ttl`, replacing what was there; all of it or nothing.
    async fn keep(&self, key: &str, response: &StoredResponse, ttl: Duration) -> Result<(), StoreError>;
    /// What `Cache-Status` and metrics call this tier.
    fn tier(&self) -> &'static str;
    /// Bytes held, where that is known without counting.
    fn held_bytes(&self) -> Option<u64> {
        None
    }
    /// `true` if something was there.
    async fn forget(&self, key: &str) -> Result<bool, StoreError>;
}
