//! What every answer of the gateway carries, whichever wing or upstream gave it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr, Result};

use crate::clock::seconds_up;
use crate::config::policy::Limit;
use crate::exchange::Exchange;
use crate::store::Verdict;

/// Room for all that is added, so that the map grows once.
const ADDED: usize = 6;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Changes the fields of a head in one go.
///
/// Names that Pingora knows keep their usual capitals; others leave in lower case, as over HTTP/2.
/// Keeping each upstream's own spelling would mean a second map that grows with every answer.
pub fn rewrite(head: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
    let placeholder = Response::new(()).into_parts().0;
    let mut parts = http::response::Parts::from(std::mem::replace(head, ResponseHeader::from(placeholder)));
    let room =
        parts.headers.try_reserve(ADDED).or_err(ErrorType::InvalidHTTPHeader, "too many header fields");
    let changed = room.and_then(|()| change(&mut parts.headers));
    *head = ResponseHeader::from(parts);
    changed
}

/// `X-Request-Id`, and how the request's limits stand.
pub fn sign(headers: &mut HeaderMap, exchange: &Exchange) -> Result<()> {
    headers.insert(X_REQUEST_ID, value(exchange.request_id.as_str())?);
    set_rate_limits(headers, &exchange.verdicts)
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers). Limit names need no
/// escaping within the structured field's quotes: the configuration lets no quote in.
fn set_rate_limits(headers: &mut HeaderMap, verdicts: &[(Arc<Limit>, Verdict)]) -> Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let (mut policies, mut standings) = (String::with_capacity(48), String::with_capacity(48));
    let mut digits = itoa::Buffer::new();
    for (limit, verdict) in verdicts {
        begin(&mut policies, &limit.name);
        policies.push_str(";q=");
        policies.push_str(digits.format(limit.quota.count));
        policies.push_str(";w=");
        policies.push_str(digits.format(limit.quota.window.as_secs().max(1)));
        begin(&mut standings, &limit.name);
        standings.push_str(";r=");
        standings.push_str(digits.format(verdict.remaining));
        standings.push_str(";t=");
        standings.push_str(digits.format(seconds_up(verdict.reset_after)));
    }
    headers.insert(RATELIMIT_POLICY, value(policies)?);
    headers.insert(RATELIMIT, value(standings)?);
    Ok(())
}

/// The next member of a list, which begins with the limit's name.
fn begin(list: &mut String, name: &str) {
    list.push_str(if list.is_empty() { "\"" } else { ", \"" });
    list.push_str(name);
    list.push('"');
}

/// A field's value from text of ours; an error, not a panic, should it hold what no field can.
pub fn value(text: impl AsRef<[u8]>) -> Result<HeaderValue> {
    HeaderValue::from_bytes(text.as_ref())
        .or_err(ErrorType::InvalidHTTPHeader, "a value that no header can hold")
}
