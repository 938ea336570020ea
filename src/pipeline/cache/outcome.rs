//! What the cache did: `Cache-Status` (RFC 9211) and the metric's label.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};
use pingora::cache::{CachePhase, NoCacheReason};
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr, Result};

use super::enable;
use super::storage::Tier;
use crate::exchange::{CacheVisit, Exchange};
use crate::field_values::Fields;

pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The label of `portcullis_cache_requests_total`, and the value of `Cache-Status`.
pub fn describe(session: &Session, exchange: &Exchange) -> Result<(&'static str, HeaderValue)> {
    let visit = exchange.cache_visit.as_deref();
    if visit.is_some_and(|visit| visit.has_store_failed.load(Ordering::Acquire)) {
        let bypass = HeaderValue::from_static("portcullis; fwd=bypass; detail=store-unavailable");
        return Ok(("bypass", bypass));
    }
    let (label, status) = phase(session);
    let mut value = format!("portcullis; {status}");
    if exchange.cache_rule().is_some_and(|rule| enable::is_declined(session.req_header(), rule)) {
        value = value.replace("fwd=stale", "fwd=request").replace("fwd=bypass", "fwd=request");
    }
    if is_collapsed(visit) && matches!(session.cache.phase(), CachePhase::Hit) {
        value.push_str("; collapsed");
    }
    if matches!(session.cache.phase(), CachePhase::Hit)
        && let Some(meta) = session.cache.maybe_cache_meta()
    {
        value.push_str(&format!("; ttl={}", left(meta.fresh_until(), SystemTime::now())));
        if let Some(Tier(tier)) = meta.extensions().get::<Tier>() {
            value.push_str("; detail=");
            value.push_str(tier);
        }
    }
    Ok((label, header_value(value)?))
}

/// `Cache-Status` of a fresh answer that is served from `tier`.
pub fn put_hit(fields: &mut impl Fields, fresh_until: SystemTime, now: SystemTime, tier: &str) -> Result<()> {
    fields.put(&CACHE_STATUS, |value| {
        let ttl = left(fresh_until, now);
        for part in ["portcullis; hit; ttl=", itoa::Buffer::new().format(ttl), "; detail=", tier] {
            value.extend_from_slice(part.as_bytes());
        }
    })
}

fn phase(session: &Session) -> (&'static str, &'static str) {
    match session.cache.phase() {
        CachePhase::Hit => ("hit", "hit"),
        CachePhase::StaleUpdating => ("stale", "hit; detail=stale-while-revalidate"),
        CachePhase::Stale => ("stale", "hit; detail=stale"),
        CachePhase::Miss if session.cache.maybe_cache_meta().is_some() => ("miss", "fwd=uri-miss; stored"),
        CachePhase::Miss => ("miss", "fwd=uri-miss"),
        CachePhase::Expired => ("expired", "fwd=stale; stored"),
        CachePhase::Revalidated => ("revalidated", "hit; fwd=stale; fwd-status=304"),
        CachePhase::RevalidatedNoCache(_) => ("uncacheable", "fwd=stale"),
        // It asked for less than what is stored.
        CachePhase::Disabled(NoCacheReason::NeverEnabled | NoCacheReason::Deferred) => {
            ("bypass", "fwd=bypass")
        }
        CachePhase::Disabled(_) => ("uncacheable", "fwd=uri-miss"),
        CachePhase::Uninit | CachePhase::Bypass | CachePhase::CacheKey => ("bypass", "fwd=bypass"),
    }
}

fn is_collapsed(visit: Option<&CacheVisit>) -> bool {
    visit.is_some_and(|visit| visit.is_collapsed.load(Ordering::Acquire))
}

fn left(fresh_until: SystemTime, now: SystemTime) -> u64 {
    fresh_until.duration_since(now).unwrap_or_default().as_secs()
}

fn header_value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).or_err(ErrorType::InternalError, "our own words are a field's value")
}
