//! Pingora's cache storage over a [`Responses`] store. An answer is there once it is whole, so a body that
//! breaks off leaves nothing behind; `max_size` bounds them.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use pingora::Result;
use pingora::cache::key::CacheHashKey;
use pingora::cache::storage::{HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::RequestHeader;
use uuid::Uuid;

use super::hit::Hit;
use super::miss::{LAST_READERS, Miss};
use super::process_tier::{ProcessTier, ReadyAnswer};
use super::stored_head::StoredHead;
use super::undelivered::Undelivered;
use super::{keep, part, single_flight, tags, vary};
use crate::config::policy::VaryBy;
use crate::exchange::{CacheVisit, Exchange};
use crate::pipeline::forward::sent_fields::SentFields;
use crate::store::{
    AnswerKey, Flights, Label, Purge, Purges, Responses, StoreError, StoredBody, StoredResponse,
};
use crate::telemetry::Metrics;
use crate::telemetry::trace::OpenSpan;

/// Where an answer was found; an extension of its [`CacheMeta`].
#[derive(Debug, Clone, Copy)]
pub struct Tier(pub &'static str);

/// What was found before Pingora's cache asks for it, maybe nothing; an extension of the [`CacheKey`]. It counts
/// once: whoever had to wait for somebody looks again.
#[derive(Clone)]
struct FirstLook(Arc<Mutex<Option<Option<Found>>>>);

pub struct ResponseStorage {
    pub responses: Arc<dyn Responses>,
    pub purges: Arc<dyn Purges>,
    /// `None` when no other gateway shares the store.
    pub flights: Option<Arc<dyn Flights>>,
    pub process_tier: Arc<ProcessTier>,
    pub undelivered: Undelivered,
    pub metrics: Arc<Metrics>,
}

impl ResponseStorage {
    /// Pingora's key for a request, with what the storage has to know beside it. Before the upstream
    /// is asked: a purge from now on concerns its answer.
    pub fn expect(&self, key: Vec<u8>, request: &RequestHeader, exchange: &mut Exchange) -> CacheKey {
        let per_user = exchange.cache_rule().is_some_and(|rule| rule.vary_by == VaryBy::User);
        let (mut key, hash) = hashed(key);
        let label = Label {
            epoch: self.purges.marks().epoch(),
            key: hash,
            route: exchange.route_name().to_owned(),
            path: exchange.path.clone(),
            user: exchange.identity.as_ref().filter(|_| per_user).map(|identity| identity.user_id),
            tags: Vec::new(),
        };
        let visit = Arc::new(CacheVisit::new(label, !part::is_wanted(request), exchange.trace.clone()));
        exchange.cache_visit = Some(visit.clone());
        key.extensions.insert(visit);
        key
    }

    /// What is stored under the key no longer holds (RFC 9111 §4.4), at any gateway, nor does what is on its way.
    pub async fn invalidate(&'static self, key: Vec<u8>) {
        self.process_tier.forget(&key);
        let (key, hash) = hashed(key);
        let (name, mark) = (name(&key), Purge::Answer(hash));
        let (forgotten, marked) = tokio::join!(self.responses.forget(&name), self.purges.purge(&mark));
        for error in [forgotten.as_ref().err(), marked.as_ref().err()].into_iter().flatten() {
            self.note(error);
        }
        if forgotten.is_err() || marked.is_err() {
            Undelivered::keep(self, hash, name);
        }
    }

    pub(super) async fn forget(&self, key: &str) {
        if let Err(error) = self.responses.forget(key).await {
            self.note(&error);
        }
    }

    pub(super) fn note(&self, error: &StoreError) {
        self.metrics.store_errors.with_label_values(&[error.store]).inc();
        tracing::warn!(%error, "the response cache is bypassed");
    }

    /// What is stored, if it is ready for `request`. Otherwise the key takes what was found to
    /// [`lookup`](Storage::lookup).
    pub(super) async fn find_ready(
        &self,
        key: &mut CacheKey,
        request: SentFields<'_>,
    ) -> Option<Arc<ReadyAnswer>> {
        let found = match self.find_stored(key).await {
            Some(Stored { label, head, body: StoredBody::Whole(body), .. })
                if head.fresh_until > SystemTime::now()
                    && vary::is_meant(head.variance, &head.headers, request) =>
            {
                let answer = ReadyAnswer::new(head, label, body);
                return Some(self.process_tier.keep(key.primary_key(), answer));
            }
            stored => stored.and_then(Stored::open),
        };
        key.extensions.insert(FirstLook(Arc::new(Mutex::new(Some(found)))));
        None
    }

    /// `None` when nobody has looked yet.
    fn first_look(&self, key: &CacheKey) -> Option<Option<Found>> {
        let found = key.extensions.get::<FirstLook>()?.0.lock().take()?;
        match found {
            Some(found) => Some(self.purges.marks().allows(&found.label).then_some(found)),
            // Single flight looks again before anything is computed; without it nobody would.
            None => self.flights.is_some().then_some(None),
        }
    }

    pub(super) async fn find(&self, key: &CacheKey) -> Option<Found> {
        self.find_stored(key).await.and_then(Stored::open)
    }

    /// `None` when there is nothing that wasn't purged, or when that can't be known.
    async fn find_stored(&self, key: &CacheKey) -> Option<Stored> {
        let marks = self.purges.marks();
        if !marks.is_current() {
            note_bypass(key);
            return None;
        }
        let span = span(key, "store: find answer");
        let found = match self.responses.find(&name(key)).await {
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
        let head = StoredHead::from_bytes(found.head)?;
        marks.allows(&label).then_some(Stored { label, head, times: found.meta, body: found.body })
    }

    /// `false` when it isn't kept.
    pub(super) async fn keep(&self, key: &CacheKey, meta: &CacheMeta, body: StoredBody) -> Result<bool> {
        let Some(label) = label(key, meta) else { return Ok(false) };
        let (times, _) = meta.serialize()?;
        let head = StoredHead::from(meta);
        let response = StoredResponse {
            label: label.to_bytes(),
            meta: times.into(),
            head: head.to_bytes(),
            body: body.clone(),
        };
        let _span = span(key, "store: keep answer");
        match self.keep_response(&name(key), &response, lifetime(meta)).await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => {
                self.note(&error);
                return Ok(false);
            }
        }
        if let StoredBody::Whole(body) = &body
            && self.process_tier.takes(body.len())
        {
            // A part of a larger read would keep all of that alive.
            let answer = ReadyAnswer::new(head, label, Bytes::copy_from_slice(body));
            self.process_tier.keep(key.primary_key(), answer);
        }
        if let Some(visit) = visit(key) {
            single_flight::land(visit);
        }
        Ok(true)
    }

    /// `false` when a part of the body is gone. Parts must outlive what names them.
    async fn keep_response(
        &self,
        key: &str,
        response: &StoredResponse,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        if let (StoredBody::InParts(parts), Some(store)) = (&response.body, self.responses.parts())
            && !store.keep_parts_for(*parts, ttl + LAST_READERS).await?
        {
            return Ok(false);
        }
        self.responses.keep(key, response, ttl).await?;
        Ok(true)
    }
}

/// As it is read from the store.
struct Stored {
    label: Label,
    head: StoredHead,
    /// Pingora's record of them.
    times: Bytes,
    body: StoredBody,
}

/// For Pingora's cache.
pub(super) struct Found {
    label: Label,
    pub meta: CacheMeta,
    body: StoredBody,
}

impl Stored {
    fn open(self) -> Option<Found> {
        let Self { label, head, times, body } = self;
        Some(Found { label, meta: head.into_meta(&times)?, body })
    }
}

/// Pingora's key, which knows its hash from here on, and that.
fn hashed(key: Vec<u8>) -> (CacheKey, AnswerKey) {
    let mut key = CacheKey::new(key, "");
    let hash = key.primary_bin();
    key.set_primary_bin_override(hash);
    (key, u128::from_be_bytes(hash) as AnswerKey)
}

/// What the store calls the answer: Pingora's `combined`, which takes ten times as long.
pub(super) fn name(key: &impl CacheHashKey) -> String {
    let mut digits = Uuid::encode_buffer();
    Uuid::from_bytes(key.combined_bin()).simple().encode_lower(&mut digits).to_owned()
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
pub(super) fn lifetime(meta: &CacheMeta) -> Duration {
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
        let found = match self.first_look(key) {
            Some(found) => found,
            None => self.find(key).await,
        };
        let found = single_flight::run(self, key, found).await;
        let Some(Found { label, mut meta, body }) = found else { return Ok(None) };
        if let StoredBody::Whole(body) = &body
            && self.process_tier.find(key.primary_key(), self.purges.marks(), Instant::now()).is_none()
        {
            let answer = ReadyAnswer::new(StoredHead::from(&meta), label, body.clone());
            self.process_tier.keep(key.primary_key(), answer);
        }
        meta.extensions_mut().insert(Tier(self.responses.tier()));
        Ok(Some((meta, Box::new(Hit::new(self, key, body)))))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        let (internal, head) = meta.serialize()?;
        let meta = CacheMeta::deserialize(&internal, &head)?;
        Ok(Box::new(Miss::new(self, key.clone(), meta)))
    }

    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _: PurgeType,
        _: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        match self.responses.forget(&name(target.key())).await {
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
        self.keep(key, meta, found.body).await
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}
