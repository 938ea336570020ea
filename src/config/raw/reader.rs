//! From the tree to the structs of this folder, past every mistake: what doesn't fit becomes a
//! problem, is taken out, and reading begins again.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Expected, Unexpected, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

use super::{Gateway, Route};
use crate::config::place::{Path, Place, Step};
use crate::config::problem::Problems;

/// Each mistake costs another reading of its part of the file.
const MAX_READINGS: usize = 200;

/// Reads the file but for its routes, which are read one by one.
pub fn read(tree: Value, problems: &mut Problems) -> Gateway {
    read_part(tree, &Place::Root, problems).unwrap_or_default()
}

/// The route at `at`. A mistake in one doesn't mean reading all again.
pub fn read_route(route: Value, at: &Place<'_>, problems: &mut Problems) -> Option<Route> {
    if route.is_null() {
        return None;
    }
    refuse_empty_access(&route, at, problems);
    read_part(route, at, problems)
}

/// Elsewhere a key without a value counts as absent; here it may be half of a rule that was meant.
fn refuse_empty_access(route: &Value, at: &Place<'_>, problems: &mut Problems) {
    let access = at.key("access");
    if route.get("access") == Some(&Value::Null) && !problems.is_known(&access) {
        let message = "nothing stands here; say who may use the route, or remove the key to ask for a token";
        problems.error(&access, message);
    }
}

/// `None` if nothing of it can be used.
fn read_part<T: for<'de> Deserialize<'de>>(
    mut tree: Value,
    base: &Place<'_>,
    problems: &mut Problems,
) -> Option<T> {
    for _ in 0..MAX_READINGS {
        let mismatch = match T::deserialize(Reader(&tree)) {
            Ok(part) => return Some(part),
            Err(mismatch) => mismatch,
        };
        let at_root = mismatch.path.is_empty() && !matches!(mismatch.wrong, Wrong::Key { .. });
        mismatch.report(&mut tree, base, problems);
        if at_root {
            return None;
        }
    }
    problems.error(base, "there are more problems than fit here; solve these first");
    None
}

/// What doesn't fit, and where.
#[derive(Debug)]
pub struct Mismatch {
    /// From the inside out.
    path: Vec<Step>,
    pub wrong: Wrong,
}

#[derive(Debug)]
pub enum Wrong {
    Key { key: String, known: &'static [&'static str] },
    Word { word: String, known: &'static [&'static str] },
    Other(String),
}

impl Mismatch {
    fn new(wrong: Wrong) -> Self {
        Self { path: Vec::new(), wrong }
    }

    /// Never shows a string of the file: it may be a secret.
    fn of_type(found: &Value, expected: &str) -> Self {
        let found = match found {
            Value::Null => "nothing".to_owned(),
            Value::Bool(flag) => format!("`{flag}`"),
            Value::Number(number) => format!("the number {number}"),
            Value::String(_) => "text".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "a mapping".to_owned(),
        };
        Self::new(Wrong::Other(format!("expected {expected}, found {found}")))
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// Says it, and takes what is wrong out of the tree.
    fn report(mut self, tree: &mut Value, base: &Place<'_>, problems: &mut Problems) {
        self.path.reverse();
        let path = base.path().join(self.path.iter().cloned());
        let Some(place) = find(tree, &self.path) else {
            return;
        };
        match self.wrong {
            Wrong::Key { key, known } => {
                if let Value::Object(entries) = place {
                    entries.remove(&key);
                }
                report_key(&path, key, known, problems);
            }
            Wrong::Word { word, known } => {
                *place = Value::Null;
                let suggestion = problems.suggestion(&word, known.iter().copied());
                let choices = known.join(", ");
                problems.error_at(path, format!("{word:?} isn't one of {choices}{suggestion}"));
            }
            Wrong::Other(message) => {
                *place = Value::Null;
                problems.error_at(path, message);
            }
        }
    }
}

fn report_key(path: &Path, key: String, known: &[&str], problems: &mut Problems) {
    let remedy = match problems.nearest(&key, known.iter().copied()) {
        Some(meant) => {
            problems.excuse(path.join([Step::Key(meant.to_owned())]));
            format!("; did you mean {meant:?}?")
        }
        None => format!("; known here: {}", known.join(", ")),
    };
    problems.error_in_key(path.join([Step::Key(key)]), format!("unknown key{remedy}"));
}

fn find<'v>(tree: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(tree, |value, step| match step {
        Step::Key(name) => value.get_mut(name),
        Step::Item(index) => value.get_mut(index),
    })
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.wrong)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Wrong::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Map => "a mapping",
            Unexpected::Seq => "a list",
            Unexpected::Str(_) => "text",
            Unexpected::Unit => "nothing",
            Unexpected::Bool(_) => "`true` or `false`",
            _ => "a number",
        };
        Self::new(Wrong::Other(format!("expected {expected}, found {found}")))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Wrong::Key { key: key.to_owned(), known })
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Wrong::Word { word: word.to_owned(), known })
    }
}

/// Reads one value, stricter and kinder than `serde_json`: no mapping is read from a list, and a
/// number may be written as text, as it is after `${PORT:-8080}`.
pub struct Reader<'de>(pub &'de Value);

impl<'de> Reader<'de> {
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let number = match self.0 {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => visitor.visit_u64(number),
            None => Err(Mismatch::of_type(self.0, "a whole number, zero or more")),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Number(number) => visitor.visit_string(number.to_string()),
            Value::Bool(flag) => visitor.visit_str(if *flag { "true" } else { "false" }),
            other => Err(Mismatch::of_type(other, "text")),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            Value::Object(entries) => visitor.visit_map(Entries::of(entries)),
            _ => self.text(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::String(text) if text == "true" => visitor.visit_bool(true),
            Value::String(text) if text == "false" => visitor.visit_bool(false),
            other => Err(Mismatch::of_type(other, "`true` or `false`")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.number(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.text(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Array(_) => self.deserialize_any(visitor),
            other => Err(Mismatch::of_type(other, "a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Err(Mismatch::of_type(other, "a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(StrDeserializer::new(word)),
            other => Err(Mismatch::of_type(other, &format!("one of {}", variants.join(", ")))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader(item)).map(Some).map_err(|mismatch| mismatch.within(Step::Item(index)))
    }
}

struct Entries<'de> {
    entries: serde_json::map::Iter<'de>,
    current: Option<(&'de str, &'de Value)>,
}

impl<'de> Entries<'de> {
    fn of(entries: &'de Map<String, Value>) -> Self {
        Self { entries: entries.iter(), current: None }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.current = Some((key, value));
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let (key, value) =
            self.current.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        seed.deserialize(Reader(value)).map_err(|mismatch| mismatch.within(Step::Key(key.to_owned())))
    }
}
