//! May this answer be kept, and how long is it fresh? RFC 9111, and what DESIGN forbids besides.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use http::{HeaderMap, HeaderName, header};
use pingora::cache::RespCacheable::{self, Cacheable, Uncacheable};
use pingora::cache::cache_control::{CacheControl, Cacheable as Directive, InterpretCacheControl};
use pingora::cache::filters::calculate_expires_header_time;
use pingora::cache::{CacheMeta, NoCacheReason};
use pingora::http::ResponseHeader;

use super::vary;
use crate::config::policy::CacheRule;
use crate::pipeline::forward::sent_fields::OF_ONE_REQUEST;

pub fn run(response: &ResponseHeader, rule: &CacheRule) -> RespCacheable {
    // What is meant for shared caches alone comes before what is meant for all (RFC 9213).
    let targeted = CacheControl::from_resp_headers_named("cdn-cache-control", response);
    let for_all = CacheControl::from_resp_headers(response);
    if let Some(reason) = forbidden(response, for_all.as_ref(), rule, targeted.is_none()) {
        return Uncacheable(NoCacheReason::Custom(reason));
    }
    let is_targeted = targeted.is_some();
    let control = targeted.or(for_all);
    if let Some(reason) = forbidden(response, control.as_ref(), rule, true) {
        return Uncacheable(NoCacheReason::Custom(reason));
    }
    let now = SystemTime::now();
    let expires = if is_targeted { None } else { lifetime_by_expires(response, now) };
    let fresh = freshness(response, control.as_ref(), rule, expires, now);
    let (while_revalidate, if_error) = staleness(response, control.as_ref(), rule);
    let may_be_stale = while_revalidate > 0 || if_error > 0;
    if fresh.is_zero() && !may_be_stale && !can_be_confirmed(&response.headers) {
        return Uncacheable(NoCacheReason::OriginNotCache);
    }
    // `Age` counts from the second instant: what the answer aged before it came is part of it.
    let created = now.checked_sub(age(response, rule, now)).unwrap_or(now);
    Cacheable(CacheMeta::new(now + fresh, created, while_revalidate, if_error, response.clone()))
}

/// What is stored, after the upstream has confirmed it by a 304 with these fields (RFC 9111 §3.2). What says how
/// the body is to be read, or whose answer this is, stays.
pub fn confirm(stored: &ResponseHeader, fields: &HeaderMap) -> ResponseHeader {
    const STAYS: [HeaderName; 6] = [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::TRANSFER_ENCODING,
        header::VARY,
    ];
    let mut confirmed = stored.clone();
    for name in fields.keys().filter(|name| !STAYS.contains(name)) {
        confirmed.remove_header(name);
        for value in fields.get_all(name) {
            // Both were fields of an answer before.
            let _ = confirmed.append_header(name.clone(), value.clone());
        }
    }
    confirmed
}

/// Whether the upstream can be asked if a stored answer still holds (RFC 9111 §4.3).
pub fn can_be_confirmed(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED)
}

/// What must never be stored (classes 80, 81).
fn forbidden(
    response: &ResponseHeader,
    control: Option<&CacheControl>,
    rule: &CacheRule,
    decides_freshness: bool,
) -> Option<&'static str> {
    let headers = &response.headers;
    if !rule.statuses.contains(&response.status.as_u16()) || headers.contains_key(header::CONTENT_RANGE) {
        return Some("status");
    }
    if headers.contains_key(header::SET_COOKIE) {
        return Some("set-cookie");
    }
    if is_for_one_request(headers) {
        return Some("vary");
    }
    // `private` and `no-cache` also when they name fields: leaving out just those isn't worth it.
    let keeps_to_itself = ["private", "no-store", "no-cache"];
    if control.is_some_and(|control| keeps_to_itself.iter().any(|directive| control.has_key(directive))) {
        return Some("cache-control");
    }
    let listens = rule.respect_origin && decides_freshness;
    if listens && control.is_some_and(|control| control.is_cacheable() == Directive::No) {
        return Some("cache-control");
    }
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length > rule.max_size).then_some("size")
}

/// Whether the answer depends on more than the key and what can be compared. `Vary` that isn't text may say anything.
fn is_for_one_request(headers: &HeaderMap) -> bool {
    let is_of_one =
        |name: &str| name == "*" || OF_ONE_REQUEST.iter().any(|own| own.eq_ignore_ascii_case(name));
    headers.get_all(header::VARY).iter().any(|value| value.to_str().is_err())
        || vary::names(headers).any(is_of_one)
}

/// `s-maxage`, `max-age` or `Expires` where the route respects them, else the route's `ttl`; less
/// the time the answer already spent in caches before us (RFC 9111 §4.2.3).
fn freshness(
    response: &ResponseHeader,
    control: Option<&CacheControl>,
    rule: &CacheRule,
    expires: Option<Duration>,
    now: SystemTime,
) -> Duration {
    let from_origin = || control.and_then(InterpretCacheControl::fresh_duration).or(expires);
    let lifetime = if rule.respect_origin { from_origin().unwrap_or(rule.ttl) } else { rule.ttl };
    lifetime.saturating_sub(age(response, rule, now))
}

/// From `Date` to `Expires`: by the upstream's clock, which may differ from ours.
fn lifetime_by_expires(response: &ResponseHeader, now: SystemTime) -> Option<Duration> {
    let expires = match calculate_expires_header_time(response) {
        Some(expires) => expires,
        None if response.headers.contains_key(header::EXPIRES) => SystemTime::UNIX_EPOCH,
        None => return None,
    };
    Some(expires.duration_since(date(response).unwrap_or(now)).unwrap_or_default())
}

fn date(response: &ResponseHeader) -> Option<SystemTime> {
    let text = response.headers.get(header::DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(text).ok()?.into())
}

/// What the answer had aged when it came (RFC 9111 §4.2.3): by its `Age`, or, where the origin's
/// times count at all, by its `Date`.
fn age(response: &ResponseHeader, rule: &CacheRule, now: SystemTime) -> Duration {
    let said = received_age(response);
    let apparent =
        date(response).filter(|_| rule.respect_origin).and_then(|date| now.duration_since(date).ok());
    // `Date` has whole seconds, so up to one is nobody's delay.
    said.max(Duration::from_secs(apparent.unwrap_or_default().as_secs().saturating_sub(1)))
}

fn received_age(response: &ResponseHeader) -> Duration {
    let first = response.headers.get(header::AGE).and_then(|age| age.to_str().ok());
    let age = first.and_then(|age| age.split(',').next()?.trim().parse::<u64>().ok());
    Duration::from_secs(age.unwrap_or(0).min(u32::MAX.into()))
}

/// Seconds that a stale answer may serve: while it is being refreshed, and when that fails. What the origin
/// says (RFC 5861), or forbids by `must-revalidate` and the like, goes before the route's.
fn staleness(response: &ResponseHeader, control: Option<&CacheControl>, rule: &CacheRule) -> (u32, u32) {
    let control = control.filter(|_| rule.respect_origin);
    let while_revalidate = control.and_then(InterpretCacheControl::serve_stale_while_revalidate_duration);
    let if_error = control.and_then(InterpretCacheControl::serve_stale_if_error_duration);
    let seconds = |said: Option<Duration>, own: Duration| {
        u32::try_from(said.unwrap_or(own).as_secs()).unwrap_or(u32::MAX)
    };
    // One failure doesn't stand in for another.
    let if_error = if response.status.is_server_error() { 0 } else { seconds(if_error, rule.stale_if_error) };
    (seconds(while_revalidate, rule.stale_while_revalidate), if_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::{QueryKey, VaryBy};

    fn rule() -> CacheRule {
        CacheRule {
            ttl: Duration::from_secs(60),
            vary_by: VaryBy::Shared,
            query: QueryKey::All,
            headers: Vec::new(),
            max_size: 100,
            statuses: vec![200],
            respect_origin: true,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            respect_client: false,
            hit_cost: 1000,
            forward: Vec::new(),
            invalidate: false,
        }
    }

    fn response(status: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    /// From now on; `None` when it isn't kept.
    fn fresh_seconds(headers: &[(&'static str, &str)]) -> Option<u64> {
        match run(&response(200, headers), &rule()) {
            Cacheable(meta) => {
                let left = meta.fresh_until().duration_since(SystemTime::now()).unwrap_or_default();
                Some(left.as_secs_f64().round() as u64)
            }
            Uncacheable(_) => None,
        }
    }

    #[test]
    fn freshness_comes_from_the_origin_then_from_the_route() {
        assert_eq!(fresh_seconds(&[]), Some(60));
        assert_eq!(fresh_seconds(&[("Cache-Control", "max-age=5")]), Some(5));
        assert_eq!(fresh_seconds(&[("Cache-Control", "max-age=5, s-maxage=7")]), Some(7));
        assert_eq!(fresh_seconds(&[("Cache-Control", "max-age=50"), ("Age", "20")]), Some(30));
    }

    #[test]
    fn a_stored_failure_does_not_stand_in_for_another() {
        let rule = CacheRule { stale_if_error: Duration::from_secs(9), statuses: vec![200, 503], ..rule() };
        let stale_if_error = |status| match run(&response(status, &[]), &rule) {
            Cacheable(meta) => meta.stale_if_error_sec(),
            Uncacheable(reason) => panic!("{reason:?}"),
        };

        assert_eq!((stale_if_error(200), stale_if_error(503)), (9, 0));
    }

    #[test]
    fn how_long_stale_answers_serve_comes_from_the_origin_then_from_the_route() {
        let own = CacheRule { stale_while_revalidate: Duration::from_secs(8), ..rule() };
        let ignoring = CacheRule { respect_origin: false, ..own.clone() };
        let stale = |said, rule: &CacheRule| match run(&response(200, &[("Cache-Control", said)]), rule) {
            Cacheable(meta) => (meta.stale_while_revalidate_sec(), meta.stale_if_error_sec()),
            Uncacheable(reason) => panic!("{reason:?}"),
        };

        assert_eq!(stale("max-age=1", &own), (8, 0));
        assert_eq!(stale("max-age=1, stale-while-revalidate=3, stale-if-error=4", &own), (3, 4));
        for strict in ["max-age=1, must-revalidate", "s-maxage=1", "max-age=1, proxy-revalidate"] {
            assert_eq!(stale(strict, &own), (0, 0), "{strict}");
        }
        assert_eq!(stale("max-age=1, must-revalidate, stale-while-revalidate=3", &ignoring), (8, 0));
    }

    #[test]
    fn a_confirmation_replaces_fields_but_not_what_describes_the_body() {
        let stored = response(200, &[("X-A", "1"), ("X-A", "2"), ("X-B", "1"), ("Content-Length", "5")]);
        let told = response(304, &[("X-A", "3"), ("X-C", "1"), ("Content-Length", "0"), ("Vary", "X-A")]);

        let confirmed = confirm(&stored, &told.headers);

        let values = |name: &str| -> Vec<&[u8]> {
            confirmed.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
        };
        assert_eq!(confirmed.status, 200);
        assert_eq!(
            (values("x-a"), values("x-b"), values("x-c")),
            (vec![&b"3"[..]], vec![&b"1"[..]], vec![&b"1"[..]])
        );
        assert_eq!((values("content-length"), values("vary")), (vec![&b"5"[..]], vec![]));
    }

    #[test]
    fn what_must_not_be_shared_is_not_kept() {
        for headers in [
            [("Set-Cookie", "a=b")],
            [("Cache-Control", "private")],
            [("Cache-Control", "no-store")],
            [("Cache-Control", "no-cache")],
            [("Cache-Control", "max-age=0")],
            [("Vary", "Accept, *")],
            [("Vary", "X-Forwarded-For")],
            [("Vary", "Accept, x-request-id")],
            [("Content-Length", "101")],
            [("Content-Range", "bytes 0-1/2")],
        ] {
            assert_eq!(fresh_seconds(&headers), None, "{headers:?}");
        }
        assert!(matches!(run(&response(500, &[]), &rule()), Uncacheable(_)));
        assert!(matches!(run(&response(206, &[]), &rule()), Uncacheable(_)));
    }
}
