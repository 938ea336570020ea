//! `auth.aliases:`

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer};

use super::{List, Table};

/// What answers at a path: one endpoint, or several that take different methods.
#[derive(Debug)]
pub enum Alias {
    One(AliasTarget),
    Several(List<AliasTarget>),
}

/// An endpoint, or one with other methods or another answer.
#[derive(Debug)]
pub enum AliasTarget {
    Word(String),
    Rule(AliasRule),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasRule {
    pub endpoint: Option<String>,
    pub methods: Option<List<String>>,
    /// Our members by the names that clients send.
    pub request: Option<Table<String>>,
    /// Our members by the names that clients look for.
    pub answer: Option<Answer>,
    pub reauthentication: Option<Reauthentication>,
}

/// Whether sensitive actions of an account's owner need the password, and a code of the second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reauthentication {
    Required,
    Waived,
}

/// Objects in objects, to a depth that a type can tell.
pub type Answer = Table<Nested<Nested<String>>>;

#[derive(Debug)]
pub enum Nested<T> {
    Own(String),
    Members(Table<T>),
}

/// The same without a bound on the depth.
#[derive(Debug)]
pub enum AnswerMember {
    Own(String),
    Members(Table<AnswerMember>),
}

impl From<String> for AnswerMember {
    fn from(own: String) -> Self {
        Self::Own(own)
    }
}

impl<T: Into<AnswerMember>> From<Nested<T>> for AnswerMember {
    fn from(nested: Nested<T>) -> Self {
        match nested {
            Nested::Own(own) => Self::Own(own),
            Nested::Members(table) => {
                Self::Members(table.into_iter().map(|(n, m)| (n, m.map(T::into))).collect())
            }
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NestedForm(PhantomData))
    }
}

struct NestedForm<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for NestedForm<T> {
    type Value = Nested<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member, a mapping of members, or `{ text: … }`")
    }

    fn visit_str<E: de::Error>(self, own: &str) -> Result<Nested<T>, E> {
        Ok(Nested::Own(own.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Nested<T>, A::Error> {
        Table::deserialize(de::value::MapAccessDeserializer::new(map)).map(Nested::Members)
    }
}

impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AliasForm)
    }
}

impl<'de> Deserialize<'de> for AliasTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetForm)
    }
}

struct AliasForm;

impl<'de> de::Visitor<'de> for AliasForm {
    type Value = Alias;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an endpoint, a mapping such as `{ endpoint: login }`, or a list of these")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Alias, E> {
        TargetForm.visit_str(word).map(Alias::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Alias, A::Error> {
        TargetForm.visit_map(map).map(Alias::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Alias, A::Error> {
        List::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Alias::Several)
    }
}

struct TargetForm;

impl<'de> de::Visitor<'de> for TargetForm {
    type Value = AliasTarget;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an endpoint, or a mapping such as `{ endpoint: login }`")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<AliasTarget, E> {
        Ok(AliasTarget::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AliasTarget, A::Error> {
        AliasRule::deserialize(de::value::MapAccessDeserializer::new(map)).map(AliasTarget::Rule)
    }
}
