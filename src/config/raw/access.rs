//! `access:` of a route.

use std::fmt;

use serde::de::{self, MapAccess};
use serde::{Deserialize, Deserializer};

use super::List;

/// One of three words, or a mapping.
#[derive(Debug, Clone)]
pub enum Access {
    Word(AccessWord),
    Rule(Rule),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessWord {
    Public,
    Optional,
    Authenticated,
}

const WORDS: &[&str] = &["public", "optional", "authenticated"];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub roles: Option<List<String>>,
    pub all_roles: Option<List<String>>,
    pub scopes: Option<List<String>>,
    pub owner: Option<String>,
    pub or_roles: Option<List<String>>,
    pub mfa: Option<bool>,
    pub mode: Option<Mode>,
}

/// Whether a rule refuses, or only counts and logs what it would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Enforce,
    Observe,
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AccessForm)
    }
}

struct AccessForm;

impl<'de> de::Visitor<'de> for AccessForm {
    type Value = Access;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`public`, `optional`, `authenticated` or a mapping such as `{ roles: [admin] }`")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Access, E> {
        match word {
            "public" => Ok(Access::Word(AccessWord::Public)),
            "optional" => Ok(Access::Word(AccessWord::Optional)),
            "authenticated" => Ok(Access::Word(AccessWord::Authenticated)),
            other => Err(E::unknown_variant(other, WORDS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Access, A::Error> {
        Rule::deserialize(de::value::MapAccessDeserializer::new(map)).map(Access::Rule)
    }
}
