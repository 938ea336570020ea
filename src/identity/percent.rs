//! Percent-encoding (RFC 3986 §2.1).

use std::borrow::Cow;

/// The text with each byte encoded that isn't plain. `%` must not be, or the text couldn't be read back; nor
/// may a byte beyond ASCII.
pub fn encoded(text: &str, is_plain: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if text.bytes().all(&is_plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match is_plain(byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    Cow::Owned(encoded)
}

/// `None` where an escape is malformed, or the bytes are no text.
pub fn decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => digit(bytes.next()?)? * 16 + digit(bytes.next()?)?,
            plain => plain,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_and_nothing_malformed_is() {
        for text in ["", "plain", "a b/c?#%", "é€"] {
            let encoded = encoded(text, |byte| byte.is_ascii_alphanumeric());
            assert_eq!(decoded(&encoded).as_deref(), Some(text));
        }
        for malformed in ["%", "%4", "%zz", "%ff", "100%"] {
            assert_eq!(decoded(malformed), None, "{malformed}");
        }
    }
}
