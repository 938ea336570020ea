//! `upstreams:` and `forwarding:`

use std::fmt;

use serde::de::{self, MapAccess};
use serde::{Deserialize, Deserializer};

use super::List;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    pub servers: Option<List<Server>>,
    pub timeouts: Option<Timeouts>,
    pub identity: Option<Identity>,
    pub keep_authorization: Option<bool>,
    pub assertion: Option<bool>,
    pub reserved: Option<List<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarding {
    pub fast_lane: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    pub connect: Option<String>,
    pub read: Option<String>,
    pub write: Option<String>,
    pub idle: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    Forwarded,
    Remote,
    Webauth,
    Consumer,
}

/// `host:port`, `http://host:port`, `https://host:port`, or a mapping with `address` and `weight`.
#[derive(Debug, Default)]
pub struct Server {
    pub address: Option<String>,
    pub weight: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightedServer {
    address: Option<String>,
    weight: Option<u64>,
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServerForm)
    }
}

struct ServerForm;

impl<'de> de::Visitor<'de> for ServerForm {
    type Value = Server;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`host:port`, or a mapping with `address` and `weight`")
    }

    fn visit_str<E: de::Error>(self, address: &str) -> Result<Server, E> {
        Ok(Server { address: Some(address.to_owned()), weight: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Server, A::Error> {
        let form = WeightedServer::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Server { address: form.address, weight: form.weight })
    }
}
