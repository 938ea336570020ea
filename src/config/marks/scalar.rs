//! What a scalar without quotes stands for.

use std::borrow::Cow;

use serde_json::Value;
use serde_yaml::Value as Scalar;

/// Longer than any number or truth value.
const MAX_BYTES: usize = 24;

/// `serde_yaml` says whether it is null, a truth value or a number. What it would spell in another way
/// (`0x10`, `1e5`, `1.50`) is text as it stands: no setting is written so, but a password may be.
pub fn plain(text: Cow<'_, str>) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if !may_be_more_than_text(&text) {
        return text.into();
    }
    match serde_yaml::from_str(&text) {
        Ok(Scalar::Null) => Value::Null,
        Ok(Scalar::Bool(truth)) => truth.into(),
        Ok(Scalar::Number(number)) if number.to_string() == text => {
            serde_json::to_value(number).unwrap_or_else(|_| text.into())
        }
        _ => text.into(),
    }
}

/// Spares the library what is plainly text, which most of a file is.
fn may_be_more_than_text(text: &str) -> bool {
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let is_number_like =
        has_digit && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    let is_word = matches!(text.len(), 1 | 4 | 5) && text.starts_with(['~', 'n', 'N', 't', 'T', 'f', 'F']);
    text.len() <= MAX_BYTES && (is_number_like || is_word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_another_spelling_is_text() {
        let cases = [
            ("~", json!(null)),
            ("null", json!(null)),
            ("nULL", json!("nULL")),
            ("True", json!(true)),
            ("yes", json!("yes")),
            ("0", json!(0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!("18446744073709551616")),
            ("-5", json!(-5)),
            ("-0", json!("-0")),
            ("-", json!("-")),
            ("007", json!("007")),
            ("+1", json!("+1")),
            ("0x10", json!("0x10")),
            ("1e5", json!("1e5")),
            ("1.50", json!("1.50")),
            ("---", json!("---")),
            ("...", json!("...")),
            ("-", json!("-")),
            ("t", json!("t")),
            ("10.0.0.1", json!("10.0.0.1")),
        ];

        for (text, expected) in cases {
            assert_eq!(plain(text.into()), expected, "{text}");
        }
    }
}
