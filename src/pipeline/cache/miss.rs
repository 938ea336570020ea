//! An answer on its way into the store. A short body is collected; a long one goes there part by part as it
//! comes, and nothing of it is visible before the last part.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use pingora::Result;
use pingora::cache::storage::{HandleMiss, MissFinishType};
use pingora::cache::{CacheKey, CacheMeta};
use uuid::Uuid;

use super::storage::{ResponseStorage, lifetime};
use crate::store::{PART_BYTES, Parts, StoredBody};

/// Longer bodies are kept in parts, where the store has them.
const LONGEST_WHOLE: usize = 1 << 20;
/// Of parts whose answer never came to its end.
const SOON: Duration = Duration::from_millis(1);
/// How much longer than its answer a part lives: somebody may have begun to read.
pub const LAST_READERS: Duration = Duration::from_secs(60);

pub struct Miss {
    storage: &'static ResponseStorage,
    key: CacheKey,
    meta: CacheMeta,
    /// Not written yet.
    pending: BytesMut,
    /// Written so far.
    parts: Option<Parts>,
    /// The store has failed: nothing is kept of this answer.
    is_given_up: bool,
}

impl Miss {
    pub fn new(storage: &'static ResponseStorage, key: CacheKey, meta: CacheMeta) -> Self {
        Self { storage, key, meta, pending: BytesMut::new(), parts: None, is_given_up: false }
    }

    /// What is pending, until less than `least` is.
    async fn write_parts(&mut self, least: usize) {
        let Some(store) = self.storage.responses.parts() else { return };
        let parts = self.parts.get_or_insert_with(|| Parts { id: Uuid::new_v4(), bytes: 0 });
        let ttl = lifetime(&self.meta) + LAST_READERS;
        while self.pending.len() >= least.max(1) {
            let part = self.pending.split_to(PART_BYTES.min(self.pending.len()));
            // The parts before are full.
            let number = parts.bytes / PART_BYTES as u64;
            parts.bytes += part.len() as u64;
            if let Err(error) = store.keep_part(parts.id, number, &part, ttl).await {
                self.storage.note(&error);
                self.is_given_up = true;
                self.pending = BytesMut::new();
                return;
            }
        }
    }

    /// Hits have one, also where the upstream sent chunks: they can be cut into ranges.
    fn say_length(&mut self, length: usize) {
        let head = self.meta.response_header_mut();
        if head.status != StatusCode::NO_CONTENT {
            head.remove_header(&header::TRANSFER_ENCODING);
            // A number is a value of a field.
            let _ = head.insert_header(header::CONTENT_LENGTH, length);
        }
    }

    fn length(&self) -> u64 {
        self.parts.map_or(0, |parts| parts.bytes) + self.pending.len() as u64
    }

    /// `false` when the body isn't as long as its head said.
    fn is_whole(&self) -> bool {
        let promised = self.meta.headers().get(header::CONTENT_LENGTH);
        promised.is_none_or(|length| length.to_str().ok() == Some(itoa::Buffer::new().format(self.length())))
    }
}

#[async_trait]
impl HandleMiss for Miss {
    async fn write_body(&mut self, data: Bytes, _: bool) -> Result<()> {
        if self.is_given_up {
            return Ok(());
        }
        self.pending.extend_from_slice(&data);
        let is_long = self.parts.is_some() || self.pending.len() > LONGEST_WHOLE;
        if is_long && self.storage.responses.parts().is_some() {
            self.write_parts(PART_BYTES).await;
        }
        Ok(())
    }

    /// Not called when the upstream fails on the way.
    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        let size = usize::try_from(self.length()).unwrap_or(usize::MAX);
        if self.is_given_up || !self.is_whole() {
            return Ok(MissFinishType::Created(size));
        }
        if self.parts.is_some() {
            self.write_parts(1).await;
        }
        let body = match self.parts {
            Some(_) if self.is_given_up => return Ok(MissFinishType::Created(size)),
            Some(parts) => StoredBody::InParts(parts),
            None => StoredBody::Whole(std::mem::take(&mut self.pending).freeze()),
        };
        self.say_length(size);
        if self.storage.keep(&self.key, &self.meta, body).await? {
            self.parts = None;
        }
        Ok(MissFinishType::Created(size))
    }
}

/// Parts of an answer that isn't kept needn't wait for their time.
impl Drop for Miss {
    fn drop(&mut self) {
        let (storage, Some(parts)) = (self.storage, self.parts) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Some(store) = storage.responses.parts() {
                // Otherwise they expire with the answer that they were meant for.
                let _ = store.keep_parts_for(parts, SOON).await;
            }
        });
    }
}
