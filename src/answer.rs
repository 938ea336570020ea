//! What every answer of the gateway carries, whichever wing or upstream gave it.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr, Result};

use crate::clock::seconds_up;
use crate::config::policy::Limit;
use crate::exchange::{Charged, Exchange};
use crate::field_values::{Fields, FieldsOfMap};

/// Room for all that is added, so that the map grows once.
pub const ADDED: usize = 6;
/// In bytes of values.
const ROOM_FOR_REQUEST_ID: usize = 32;
const ROOM_PER_LIMIT: usize = 96;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A head without Pingora's map of spellings, which costs as much again.
pub fn response_header(status: StatusCode, headers: HeaderMap) -> ResponseHeader {
    let mut parts = Response::new(()).into_parts().0;
    (parts.status, parts.headers) = (status, headers);
    ResponseHeader::from(parts)
}

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
    put_signature(&mut FieldsOfMap::with_room(headers, signature_room(exchange)), exchange)
}

/// How many bytes the values of [`put_signature`] take, roughly.
pub fn signature_room(exchange: &Exchange) -> usize {
    ROOM_FOR_REQUEST_ID + ROOM_PER_LIMIT * exchange.verdicts.len()
}

pub fn put_signature(fields: &mut impl Fields, exchange: &Exchange) -> Result<()> {
    fields.put(&X_REQUEST_ID, |value| append(value, exchange.request_id.as_str()))?;
    put_rate_limits(fields, &exchange.verdicts)
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
fn put_rate_limits(fields: &mut impl Fields, verdicts: &[Charged]) -> Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    fields.put(&RATELIMIT_POLICY, |list| {
        for (at, Charged { limit, quota, .. }) in verdicts.iter().enumerate() {
            append(list, if at == 0 { "" } else { ", " });
            match *quota == limit.quota {
                true => append(list, &limit.policy),
                // Of a role.
                false => append(list, &Limit::policy(&limit.name, quota)),
            }
        }
    })?;
    fields.put(&RATELIMIT, |list| {
        for (at, Charged { limit, verdict, .. }) in verdicts.iter().enumerate() {
            for part in [if at == 0 { "\"" } else { ", \"" }, &limit.name, "\""] {
                append(list, part);
            }
            append_parameter(list, ";r=", verdict.remaining);
            append_parameter(list, ";t=", seconds_up(verdict.reset_after));
        }
    })
}

fn append_parameter(list: &mut BytesMut, name: &str, value: impl itoa::Integer) {
    append(list, name);
    append(list, itoa::Buffer::new().format(value));
}

fn append(value: &mut BytesMut, text: &str) {
    value.extend_from_slice(text.as_bytes());
}
