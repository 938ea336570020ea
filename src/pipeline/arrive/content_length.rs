//! How long the body says it is, read in one way by whoever needs to know.

use http::{HeaderMap, header};

/// Anything but one row of digits, or more than one field (RFC 9112 §6.3), even if all agree: what
/// is read in two ways somewhere isn't passed on.
#[derive(Debug, PartialEq, Eq)]
pub struct Odd;

/// `None` without a `Content-Length`.
pub fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Odd> {
    let mut fields = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() || !field.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(Odd);
    }
    field.to_str().ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or(Odd)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_row_of_digits_is_a_length() {
        let length = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            content_length(&headers)
        };

        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&["0"]), Ok(Some(0)));
        assert_eq!(length(&["18446744073709551615"]), Ok(Some(u64::MAX)));
        let odd: [&[&str]; 9] = [
            &[""],
            &["+5"],
            &["-1"],
            &["5, 5"],
            &["5", "5"],
            &["5", "6"],
            &["0x5"],
            &[" 5"],
            &["18446744073709551616"],
        ];
        for values in odd {
            assert_eq!(length(values), Err(Odd), "{values:?}");
        }
    }
}
