//! `routes:` and `defaults:`

use serde::Deserialize;

use super::{Access, Cache, List};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
    pub methods: Option<List<String>>,
    pub upstream: Option<String>,
    pub access: Option<Access>,
    pub issuers: Option<List<String>>,
    pub limits: Option<List<String>>,
    pub cache: Option<Cache>,
    pub websocket: Option<bool>,
    pub max_body: Option<String>,
}

/// What holds for routes that say nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    pub issuers: Option<List<String>>,
    pub limits: Option<List<String>>,
}
