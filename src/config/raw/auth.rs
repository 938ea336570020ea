//! `auth:`

use std::fmt;

use serde::de::{self, MapAccess};
use serde::{Deserialize, Deserializer};

use super::{Alias, List, Table};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub prefix: Option<String>,
    pub registration: Option<Registration>,
    /// Beside the built-in ones; empty: none at all.
    pub reserved_names: Option<List<String>>,
    pub password: Option<Password>,
    pub lockout: Option<Lockout>,
    pub require_verified_email: Option<bool>,
    pub email: Option<Email>,
    pub mfa: Option<Mfa>,
    pub keys: Option<Keys>,
    pub limits: Option<EndpointLimits>,
    pub docs: Option<bool>,
    /// By path.
    pub aliases: Option<Table<Alias>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    Open,
    Closed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Password {
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub argon2: Option<Argon2>,
    pub workers: Option<u64>,
    pub queue: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2 {
    pub memory: Option<String>,
    pub iterations: Option<u64>,
    pub parallelism: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockout {
    pub failures: Option<u64>,
    #[serde(rename = "for")]
    pub for_: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub change_needs_password: Option<bool>,
    pub notices: Option<bool>,
    pub verify_ttl: Option<String>,
    pub reset_ttl: Option<String>,
    pub verify_link: Option<String>,
    pub reset_link: Option<String>,
    pub limit: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    pub enabled: Option<bool>,
    pub max_ttl: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mfa {
    pub required_roles: Option<List<String>>,
    pub issuer: Option<String>,
    pub ticket_ttl: Option<String>,
}

/// `off`, or lists of limits by endpoint.
#[derive(Debug)]
pub enum EndpointLimits {
    Off,
    /// Endpoints that aren't named keep their built-in limit.
    ByEndpoint(Table<List<String>>),
}

impl<'de> Deserialize<'de> for EndpointLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EndpointLimitsForm)
    }
}

struct EndpointLimitsForm;

impl<'de> de::Visitor<'de> for EndpointLimitsForm {
    type Value = EndpointLimits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`off` or a mapping such as `{ login: [slow] }`")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<EndpointLimits, E> {
        match word {
            "off" => Ok(EndpointLimits::Off),
            other => Err(E::unknown_variant(other, &["off"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EndpointLimits, A::Error> {
        Table::deserialize(de::value::MapAccessDeserializer::new(map)).map(EndpointLimits::ByEndpoint)
    }
}
