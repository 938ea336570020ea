//! Where a request's head ends, and what follows it.

use bytes::{Buf, BytesMut};
use http::{Version, header};
use pingora::http::RequestHeader;

use crate::downstream::BodyEnd;

/// A longer head is refused, whatever would still come of it.
const LONGEST: usize = 96 * 1024;

/// Whether the head has come to its end, however that is written (RFC 9112 §2.2), or never will. The first
/// `looked_at` bytes are known to hold no end.
pub fn is_complete(read: &[u8], looked_at: usize) -> bool {
    holds_end(read.get(looked_at..).unwrap_or_default())
        || read.len() >= LONGEST
        || read.first().is_some_and(|&first| !is_token_char(first))
}

/// Whether this is no head, however much may still come.
pub fn is_hopeless(read: &[u8]) -> bool {
    read.first().is_some_and(|&first| !is_token_char(first)) || is_too_long(read)
}

pub fn is_too_long(read: &[u8]) -> bool {
    read.len() >= LONGEST && !holds_end(read)
}

fn holds_end(read: &[u8]) -> bool {
    read.ends_with(b"\r\n\r\n")
        || read.windows(2).any(|two| two == b"\n\n")
        || read.windows(3).any(|three| three == b"\n\r\n")
}

/// Empty lines before a request are no part of it (RFC 9112 §2.2).
pub fn skip_empty_lines(read: &mut BytesMut) {
    let empty = read.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    read.advance(empty);
}

/// Takes away what has come behind the head. A head that ends with bare line feeds is left as it is: a reader
/// before this one may take what follows for a part of it, so the connection ends with its answer.
pub fn beyond_head(read: &mut BytesMut) -> Option<BytesMut> {
    if read.ends_with(b"\r\n\r\n") {
        return None;
    }
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let has_bare_end = read[..end].windows(2).any(|two| two == b"\n\n");
    (!has_bare_end).then(|| read.split_off(end))
}

/// By the rules of the session that has accepted the head (RFC 9112 §6.3).
pub fn body_of(request: &RequestHeader) -> BodyEnd {
    if request.headers.contains_key(header::TRANSFER_ENCODING) {
        return BodyEnd::CHUNKED;
    }
    let Some(length) = request.headers.get(header::CONTENT_LENGTH) else { return BodyEnd::NONE };
    let first = length.to_str().ok().and_then(|list| list.split(',').next());
    first.and_then(|length| length.trim().parse().ok()).map_or(BodyEnd::Unknown, BodyEnd::After)
}

/// Whether a reader before this one may take the head or the body to end elsewhere. What follows isn't answered: it may
/// be a part of this request.
pub fn is_ambiguous(request: &RequestHeader, head: &[u8]) -> bool {
    !head.ends_with(b"\r\n\r\n") || !is_plainly_framed(request)
}

fn is_plainly_framed(request: &RequestHeader) -> bool {
    let mut codings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    let (coding, length) = (codings.next(), lengths.next());
    codings.next().is_none()
        && lengths.next().is_none()
        && !(coding.is_some() && length.is_some())
        && coding.is_none_or(|coding| {
            request.version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        })
        && length.is_none_or(|length| length.as_bytes().iter().all(u8::is_ascii_digit))
}

/// Whether the request line is three words and holds no control character. Pingora's session would encode what else
/// stands in a target, and a target that two programs could read differently isn't mended but refused.
pub fn is_plain_line(read: &[u8]) -> bool {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let mut spaces = 0;
    let mut line = read.iter().skip_while(|byte| is_end(byte)).take_while(|byte| !is_end(byte));
    let is_printable = line.all(|&byte| {
        spaces += usize::from(byte == b' ');
        byte >= b' ' && byte != 0x7f
    });
    is_printable && spaces == 2
}

/// RFC 9110 §5.6.2, by which methods are written.
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_or_never() {
        for head in
            ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\nA: b\n\r\nmore", "\x16\x03"]
        {
            assert!(is_complete(head.as_bytes(), 0), "{head:?}");
        }
        assert!(is_complete(&[b'a'; LONGEST], LONGEST) && is_hopeless(&[b'a'; LONGEST]));
        assert!(is_hopeless(b"\x16\x03") && !is_hopeless(b"GET"));
        for head in ["GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: b\r\n"] {
            assert!(!is_complete(head.as_bytes(), 0), "{head:?}");
        }
    }

    #[test]
    fn what_follows_a_head_is_taken_away() {
        for (read, beyond) in [
            ("GET / HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n\r\nabc", Some("abc")),
            ("GET / HTTP/1.1\r\nA: b\r\n\r\nGET /b HTTP/1.1\r\n", Some("GET /b HTTP/1.1\r\n")),
            ("GET / HTTP/1.1\n\nGET /b HTTP/1.1\r\n\r\nabc", None),
        ] {
            let mut head = BytesMut::from(read);
            let taken = beyond_head(&mut head);
            assert_eq!(taken.as_deref(), beyond.map(str::as_bytes), "{read:?}");
            assert_eq!(head.len() + taken.map_or(0, |taken| taken.len()), read.len());
        }
    }

    #[test]
    fn empty_lines_before_a_request_are_skipped() {
        let mut read = BytesMut::from("\r\n\n\r\nGET /\r\n");
        skip_empty_lines(&mut read);
        assert_eq!(&read[..], b"GET /\r\n");
    }
}
