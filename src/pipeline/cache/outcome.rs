//! What the cache did: `Cache-Status` (RFC 9211) and the metric's label.

use pingora::cache::CachePhase;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// The label of `portcullis_cache_requests_total`, and the field's value after our name.
fn describe(session: &Session) -> (&'static str, &'static str) {
    match session.cache.phase() {
        CachePhase::Hit => ("hit", "hit"),
        CachePhase::StaleUpdating => ("stale", "hit; detail=stale-while-revalidate"),
        CachePhase::Stale => ("stale", "hit; detail=stale"),
        CachePhase::Miss if session.cache.maybe_cache_meta().is_some() => ("miss", "fwd=uri-miss; stored"),
        CachePhase::Miss => ("miss", "fwd=uri-miss"),
        CachePhase::Expired => ("expired", "fwd=stale; stored"),
        CachePhase::Revalidated => ("revalidated", "hit; fwd=stale; fwd-status=304"),
        CachePhase::RevalidatedNoCache(_) => ("uncacheable", "fwd=stale"),
        CachePhase::Disabled(reason) => match reason {
            pingora::cache::NoCacheReason::NeverEnabled => ("bypass", "fwd=bypass"),
            _ => ("uncacheable", "fwd=uri-miss"),
        },
        CachePhase::Uninit | CachePhase::Bypass | CachePhase::CacheKey => ("bypass", "fwd=bypass"),
    }
}

/// Says on an answer of a cached route what the cache did; the label of the outcome.
pub fn run(session: &Session, response: &mut ResponseHeader) -> pingora::Result<&'static str> {
    let (label, status) = describe(session);
    response.insert_header("Cache-Status", format!("portcullis; {status}"))?;
    Ok(label)
}
