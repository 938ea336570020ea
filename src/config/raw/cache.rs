//! `cache:`, and that of a route.

use std::fmt;

use serde::de::{self, SeqAccess};
use serde::{Deserialize, Deserializer};

use super::List;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    pub ttl: Option<String>,
    pub vary_by: Option<VaryBy>,
    pub query: Option<Query>,
    pub headers: Option<List<String>>,
    pub forward: Option<List<String>>,
    pub max_size: Option<String>,
    pub statuses: Option<List<u64>>,
    pub respect_origin: Option<bool>,
    pub stale_while_revalidate: Option<String>,
    pub stale_if_error: Option<String>,
    pub respect_client: Option<bool>,
    pub hit_cost: Option<String>,
    pub invalidate: Option<bool>,
}

/// What holds for the cache as a whole.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    pub enabled: Option<bool>,
    pub memory: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaryBy {
    User,
    Role,
    Shared,
}

/// `all`, or a list of names.
#[derive(Debug, Clone)]
pub enum Query {
    All,
    Only(List<String>),
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QueryForm)
    }
}

struct QueryForm;

impl<'de> de::Visitor<'de> for QueryForm {
    type Value = Query;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`all` or a list of parameter names")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Query, E> {
        match word {
            "all" => Ok(Query::All),
            other => Err(E::unknown_variant(other, &["all"])),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Query, A::Error> {
        List::deserialize(de::value::SeqAccessDeserializer::new(names)).map(Query::Only)
    }
}
