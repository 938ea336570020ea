//! What the cache did: `Cache-Status` (RFC 9211) and the metric's label.

use http::HeaderName;
use pingora::cache::CachePhase;
use pingora::proxy::Session;

pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The label of `portcullis_cache_requests_total`, and the value of `Cache-Status`.
pub fn describe(session: &Session) -> (&'static str, &'static str) {
    match session.cache.phase() {
        CachePhase::Hit => ("hit", "portcullis; hit"),
        CachePhase::StaleUpdating => ("stale", "portcullis; hit; detail=stale-while-revalidate"),
        CachePhase::Stale => ("stale", "portcullis; hit; detail=stale"),
        CachePhase::Miss if session.cache.maybe_cache_meta().is_some() => {
            ("miss", "portcullis; fwd=uri-miss; stored")
        }
        CachePhase::Miss => ("miss", "portcullis; fwd=uri-miss"),
        CachePhase::Expired => ("expired", "portcullis; fwd=stale; stored"),
        CachePhase::Revalidated => ("revalidated", "portcullis; hit; fwd=stale; fwd-status=304"),
        CachePhase::RevalidatedNoCache(_) => ("uncacheable", "portcullis; fwd=stale"),
        CachePhase::Disabled(reason) => match reason {
            pingora::cache::NoCacheReason::NeverEnabled => ("bypass", "portcullis; fwd=bypass"),
            _ => ("uncacheable", "portcullis; fwd=uri-miss"),
        },
        CachePhase::Uninit | CachePhase::Bypass | CachePhase::CacheKey => {
            ("bypass", "portcullis; fwd=bypass")
        }
    }
}
