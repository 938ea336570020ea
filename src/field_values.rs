//! Values of header fields, written one behind the other into one piece of memory: a request gets
//! and gives about ten, and an allocation for each would be most of what they cost.

use bytes::BytesMut;
use http::HeaderValue;
use pingora::{ErrorType, OrErr, Result};

pub struct FieldValues(BytesMut);

impl FieldValues {
    /// Room for so many bytes, all values together; more is possible and costs another piece.
    pub fn with_room(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    /// The value that this text makes. An error, not a panic, should it hold what no field can.
    pub fn put(&mut self, text: impl AsRef<[u8]>) -> Result<HeaderValue> {
        self.begin(text);
        self.end()
    }

    /// Text of the value to come.
    pub fn begin(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.0.extend_from_slice(text.as_ref());
        self
    }

    /// The value of all that was begun.
    pub fn end(&mut self) -> Result<HeaderValue> {
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
        let second = values.begin("sec").begin("ond").end().unwrap();

        assert_eq!((first, second), (HeaderValue::from_static("first"), HeaderValue::from_static("second")));
    }

    #[test]
    fn what_no_field_can_hold_is_an_error_and_leaves_nothing_behind() {
        let mut values = FieldValues::with_room(16);

        assert!(values.put("a\r\nb").is_err());

        assert_eq!(values.put("c").unwrap(), "c");
    }
}
