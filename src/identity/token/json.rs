//! JSON that can be read in one way only: an object whose members, at every depth, have distinct
//! names, and whose values have the expected types. RFC 7515 §4 lets a parser refuse duplicate
//! names or take the last one; parsers that disagree are an attacker's opening.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Reads one JSON object, whole.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> serde_json::Result<T> {
    let mut scan = serde_json::Deserializer::from_slice(text);
    scan.deserialize_map(DistinctNames)?;
    scan.end()?;
    serde_json::from_slice(text)
}

/// For optional members: `null` or a wrong type is an error, only absence is `None`.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// Any JSON value without duplicate names in it.
struct DistinctNames;

#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for DistinctNames {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for DistinctNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with distinct member names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = Vec::new();
        while let Some((name, Self)) = members.next_entry::<Name<'de>, Self>()? {
            names.push(name);
        }
        names.sort_unstable();
        match names.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(A::Error::custom("a member name occurs twice")),
            false => Ok(self),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while let Some(Self) = items.next_element()? {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "present")]
        nbf: Option<u64>,
    }

    fn nbf(text: &str) -> Option<Option<u64>> {
        parse::<Sample>(text.as_bytes()).ok().map(|sample| sample.nbf)
    }

    #[test]
    fn an_absent_member_is_none_and_a_wrong_one_an_error() {
        assert_eq!(nbf(r#"{}"#), Some(None));
        assert_eq!(nbf(r#" {"nbf":7,"other":[null,{"a":1.5}]} "#), Some(Some(7)));

        for wrong in
            [r#"{"nbf":null}"#, r#"{"nbf":"7"}"#, r#"{"nbf":7.5}"#, r#"{"nbf":-7}"#, r#"{"nbf":true}"#]
        {
            assert_eq!(nbf(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_that_occur_twice_are_refused_at_every_depth() {
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"nbf":1,"nbf":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
        ] {
            assert_eq!(nbf(twice), None, "{twice}");
        }
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for other in ["", "[]", "[7]", "7", "null", "{}{}", "{} x", "{", "\"nbf\""] {
            assert_eq!(nbf(other), None, "{other}");
        }
        assert_eq!(nbf(&format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000))), None);
    }
}
