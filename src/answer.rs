//! What every answer of the gateway carries, whichever wing or upstream gave it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Response};
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr, Result};

use crate::clock::seconds_up;
use crate::config::policy::Limit;
use crate::exchange::Exchange;
use crate::field_values::FieldValues;
use crate::store::Verdict;

/// Room for all that is added, so that the map grows once.
pub const ADDED: usize = 6;
/// In bytes of values.
const ROOM_FOR_REQUEST_ID: usize = 32;
const ROOM_PER_LIMIT: usize = 96;

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
    let mut values = FieldValues::with_room(ROOM_FOR_REQUEST_ID + ROOM_PER_LIMIT * exchange.verdicts.len());
    headers.insert(X_REQUEST_ID, values.put(exchange.request_id.as_str())?);
    set_rate_limits(headers, &exchange.verdicts, &mut values)
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers). Limit names need no
/// escaping within the structured field's quotes: the configuration lets no quote in.
fn set_rate_limits(
    headers: &mut HeaderMap,
    verdicts: &[(Arc<Limit>, Verdict)],
    values: &mut FieldValues,
) -> Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    for (at, (limit, _)) in verdicts.iter().enumerate() {
        name(values, at, limit);
        parameter(values, ";q=", limit.quota.count);
        parameter(values, ";w=", limit.quota.window.as_secs().max(1));
    }
    headers.insert(RATELIMIT_POLICY, values.end()?);
    for (at, (limit, verdict)) in verdicts.iter().enumerate() {
        name(values, at, limit);
        parameter(values, ";r=", verdict.remaining);
        parameter(values, ";t=", seconds_up(verdict.reset_after));
    }
    headers.insert(RATELIMIT, values.end()?);
    Ok(())
}

/// The next member of a list, which begins with the limit's name.
fn name(list: &mut FieldValues, at: usize, limit: &Limit) {
    list.begin(if at == 0 { "\"" } else { ", \"" }).begin(&limit.name).begin("\"");
}

fn parameter(list: &mut FieldValues, name: &str, value: impl itoa::Integer) {
    list.begin(name).begin(itoa::Buffer::new().format(value));
}
