//! May this request be answered from the cache, and its answer be kept?

use std::time::Duration;

use http::{HeaderMap, Method, header};
use pingora::cache::CacheKey;
use pingora::cache::lock::{CacheKeyLockImpl, CacheLock};
use pingora::cache::predictor::{CacheablePredictor, Predictor};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::storage::ResponseStorage;
use crate::config::policy::CacheRule;
use crate::exchange::Exchange;

/// A waiter computes for itself when the first request has not answered by then.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Keys of each of 32 shards that lately gave nothing to keep; requests for them don't queue up.
const REMEMBERED: usize = 1024;

/// What Pingora's cache needs for as long as the process lives.
#[derive(Clone, Copy)]
pub struct Cache {
    pub storage: &'static ResponseStorage,
    lock: &'static CacheKeyLockImpl,
    uncacheable: &'static Predictor<32>,
}

impl Cache {
    /// Leaks its parts: Pingora asks for `'static`, and a process has one cache.
    pub fn new(storage: ResponseStorage) -> Self {
        Self {
            storage: Box::leak(Box::new(storage)),
            lock: Box::leak(CacheLock::new_boxed(LOCK_TIMEOUT)),
            uncacheable: Box::leak(Box::new(Predictor::new(REMEMBERED, None))),
        }
    }

    /// Whether it is worth asking the store.
    pub fn may_hold(self, key: &CacheKey) -> bool {
        self.uncacheable.cacheable_prediction(key)
    }
}

pub fn run(session: &mut Session, exchange: &Exchange, cache: Cache) {
    let Some(rule) = exchange.cache_rule() else { return };
    let request = session.req_header();
    if !may_use(request, exchange) || (rule.respect_client && asks(request, "no-store")) {
        return;
    }
    // Over HTTP/2 a body needs no field that says so.
    if !session.is_body_empty() {
        return;
    }
    session.cache.enable(cache.storage, None, Some(cache.uncacheable), Some(cache.lock), None);
    session.cache.set_max_file_size_bytes(rule.max_size);
}

/// Whether a request to a cached route has to do with the cache at all.
pub fn may_answer(request: &RequestHeader) -> bool {
    matches!(request.method, Method::GET | Method::HEAD) && !has_body(&request.headers)
}

/// The same, while the cache is switched on.
pub fn may_use(request: &RequestHeader, exchange: &Exchange) -> bool {
    exchange.edition.policy.cache.enabled && may_answer(request)
}

/// Whether this request can be answered with what is stored.
pub fn may_hit(request: &RequestHeader, exchange: &Exchange, rule: &CacheRule) -> bool {
    may_use(request, exchange) && !is_declined(request, rule)
}

/// Whether the client doesn't want what is stored, and has a say in it: on most routes it hasn't, since it
/// would make the upstream work.
pub fn is_declined(request: &RequestHeader, rule: &CacheRule) -> bool {
    rule.respect_client && (asks(request, "no-cache") || asks(request, "no-store"))
}

/// By a directive of `Cache-Control`.
fn asks(request: &RequestHeader, directive: &str) -> bool {
    let values = request.headers.get_all(header::CACHE_CONTROL).into_iter();
    let mut directives = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    directives.any(|said| said.trim_ascii().eq_ignore_ascii_case(directive.as_bytes()))
}

/// A body isn't in the key (class 79).
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}
