//! The one reading of a request target. Anything that two programs could read differently is
//! refused instead of repaired, so that what is matched is what is forwarded (RFC 9110 §7.7).

use std::borrow::Cow;

use unicode_normalization::is_nfkc;

/// Longer targets are refused; RFC 9110 §4.1 recommends to support at least 8000 octets.
const MAX_TARGET: usize = 8 * 1024;

/// A canonical origin-form target (RFC 9112 §3.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// Percent-decoded once; what routes are matched against.
    pub path: Cow<'a, str>,
    /// As received, without the question mark.
    pub query: Option<&'a str>,
}

/// Reads a target, or says in one sentence why it is refused.
pub fn read(raw: &[u8]) -> Result<Target<'_>, &'static str> {
    if raw.len() > MAX_TARGET {
        return Err("the target is longer than 8 KiB");
    }
    let Ok(raw) = std::str::from_utf8(raw) else {
        return Err("the target holds bytes outside ASCII");
    };
    if !raw.starts_with('/') {
        return Err("the target does not start with a slash");
    }
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    if query.is_some_and(|query| !query.bytes().all(is_query_byte)) {
        return Err("the query holds a character that must be percent-encoded");
    }
    let path = decode(path)?;
    check_segments(&path)?;
    Ok(Target { path, query })
}

fn is_query_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b'#'
}

/// Decodes what may be encoded; refuses the rest.
fn decode(path: &str) -> Result<Cow<'_, str>, &'static str> {
    if let Some(odd) = path.bytes().find(|&byte| !is_plain(byte) && byte != b'%') {
        return Err(match odd {
            b';' => "the path holds a semicolon",
            b'\\' => "the path holds a backslash",
            _ => "the path holds a character that must be percent-encoded",
        });
    }
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = tail;
            continue;
        }
        let (byte, tail) = escape(tail)?;
        decoded.push(byte);
        rest = tail;
    }
    let decoded = String::from_utf8(decoded).map_err(|_| "the path is not UTF-8 when decoded")?;
    if decoded.chars().any(char::is_control) {
        return Err("the path holds an encoded control character");
    }
    if !is_nfkc(&decoded) {
        return Err("the path is not in Unicode normal form KC");
    }
    Ok(Cow::Owned(decoded))
}

/// One escape after its percent sign: the byte, and what follows.
fn escape(tail: &[u8]) -> Result<(u8, &[u8]), &'static str> {
    let [high, low, rest @ ..] = tail else {
        return Err("the path ends within a percent-escape");
    };
    let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
        return Err("the path holds a malformed percent-escape");
    };
    let byte = high << 4 | low;
    if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~') {
        return Err("the path encodes a character that needs no encoding");
    }
    if matches!(byte, 0..=0x20 | 0x7f | b'/' | b'\\' | b';' | b'?' | b'#' | b'%') {
        return Err("the path encodes a delimiter, space or control character");
    }
    Ok((byte, rest))
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// What may stand unencoded: RFC 3986 `pchar` without `;`, and the slash.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' | b'/');
        byte += 1;
    }
    plain
};

/// Asked for each byte of each request's path.
fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

fn check_segments(path: &str) -> Result<(), &'static str> {
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err("the path holds an empty segment");
        }
        if segment.ends_with('.') {
            return Err("the path holds a dot segment or a segment that ends in a dot");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_targets_are_read_as_they_are() {
        let target = read(b"/a/b-c_~/d.e/?x=1&y=%2f/..").unwrap();

        assert_eq!(target.path, "/a/b-c_~/d.e/");
        assert_eq!(target.query, Some("x=1&y=%2f/.."));
    }

    #[test]
    fn both_spellings_of_a_sub_delimiter_match_the_same_route() {
        assert_eq!(read(b"/users/a%40b").unwrap().path, read(b"/users/a@b").unwrap().path);
        assert_eq!(read("/%C3%A9t%C3%A9".as_bytes()).unwrap().path, "/été");
    }

    #[test]
    fn ambiguous_targets_are_refused() {
        let ambiguous = [
            "",
            "*",
            "a",
            "http://h/a",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/a.",
            "/a./b",
            "/a...",
            "/a%2fb",
            "/a%5cb",
            "/%2e%2e/b",
            "/a%2E",
            "/a%25b",
            "/a%252fb",
            "/a%3bb",
            "/a%3fb",
            "/a%23b",
            "/a%00",
            "/a%0a",
            "/a%20",
            "/a%7f",
            "/%61",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%u0041",
            "/a\\b",
            "/a;b",
            "/a#b",
            "/a b",
            "/é",
            "/%ff",
            "/%c0%af",
            "/%c0%ae",
            "/%ef%bc%8f",
            "/%e2%80%a4",
            "/%ef%bc%a1",
            "/a\"b",
            "/a{b}",
            "/a?b c",
            "/a?b#c",
            "/a?é",
            "/%c2%85",
        ];

        for target in ambiguous {
            assert!(read(target.as_bytes()).is_err(), "{target:?} was read");
        }
    }

    #[test]
    fn the_length_is_bounded() {
        let long = format!("/{}", "a".repeat(MAX_TARGET));

        assert!(read(long.as_bytes()).is_err());
        assert!(read(&long.as_bytes()[..MAX_TARGET]).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics_and_never_lets_an_ambiguous_path_through(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(target) = read(&raw) {
                prop_assert!(target.path.starts_with('/'));
                prop_assert!(!target.path.contains("//"));
                prop_assert!(!target.path.contains(['\\', ';', '?', '#', '%', ' ', '\0']));
                prop_assert!(target.path.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }
    }
}
