//! Values of header fields, written one behind the other into one piece of memory: a request gets
//! and gives about ten, and an allocation for each would be most of what they cost.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::{Error, ErrorType, OrErr, Result};

/// A head that takes one field after the other, as a map or as the bytes that a client gets.
pub trait Fields {
    /// `write` appends the value. An error, not a panic, should it hold what no field can.
    fn put(&mut self, name: &HeaderName, write: impl FnOnce(&mut BytesMut)) -> Result<()>;
}

pub struct FieldsOfMap<'m> {
    headers: &'m mut HeaderMap,
    values: FieldValues,
}

/// Lines of an HTTP/1 head.
pub struct HeadLines(pub BytesMut);

pub struct FieldValues(BytesMut);

impl<'m> FieldsOfMap<'m> {
    /// Room for so many bytes of values.
    pub fn with_room(headers: &'m mut HeaderMap, bytes: usize) -> Self {
        Self { headers, values: FieldValues::with_room(bytes) }
    }
}

impl Fields for FieldsOfMap<'_> {
    fn put(&mut self, name: &HeaderName, write: impl FnOnce(&mut BytesMut)) -> Result<()> {
        write(&mut self.values.0);
        self.headers.insert(name, self.values.end()?);
        Ok(())
    }
}

impl Fields for HeadLines {
    fn put(&mut self, name: &HeaderName, write: impl FnOnce(&mut BytesMut)) -> Result<()> {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        let begin = self.0.len();
        write(&mut self.0);
        // A line of its own within a value would be the next field, or the body. All bytes are looked at, so that
        // the compiler takes many at once.
        if self.0[begin..].iter().fold(false, |is_wrong, byte| is_wrong | byte.is_ascii_control()) {
            return Error::e_explain(ErrorType::InvalidHTTPHeader, "a value that no header can hold");
        }
        self.0.extend_from_slice(b"\r\n");
        Ok(())
    }
}

impl FieldValues {
    /// Room for so many bytes, all values together; more is possible and costs another piece.
    pub fn with_room(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    /// The value that this text makes. An error, not a panic, should it hold what no field can.
    pub fn put(&mut self, text: impl AsRef<[u8]>) -> Result<HeaderValue> {
        self.0.extend_from_slice(text.as_ref());
        self.end()
    }

    /// The value of all that was written since the last one.
    fn end(&mut self) -> Result<HeaderValue> {
        HeaderValue::from_maybe_shared(self.0.split().freeze())
            .or_err(ErrorType::InvalidHTTPHeader, "a value that no header can hold")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_apart_though_they_lie_together() {
        let mut values = FieldValues::with_room(4);

        let first = values.put("first").unwrap();
        let second = values.put("second").unwrap();

        assert_eq!((first, second), (HeaderValue::from_static("first"), HeaderValue::from_static("second")));
    }

    #[test]
    fn what_no_field_can_hold_is_an_error_and_leaves_nothing_behind() {
        let mut values = FieldValues::with_room(16);

        assert!(values.put("a\r\nb").is_err());

        assert_eq!(values.put("c").unwrap(), "c");
    }

    #[test]
    fn a_field_is_the_same_in_a_map_and_as_a_line_and_never_two() {
        const NAME: HeaderName = HeaderName::from_static("x-name");
        let (mut headers, mut lines) = (HeaderMap::new(), HeadLines(BytesMut::new()));
        let mut map = FieldsOfMap::with_room(&mut headers, 16);

        map.put(&NAME, |value| value.extend_from_slice(b"a; b")).unwrap();
        lines.put(&NAME, |value| value.extend_from_slice(b"a; b")).unwrap();
        assert_eq!(&lines.0[..], b"x-name: a; b\r\n");

        for wrong in ["a\r\nSet-Cookie: b", "a\nb", "a\0", "\x7f"] {
            assert!(map.put(&NAME, |value| value.extend_from_slice(wrong.as_bytes())).is_err());
            assert!(lines.put(&NAME, |value| value.extend_from_slice(wrong.as_bytes())).is_err());
        }
        assert_eq!(headers[NAME], "a; b");
    }
}
