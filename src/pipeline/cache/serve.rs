//! Answers plain requests for fresh answers straight from the process tier, after all checks: a hit
//! through Pingora's cache costs almost twice as much (docs/performance.md). Everything else, such as
//! ranges and conditions, is left to it.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue, Method, Version, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::enable::Cache;
use super::outcome::{self, CACHE_STATUS};
use super::process_tier::ReadyAnswer;
use super::{enable, key, vary};
use crate::answer;
use crate::exchange::Exchange;

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
    let Some(answer) = find(session, exchange, cache) else { return Ok(false) };
    exchange.cache_outcome = Some("hit");
    let head = head(&answer, exchange)?;
    let without_body = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head), without_body).await?;
    if !without_body {
        session.write_response_body(Some(answer.body.clone()), true).await?;
    }
    Ok(true)
}

fn find(session: &mut Session, exchange: &Exchange, cache: Cache) -> Option<Arc<ReadyAnswer>> {
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
    let key = key::run(request, exchange)?;
    let answer = cache.storage.process_tier.find(&key, cache.storage.purges.marks())?;
    // Not merely when it has none: a variance that went missing mustn't make it everybody's.
    let is_meant = answer.variance == vary::of(&answer.headers, request);
    (is_meant && answer.fresh_until > SystemTime::now()).then_some(answer)
}

fn head(answer: &ReadyAnswer, exchange: &Exchange) -> Result<ResponseHeader> {
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = answer.status;
    parts.headers = answer.headers.clone();
    let mut head = ResponseHeader::from(parts);
    let now = SystemTime::now();
    let age = now.duration_since(answer.created).unwrap_or_default().as_secs();
    answer::rewrite(&mut head, |headers| {
        headers.insert(header::AGE, HeaderValue::from(age));
        headers.insert(CACHE_STATUS, outcome::hit(answer.fresh_until, now, "process")?);
        answer::sign(headers, exchange)
    })?;
    Ok(head)
}
