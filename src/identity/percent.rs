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
