//! The head of a hit as an HTTP/1 client gets it. Most of it is the same for everybody, so that it is kept as it
//! is sent: a map of it would be cloned, filled and written out for each hit (docs/performance.md).

use bytes::{Buf, Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode, header};
use pingora::Result;
use pingora::protocols::http::date::get_cached_date;

use super::outcome::CACHE_STATUS;
use super::serve::PlainHit;
use crate::answer;
use crate::exchange::Exchange;
use crate::field_values::HeadLines;

/// In bytes, for `Age`, `Cache-Status`, `Date`, `Connection` and the names of fields.
const ROOM: usize = 256;

/// For most heads.
const ROOM_WHEN_READY: usize = 512;

/// What we, or Pingora's session, say anew in every answer.
const SAID_ANEW: [HeaderName; 5] =
    [header::AGE, header::CONNECTION, header::DATE, CACHE_STATUS, answer::X_REQUEST_ID];
/// What we say anew in some.
const SOMETIMES_SAID_ANEW: [HeaderName; 2] = [answer::RATELIMIT, answer::RATELIMIT_POLICY];

/// A head without what is said anew, and its lines; no lines where there is more to an answer than that.
pub fn ready(status: StatusCode, mut headers: HeaderMap) -> (HeaderMap, Option<Bytes>) {
    SAID_ANEW.iter().for_each(|name| drop(headers.remove(name)));
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_settled = SOMETIMES_SAID_ANEW.iter().all(|name| !headers.contains_key(name));
    if !has_body || status.is_informational() || !is_settled {
        return (headers, None);
    }
    let mut lines = Vec::with_capacity(ROOM_WHEN_READY);
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        lines.extend_from_slice(part.as_bytes());
    }
    let head = answer::response_header(status, headers);
    head.header_to_h1_wire(&mut lines);
    (Parts::from(head).headers, Some(Bytes::copy_from_slice(&lines)))
}

/// All that is sent to a client whose connection stays open; `None` where that takes Pingora's session.
pub fn message(hit: &PlainHit, exchange: &Exchange) -> Result<Option<impl Buf + Send + use<>>> {
    let Some(ready) = &hit.answer.lines else { return Ok(None) };
    let room = ready.len() + ROOM + answer::signature_room(exchange);
    let mut lines = HeadLines(BytesMut::with_capacity(room));
    lines.0.extend_from_slice(ready);
    lines.0.extend_from_slice(b"Age: ");
    lines.0.extend_from_slice(itoa::Buffer::new().format(hit.age()).as_bytes());
    lines.0.extend_from_slice(b"\r\n");
    hit.put_own(&mut lines, exchange)?;
    lines.0.extend_from_slice(b"Date: ");
    lines.0.extend_from_slice(get_cached_date().as_bytes());
    lines.0.extend_from_slice(b"\r\nConnection: keep-alive\r\n\r\n");
    Ok(Some(lines.0.chain(hit.body().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(names: &[&'static str]) -> HeaderMap {
        let name = |name: &&'static str| HeaderName::from_static(name);
        names.iter().map(|text| (name(text), HeaderValue::from_static("x"))).collect()
    }

    #[test]
    fn what_is_said_anew_is_not_kept() {
        let stored = ["content-type", "date", "age", "connection", "cache-status", "x-request-id", "x-own"];
        let (headers, lines) = ready(StatusCode::NOT_FOUND, fields(&stored));

        assert_eq!(headers, fields(&["content-type", "x-own"]));
        assert_eq!(&lines.expect("plain")[..], b"HTTP/1.1 404 Not Found\r\nContent-Type: x\r\nx-own: x\r\n");
    }

    #[test]
    fn what_takes_more_has_no_lines() {
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED, StatusCode::EARLY_HINTS] {
            assert_eq!(ready(status, fields(&["x-own"])), (fields(&["x-own"]), None));
        }
        assert_eq!(ready(StatusCode::OK, fields(&["ratelimit"])), (fields(&["ratelimit"]), None));
    }
}
