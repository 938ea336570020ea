//! Answers plain requests for fresh answers straight from the process tier or the store, after all checks: a
//! hit through Pingora's cache costs almost twice as much (docs/performance.md). Everything else, such as
//! ranges, conditions and bodies in parts, is left to it, with what the store has said.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderName, Method, Version, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::enable::Cache;
use super::outcome::{self, CACHE_STATUS};
use super::process_tier::ReadyAnswer;
use super::{enable, key};
use crate::answer;
use crate::exchange::Exchange;
use crate::field_values::FieldValues;

/// In bytes, for the values of `Age` and `Cache-Status`.
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

/// `true` when the request was answered.
pub async fn run(session: &mut Session, exchange: &mut Exchange, cache: Cache) -> Result<bool> {
    let Some(key) = key_of_plain(session, exchange) else { return Ok(false) };
    let storage = cache.storage;
    let now = SystemTime::now();
    let ready = storage.process_tier.find(&key, storage.purges.marks());
    let (answer, tier) = match ready.filter(|answer| answer.answers(session.req_header(), now)) {
        Some(answer) => (answer, "process"),
        // Boxed: this future is made and moved for every request.
        None => match Box::pin(ask_store(session, exchange, cache, key)).await {
            Some(answer) => (answer, storage.responses.tier()),
            None => return Ok(false),
        },
    };
    exchange.cache_outcome = Some("hit");
    let head = head(&answer, exchange, now, tier)?;
    let without_body = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head), without_body).await?;
    if !without_body {
        session.write_response_body(Some(answer.body.clone()), true).await?;
    }
    Ok(true)
}

/// `None` for a request that wants more than the plain answer, or may not have it.
fn key_of_plain(session: &mut Session, exchange: &Exchange) -> Option<Vec<u8>> {
    let rule = exchange.cache_rule()?;
    if session.subrequest_ctx.is_some() || !session.is_body_empty() {
        return None;
    }
    let request = session.req_header();
    let is_plain = matches!(request.version, Version::HTTP_11 | Version::HTTP_2)
        && !NOT_PLAIN.iter().any(|name| request.headers.contains_key(name));
    if !is_plain || !enable::may_hit(request, exchange, rule) {
        return None;
    }
    key::run(request, exchange)
}

/// What comes of it is in the exchange, should Pingora's cache have to go on.
async fn ask_store(
    session: &Session,
    exchange: &mut Exchange,
    cache: Cache,
    key: Vec<u8>,
) -> Option<Arc<ReadyAnswer>> {
    let mut key = cache.storage.expect(key, exchange);
    let answer = match cache.may_hold(&key) {
        true => cache.storage.find_ready(&mut key, session.req_header()).await,
        false => None,
    };
    exchange.cache_key = Some(key);
    answer
}

fn head(answer: &ReadyAnswer, exchange: &Exchange, now: SystemTime, tier: &str) -> Result<ResponseHeader> {
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = answer.status;
    parts.headers = answer.headers.clone();
    let mut head = ResponseHeader::from(parts);
    let age = now.duration_since(answer.created).unwrap_or_default().as_secs();
    answer::rewrite(&mut head, |headers| {
        let mut values = FieldValues::with_room(ROOM);
        headers.insert(header::AGE, values.put(itoa::Buffer::new().format(age))?);
        headers.insert(CACHE_STATUS, outcome::hit(&mut values, answer.fresh_until, now, tier)?);
        answer::sign(headers, exchange)
    })?;
    Ok(head)
}
