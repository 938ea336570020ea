//! `limits:`

use std::fmt;

use serde::de::{self, MapAccess};
use serde::{Deserialize, Deserializer};

use super::{Mode, Table};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub rate: Option<String>,
    pub burst: Option<u64>,
    pub by: Option<By>,
    /// Rates by role.
    pub roles: Option<Table<String>>,
    pub on_store_error: Option<OnStoreError>,
    pub mode: Option<Mode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    Local,
    Allow,
    Deny,
}

/// Whose counter: one of three words, or a mapping with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    Address,
    User,
    Role,
    Named { header: Option<String>, parameter: Option<String> },
}

const WORDS: &[&str] = &["address", "user", "role"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    header: Option<String>,
    parameter: Option<String>,
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByForm)
    }
}

struct ByForm;

impl<'de> de::Visitor<'de> for ByForm {
    type Value = By;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`address`, `user`, `role`, `{ header: … }` or `{ parameter: … }`")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<By, E> {
        match word {
            "address" => Ok(By::Address),
            "user" => Ok(By::User),
            "role" => Ok(By::Role),
            other => Err(E::unknown_variant(other, WORDS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<By, A::Error> {
        let named = Named::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(By::Named { header: named.header, parameter: named.parameter })
    }
}
