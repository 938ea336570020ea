//! Answers to plain requests for fresh answers, straight from the process tier or the store, after all checks: a
//! hit through Pingora's cache costs almost twice as much (docs/performance.md). Everything else, such as
//! ranges, conditions and bodies in parts, is left to it, with what the store has said.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Buf, Bytes};
use http::{HeaderName, Method, Version, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use super::enable::Cache;
use super::process_tier::ReadyAnswer;
use super::{enable, head_lines, key, outcome};
use crate::answer;
use crate::exchange::Exchange;
use crate::field_values::{Fields, FieldsOfMap};
use crate::pipeline::forward::sent_fields::SentFields;

/// In bytes, for the value of `Cache-Status`.
const ROOM: usize = 64;

/// What asks for more than the plain answer.
const NOT_PLAIN: [HeaderName; 9] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::EXPECT,
    header::UPGRADE,
    header::TRANSFER_ENCODING,
];

/// A fresh answer that this request gets, once it is sent.
pub struct PlainHit {
    pub answer: Arc<ReadyAnswer>,
    tier: &'static str,
    now: SystemTime,
    is_head_request: bool,
}

/// `None` when the request, which has no body, goes on to Pingora's cache.
pub async fn find(request: &RequestHeader, exchange: &mut Exchange, cache: Cache) -> Option<PlainHit> {
    let key = key_of_plain(request, exchange)?;
    let storage = cache.storage;
    // No need to look at the clock again: at most the store was waited for since, by a hit that needs a session.
    let checked = exchange.arrived_after.unwrap_or_default();
    let now = SystemTime::from(exchange.arrived_at) + checked;
    let ready = storage.process_tier.find(&key, storage.purges.marks(), exchange.started + checked);
    let sent = SentFields::of(&request.headers, exchange)?;
    let (answer, tier) = match ready.filter(|answer| answer.answers(sent, now)) {
        Some(answer) => (answer, "process"),
        // Boxed: this future is made and moved for every request.
        None => (Box::pin(ask_store(request, exchange, cache, key)).await?, storage.responses.tier()),
    };
    exchange.cache_outcome = Some("hit");
    let is_head_request = request.method == Method::HEAD;
    Some(PlainHit { answer, tier, now, is_head_request })
}

impl PlainHit {
    /// By Pingora's session, whatever the client speaks.
    pub async fn send(&self, session: &mut Session, exchange: &Exchange) -> Result<()> {
        let body = self.body();
        session.write_response_header(Box::new(self.head(exchange)?), body.is_none()).await?;
        match body {
            Some(body) => session.write_response_body(Some(body), true).await,
            None => Ok(()),
        }
    }

    /// All that is sent to an HTTP/1 client whose connection stays open; `None` where that takes a session.
    pub fn message(&self, exchange: &Exchange) -> Result<Option<impl Buf + Send + use<>>> {
        head_lines::message(self, exchange)
    }

    fn head(&self, exchange: &Exchange) -> Result<ResponseHeader> {
        let mut head = answer::response_header(self.answer.status, self.answer.headers.clone());
        answer::rewrite(&mut head, |headers| {
            headers.insert(header::AGE, self.age().into());
            let room = ROOM + answer::signature_room(exchange);
            self.put_own(&mut FieldsOfMap::with_room(headers, room), exchange)
        })?;
        Ok(head)
    }

    /// What only this answer carries, beside its age.
    pub fn put_own(&self, fields: &mut impl Fields, exchange: &Exchange) -> Result<()> {
        outcome::put_hit(fields, self.answer.fresh_until, self.now, self.tier)?;
        answer::put_signature(fields, exchange)
    }

    pub fn age(&self) -> u64 {
        self.now.duration_since(self.answer.since).unwrap_or_default().as_secs()
    }

    /// `None` to a `HEAD` request.
    pub fn body(&self) -> Option<Bytes> {
        (!self.is_head_request).then(|| self.answer.body.clone())
    }
}

/// `None` for a request that wants more than the plain answer, or may not have it.
fn key_of_plain(request: &RequestHeader, exchange: &Exchange) -> Option<Vec<u8>> {
    let rule = exchange.cache_rule()?;
    let is_plain = matches!(request.version, Version::HTTP_11 | Version::HTTP_2)
        // A request has few fields: to look each of these up would take longer.
        && !request.headers.keys().any(|name| NOT_PLAIN.contains(name));
    if !is_plain || !enable::may_hit(request, exchange, rule) {
        return None;
    }
    key::run(request, exchange)
}

/// What comes of it is in the exchange, should Pingora's cache have to go on.
async fn ask_store(
    request: &RequestHeader,
    exchange: &mut Exchange,
    cache: Cache,
    key: Vec<u8>,
) -> Option<Arc<ReadyAnswer>> {
    let mut key = cache.storage.expect(key, request, exchange);
    let sent = SentFields::of(&request.headers, exchange);
    let answer = match sent.filter(|_| cache.may_hold(&key)) {
        Some(sent) => cache.storage.find_ready(&mut key, sent).await,
        None => None,
    };
    exchange.cache_key = Some(key);
    answer
}
