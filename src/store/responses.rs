//! Stored upstream answers, as opaque bytes under opaque keys.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::StoreError;

/// Of a body that is kept in parts, each but the last has so many bytes.
pub const PART_BYTES: usize = 256 << 10;

/// One answer: what the cache knows about it, its head and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// What purges go by: a [`Label`](super::Label).
    pub label: Bytes,
    /// Times, in the cache library's own form.
    pub meta: Bytes,
    pub head: Bytes,
    pub body: StoredBody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredBody {
    Whole(Bytes),
    InParts(Parts),
}

/// A body that is written and read part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// No other body's, not even of the same answer computed anew: nobody reads a mix of two.
    pub id: Uuid,
    /// Of the whole body.
    pub bytes: u64,
}

impl Parts {
    pub fn count(self) -> u64 {
        self.bytes.div_ceil(PART_BYTES as u64)
    }
}

#[async_trait]
pub trait Responses: Send + Sync {
    /// `None` when nothing is stored, only something of another format version, or not all its parts.
    async fn find(&self, key: &str) -> Result<Option<StoredResponse>, StoreError>;
    /// Keeps the answer for at most `ttl`, replacing what was there; all of it or nothing. Parts have been
    /// kept before.
    async fn keep(&self, key: &str, response: &StoredResponse, ttl: Duration) -> Result<(), StoreError>;
    /// What `Cache-Status` and metrics call this tier.
    fn tier(&self) -> &'static str;
    /// Bytes held, where that is known without counting.
    fn held_bytes(&self) -> Option<u64> {
        None
    }
    /// `true` if something was there.
    async fn forget(&self, key: &str) -> Result<bool, StoreError>;
    /// Where long bodies are kept in parts; `None` where all are kept whole.
    fn parts(&self) -> Option<&dyn ResponseParts> {
        None
    }
}

/// The parts of bodies. An answer that nobody has kept yet, or any more, may leave some behind until their
/// time is over.
#[async_trait]
pub trait ResponseParts: Send + Sync {
    async fn keep_part(&self, of: Uuid, number: u64, part: &[u8], ttl: Duration) -> Result<(), StoreError>;
    async fn find_part(&self, of: Uuid, number: u64) -> Result<Option<Bytes>, StoreError>;
    /// From now on all parts live for `ttl`. `false` when one isn't there.
    async fn keep_parts_for(&self, parts: Parts, ttl: Duration) -> Result<bool, StoreError>;
}
