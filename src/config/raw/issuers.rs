//! `issuers:`

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer};

use super::{List, Table};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub issuer: Option<Words>,
    pub tenants: Option<Words>,
    pub audience: Option<Words>,
    pub audience_claim: Option<Words>,
    pub jwks: Option<String>,
    pub algorithms: Option<List<String>>,
    pub claims: Option<ClaimNames>,
    pub roles: Option<IssuerRoles>,
    pub username_prefix: Option<String>,
    pub allow_id_tokens: Option<bool>,
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

/// `same`, or a mapping from its names to ours.
#[derive(Debug)]
pub enum IssuerRoles {
    Same,
    Mapped(Table<String>),
}

impl<'de> Deserialize<'de> for IssuerRoles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IssuerRolesForm)
    }
}

struct IssuerRolesForm;

impl<'de> de::Visitor<'de> for IssuerRolesForm {
    type Value = IssuerRoles;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`same`, or a mapping such as `{ Domain Admins: admin }`")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<IssuerRoles, E> {
        match word {
            "same" => Ok(IssuerRoles::Same),
            other => Err(E::unknown_variant(other, &["same"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<IssuerRoles, A::Error> {
        Table::deserialize(de::value::MapAccessDeserializer::new(map)).map(IssuerRoles::Mapped)
    }
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
