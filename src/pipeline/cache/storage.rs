//! Pingora's cache storage over a [`Responses`] store. Answers are collected whole and kept in one
//! step, so a body that breaks off leaves nothing behind; `max_size` bounds them.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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

use super::process_tier::ProcessTier;
use super::{keep, single_flight, tags};
use crate::config::policy::VaryBy;
use crate::exchange::{CacheVisit, Exchange};
use crate::store::{Flights, Label, Purges, Responses, StoreError, StoredResponse};
use crate::telemetry::Metrics;
use crate::telemetry::trace::OpenSpan;

/// Where an answer was found; an extension of its [`CacheMeta`].
#[derive(Debug, Clone, Copy)]
pub struct Tier(pub &'static str);

pub struct ResponseStorage {
    pub responses: Arc<dyn Responses>,
    pub purges: Arc<dyn Purges>,
    /// `None` when no other gateway shares the store.
    pub flights: Option<Arc<dyn Flights>>,
    pub process_tier: Arc<ProcessTier>,
    pub metrics: Arc<Metrics>,
}

impl ResponseStorage {
    /// Pingora's key for a request, with what the storage has to know beside it. Before the upstream
    /// is asked: a purge from now on concerns its answer.
    pub fn expect(&self, key: Vec<u8>, exchange: &mut Exchange) -> CacheKey {
        let per_user = exchange.cache_rule().is_some_and(|rule| rule.vary_by == VaryBy::User);
        let label = Label {
            epoch: self.purges.marks().epoch(),
            route: exchange.route_name().to_owned(),
            path: exchange.path.clone(),
            user: exchange.identity.as_ref().filter(|_| per_user).map(|identity| identity.user_id),
            tags: Vec::new(),
        };
        let visit = Arc::new(CacheVisit::new(label, exchange.trace.clone()));
        exchange.cache_visit = Some(visit.clone());
        let mut key = CacheKey::new(key, "");
        key.extensions.insert(visit);
        key
    }

    /// What is stored under the key no longer holds (RFC 9111 §4.4). Other gateways may serve it from
    /// their own memory for some seconds more.
    pub async fn invalidate(&self, key: Vec<u8>) {
        self.process_tier.forget(&key);
        if let Err(error) = self.responses.forget(&CacheKey::new(key, "").combined()).await {
            self.note(&error);
        }
    }

    pub(super) fn note(&self, error: &StoreError) {
        self.metrics.store_errors.with_label_values(&[error.store]).inc();
        tracing::warn!(%error, "the response cache is bypassed");
    }

    /// `None` when there is nothing that wasn't purged, or when that can't be known.
    pub(super) async fn find(&self, key: &CacheKey) -> Option<Found> {
        let marks = self.purges.marks();
        if !marks.is_current() {
            note_bypass(key);
            return None;
        }
        let span = span(key, "store: find answer");
        let found = match self.responses.find(&key.combined()).await {
            Ok(found) => found?,
            Err(error) => {
                self.note(&error);
                note_bypass(key);
                return None;
            }
        };
        drop(span);
        // What another version wrote is as good as absent.
        let label = Label::from_bytes(&found.label)?;
        let meta = CacheMeta::deserialize(&found.meta, &found.head).ok()?;
        marks.allows(&label).then_some(Found { label, meta, body: found.body })
    }

    async fn keep(&self, key: &CacheKey, meta: &CacheMeta, body: Bytes) -> Result<()> {
        let Some(label) = label(key, meta) else { return Ok(()) };
        let (internal, head) = meta.serialize()?;
        let response = StoredResponse {
            label: label.to_bytes(),
            meta: internal.into(),
            head: head.into(),
            body: body.clone(),
        };
        let _span = span(key, "store: keep answer");
        match self.responses.keep(&key.combined(), &response, lifetime(meta)).await {
            Ok(()) => {
                self.process_tier.keep(key.primary_key(), meta, &label, &body);
                if let Some(visit) = visit(key) {
                    single_flight::land(visit);
                }
            }
            Err(error) => self.note(&error),
        }
        Ok(())
    }
}

pub(super) struct Found {
    label: Label,
    pub meta: CacheMeta,
    body: Bytes,
}

pub(super) fn visit(key: &CacheKey) -> Option<&CacheVisit> {
    key.extensions.get::<Arc<CacheVisit>>().map(|visit| &**visit)
}

fn span(key: &CacheKey, name: &'static str) -> Option<OpenSpan> {
    visit(key)?.trace.as_ref().map(|trace| trace.open(name))
}

fn note_bypass(key: &CacheKey) {
    if let Some(visit) = visit(key) {
        visit.has_store_failed.store(true, Ordering::Release);
    }
}

/// `None` for an answer that could not be purged by all that it says of itself.
fn label(key: &CacheKey, meta: &CacheMeta) -> Option<Label> {
    visit(key)?.label.with_tags(tags::run(meta.headers()))
}

/// How much longer than it may serve an answer is kept that the upstream can confirm.
const CONFIRMABLE: Duration = Duration::from_secs(600);

/// As long as the answer may serve at all: fresh, and then stale or confirmed.
fn lifetime(meta: &CacheMeta) -> Duration {
    let fresh = meta.fresh_until().duration_since(SystemTime::now()).unwrap_or_default();
    let stale = meta.stale_while_revalidate_sec().max(meta.stale_if_error_sec());
    let confirmable = if keep::can_be_confirmed(meta.headers()) { CONFIRMABLE } else { Duration::ZERO };
    fresh + Duration::from_secs(u64::from(stale)).max(confirmable) + Duration::from_secs(1)
}

#[async_trait]
impl Storage for ResponseStorage {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let found = self.find(key).await;
        let found = single_flight::run(self, key, found).await;
        let Some(Found { label, mut meta, body }) = found else { return Ok(None) };
        if self.process_tier.find(key.primary_key(), self.purges.marks()).is_none() {
            self.process_tier.keep(key.primary_key(), &meta, &label, &body);
        }
        meta.extensions_mut().insert(Tier(self.responses.tier()));
        Ok(Some((meta, Box::new(Hit { body, range: None, done: false }))))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        let (internal, head) = meta.serialize()?;
        let meta = CacheMeta::deserialize(&internal, &head)?;
        Ok(Box::new(Miss { storage: self, key: key.clone(), meta, body: BytesMut::new() }))
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
        let Some(found) = self.find(key).await else { return Ok(false) };
        self.keep(key, meta, found.body).await?;
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
    key: CacheKey,
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
