//! Requests for less than a whole answer: its head, or a range of its bytes. What is stored serves them; but to fill
//! the cache for one takes the whole answer from the upstream, and Pingora stops reading it as soon as the client has
//! what it asked for, which leaves a broken entry and its lock behind. So such a request goes on as it is.

use http::{HeaderValue, Method, header};
use pingora::cache::NoCacheReason;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::exchange::Exchange;

/// Of all bytes.
const WHOLE: &[u8] = b"bytes=0-";

/// Whether the answer to this request isn't all that would be stored.
pub fn is_wanted(request: &RequestHeader) -> bool {
    let is_whole = |range: &HeaderValue| range.as_bytes().trim_ascii().eq_ignore_ascii_case(WHOLE);
    request.method == Method::HEAD || request.headers.get(header::RANGE).is_some_and(|range| !is_whole(range))
}

/// Takes a request for less out of the cache once the upstream has to be asked. Others may compute the answer.
pub fn step_aside(session: &mut Session, exchange: &Exchange) {
    if !session.cache.enabled() || session.subrequest_ctx.is_some() || !is_wanted(session.req_header()) {
        return;
    }
    session.cache.disable(NoCacheReason::Deferred);
    if let Some(visit) = &exchange.cache_visit {
        visit.flight.lock().take();
    }
}

/// A background request refreshes the whole answer, whatever the client asked for that caused it.
pub fn ask_for_whole(session: &mut Session) {
    if session.subrequest_ctx.is_some() && is_wanted(session.req_header()) {
        let request = session.req_header_mut();
        request.set_method(Method::GET);
        request.remove_header(&header::RANGE);
    }
}

/// The last no bytes can't be satisfied (RFC 9110 §14.1.2); Pingora answers them with a range that ends before it begins.
pub fn drop_empty_suffixes(request: &mut RequestHeader) {
    let Some(said) = request.headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else { return };
    let Some((unit, ranges)) = said.split_once('=') else { return };
    let is_empty = |range: &&str| {
        let digits = range.trim().strip_prefix('-');
        digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte == b'0'))
    };
    if !ranges.split(',').any(|range| is_empty(&range)) {
        return;
    }
    let left: Vec<&str> = ranges.split(',').filter(|range| !is_empty(range)).collect();
    if let Ok(value) = HeaderValue::try_from(format!("{unit}={}", left.join(","))) {
        // A field that was there takes no more room.
        let _ = request.insert_header(header::RANGE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, range: Option<&'static str>) -> RequestHeader {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        if let Some(range) = range {
            request.insert_header(header::RANGE, range).unwrap();
        }
        request
    }

    #[test]
    fn all_bytes_are_the_whole() {
        for (method, range, is_part) in [
            (Method::GET, None, false),
            (Method::GET, Some("bytes=0-"), false),
            (Method::GET, Some("bytes=0-0"), true),
            (Method::GET, Some("bytes=-5"), true),
            (Method::GET, Some("bytes=0-,7-"), true),
            (Method::HEAD, None, true),
        ] {
            assert_eq!(is_wanted(&request(method.clone(), range)), is_part, "{method} {range:?}");
        }
    }

    #[test]
    fn the_last_no_bytes_are_no_range() {
        for (said, left) in [
            ("bytes=-0", "bytes="),
            ("bytes=-00", "bytes="),
            ("bytes=0-1,-0", "bytes=0-1"),
            ("bytes=-0, 2-3", "bytes= 2-3"),
            ("bytes=-10", "bytes=-10"),
            ("bytes=-", "bytes=-"),
            ("bytes", "bytes"),
        ] {
            let mut request = request(Method::GET, Some(said));
            drop_empty_suffixes(&mut request);
            assert_eq!(request.headers[header::RANGE], left, "{said}");
        }
    }
}
