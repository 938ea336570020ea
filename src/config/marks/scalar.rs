//! What a scalar without quotes stands for.

use serde_json::Value;

/// Null, a truth value or a whole number, as YAML's core schema writes them; all else is text, as it
/// is spelled. So are fractions, other bases and leading zeros: no setting is one, a password may be.
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => whole_number(text).unwrap_or_else(|| text.into()),
    }
}

fn whole_number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_decimal || digits.is_empty() || (digits.starts_with('0') && text != "0") {
        return None;
    }
    text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<i64>().map(Value::from)).ok()
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
            ("10.0.0.1", json!("10.0.0.1")),
        ];

        for (text, expected) in cases {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
