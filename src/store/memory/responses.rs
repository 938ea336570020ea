//! Stored answers within this process, bounded in bytes.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::store::{Marks, Purge, Purges, Responses, StoreError, StoredBody, StoredResponse, bounded};

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 128;

pub struct MemoryResponses {
    entries: Cache<String, Entry, Weigh>,
    marks: Marks,
}

#[derive(Clone)]
struct Entry {
    response: StoredResponse,
    until: Instant,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<String, Entry> for Weigh {
    fn weight(&self, key: &String, entry: &Entry) -> u64 {
        let StoredResponse { label, meta, head, body } = &entry.response;
        let body = match body {
            StoredBody::Whole(body) => body.len(),
            StoredBody::InParts(_) => 0,
        };
        (key.len() + label.len() + meta.len() + head.len() + body + OVERHEAD) as u64
    }
}

impl MemoryResponses {
    pub fn new(max_bytes: u64) -> Self {
        Self { entries: bounded(max_bytes, Weigh), marks: Marks::own() }
    }
}

#[async_trait]
impl Responses for MemoryResponses {
    async fn find(&self, key: &str) -> Result<Option<StoredResponse>, StoreError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        if entry.until > Instant::now() {
            return Ok(Some(entry.response));
        }
        self.entries.remove(key);
        Ok(None)
    }

    async fn keep(&self, key: &str, response: &StoredResponse, ttl: Duration) -> Result<(), StoreError> {
        let entry = Entry { response: response.clone(), until: Instant::now() + ttl };
        self.entries.insert(key.to_owned(), entry);
        Ok(())
    }

    fn tier(&self) -> &'static str {
        "memory"
    }

    fn held_bytes(&self) -> Option<u64> {
        Some(self.entries.weight())
    }

    async fn forget(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.entries.remove(key).is_some())
    }
}

#[async_trait]
impl Purges for MemoryResponses {
    async fn purge(&self, what: &Purge) -> Result<(), StoreError> {
        self.marks.append(what.clone());
        Ok(())
    }

    fn marks(&self) -> &Marks {
        &self.marks
    }
}
