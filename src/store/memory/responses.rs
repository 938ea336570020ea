//! Stored answers within this process, bounded in bytes.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::store::{Responses, StoreError, StoredResponse};

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 128;
/// No entry may be larger than a shard, so there are few.
const SHARDS: usize = 4;
/// Used to size the tables; entries may be larger and fewer.
const TYPICAL_ENTRY: u64 = 8 * 1024;

pub struct MemoryResponses(Cache<String, Entry, Weigh>);

#[derive(Clone)]
struct Entry {
    response: StoredResponse,
    until: Instant,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<String, Entry> for Weigh {
    fn weight(&self, key: &String, entry: &Entry) -> u64 {
        let StoredResponse { meta, head, body } = &entry.response;
        (key.len() + meta.len() + head.len() + body.len() + OVERHEAD) as u64
    }
}

impl MemoryResponses {
    pub fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes / TYPICAL_ENTRY).unwrap_or(usize::MAX).max(16);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(entries)
            .weight_capacity(max_bytes)
            .build()
            .expect("both capacities are given");
        Self(Cache::with_options(options, Weigh, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }
}

#[async_trait]
impl Responses for MemoryResponses {
    async fn find(&self, key: &str) -> Result<Option<StoredResponse>, StoreError> {
        let Some(entry) = self.0.get(key) else { return Ok(None) };
        if entry.until > Instant::now() {
            return Ok(Some(entry.response));
        }
        self.0.remove(key);
        Ok(None)
    }

    async fn keep(&self, key: &str, response: &StoredResponse, ttl: Duration) -> Result<(), StoreError> {
        let entry = Entry { response: response.clone(), until: Instant::now() + ttl };
        self.0.insert(key.to_owned(), entry);
        Ok(())
    }

    async fn forget(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.0.remove(key).is_some())
    }
}
