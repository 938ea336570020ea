//! `issuers:`

use std::fmt;

use serde::de::{self, SeqAccess};
use serde::{Deserialize, Deserializer};

use super::{List, Table};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub issuer: Option<String>,
    pub audience: Option<Words>,
    pub jwks: Option<String>,
    pub algorithms: Option<List<String>>,
    pub claims: Option<ClaimNames>,
    pub roles: Option<Table<String>>,
    pub email_trusted: Option<bool>,
    pub refresh: Option<String>,
    pub cooldown: Option<String>,
    pub ca: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimNames {
    pub user: Option<Words>,
    pub username: Option<Words>,
    pub email: Option<Words>,
    pub email_verified: Option<Words>,
    pub roles: Option<Words>,
    pub scopes: Option<Words>,
}

/// One text, or a list of them.
#[derive(Debug, Default)]
pub struct Words(pub List<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordsForm)
    }
}

struct WordsForm;

impl<'de> de::Visitor<'de> for WordsForm {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a list of texts")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Words, E> {
        Ok(Words(vec![Some(word.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Words, A::Error> {
        List::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Words)
    }
}
