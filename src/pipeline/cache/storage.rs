//! Pingora's cache storage over a [`Responses`] store. Answers are collected whole and kept in one
//! step, so a body that breaks off leaves nothing behind; `max_size` bounds them.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header;
use pingora::cache::key::CacheHashKey;
use pingora::cache::storage::{
    HandleHit, HandleMiss, HitHandler, MissFinishType, MissHandler, PurgeOutcome, PurgeTarget, PurgeType,
    Storage,
};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::{Error, ErrorType, Result};

use crate::store::{Responses, StoreError, StoredResponse};
use crate::telemetry::Metrics;

#[derive(Clone)]
pub struct ResponseStorage {
    responses: Arc<dyn Responses>,
    metrics: Arc<Metrics>,
}

impl ResponseStorage {
    pub fn new(responses: Arc<dyn Responses>, metrics: Arc<Metrics>) -> Self {
        Self { responses, metrics }
    }

    fn note(&self, error: &StoreError) {
        self.metrics.store_errors.with_label_values(&[error.store]).inc();
        tracing::warn!(%error, "the response cache is bypassed");
    }

    /// `None` when there is nothing, or the store is down.
    async fn find(&self, key: &str) -> Option<StoredResponse> {
        match self.responses.find(key).await {
            Ok(found) => found,
            Err(error) => {
                self.note(&error);
                None
            }
        }
    }

    async fn keep(&self, key: &str, meta: &CacheMeta, body: Bytes) -> Result<()> {
        let (internal, head) = meta.serialize()?;
        let response = StoredResponse { meta: internal.into(), head: head.into(), body };
        if let Err(error) = self.responses.keep(key, &response, lifetime(meta)).await {
            self.note(&error);
        }
        Ok(())
    }
}

/// As long as the answer may serve at all: fresh, and then stale.
fn lifetime(meta: &CacheMeta) -> Duration {
    let fresh = meta.fresh_until().duration_since(SystemTime::now()).unwrap_or_default();
    let stale = meta.stale_while_revalidate_sec().max(meta.stale_if_error_sec());
    fresh + Duration::from_secs(u64::from(stale)) + Duration::from_secs(1)
}

#[async_trait]
impl Storage for ResponseStorage {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let Some(found) = self.find(&key.combined()).await else { return Ok(None) };
        let Ok(meta) = CacheMeta::deserialize(&found.meta, &found.head) else {
            // Written by another version: as good as absent.
            return Ok(None);
        };
        Ok(Some((meta, Box::new(Hit { body: found.body, range: None, done: false }))))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        let (internal, head) = meta.serialize()?;
        let meta = CacheMeta::deserialize(&internal, &head)?;
        Ok(Box::new(Miss { storage: self, key: key.combined(), meta, body: BytesMut::new() }))
    }

    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _: PurgeType,
        _: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        match self.responses.forget(&target.key().combined()).await {
            Ok(true) => Ok(PurgeOutcome::Purged(None)),
            Ok(false) => Ok(PurgeOutcome::NotFound),
            Err(error) => {
                self.note(&error);
                Ok(PurgeOutcome::NotFound)
            }
        }
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let key = key.combined();
        let Some(found) = self.find(&key).await else { return Ok(false) };
        self.keep(&key, meta, found.body).await?;
        Ok(true)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// A stored body on its way to a client.
struct Hit {
    body: Bytes,
    /// What to read next, for range requests; the whole body otherwise.
    range: Option<(usize, usize)>,
    done: bool,
}

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        if let Some((start, end)) = self.range.take() {
            self.done = true;
            return Ok(Some(self.body.slice(start..end)));
        }
        if self.done {
            return Ok(None);
        }
        self.done = true;
        Ok(Some(self.body.clone()))
    }

    async fn finish(
        self: Box<Self>,
        _: &'static (dyn Storage + Sync),
        _: &CacheKey,
        _: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let end = end.unwrap_or(self.body.len()).min(self.body.len());
        if start > end {
            return Error::e_explain(ErrorType::InternalError, "a range begins after the stored body");
        }
        self.range = Some((start, end));
        Ok(())
    }

    fn get_eviction_weight(&self) -> usize {
        self.body.len()
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// An answer on its way into the store.
struct Miss {
    storage: &'static ResponseStorage,
    key: String,
    meta: CacheMeta,
    body: BytesMut,
}

impl Miss {
    /// `false` when the body isn't as long as its head said.
    fn is_whole(&self) -> bool {
        let promised = self.meta.headers().get(header::CONTENT_LENGTH);
        promised
            .is_none_or(|length| length.to_str().ok() == Some(itoa::Buffer::new().format(self.body.len())))
    }
}

#[async_trait]
impl HandleMiss for Miss {
    async fn write_body(&mut self, data: Bytes, _: bool) -> Result<()> {
        self.body.extend_from_slice(&data);
        Ok(())
    }

    /// Not called when the upstream fails on the way.
    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let size = self.body.len();
        if self.is_whole() {
            self.storage.keep(&self.key, &self.meta, self.body.freeze()).await?;
        }
        Ok(MissFinishType::Created(size))
    }
}
