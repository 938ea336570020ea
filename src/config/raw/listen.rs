//! `listen:`

use serde::Deserialize;

use super::List;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub proxy: Option<List<ProxyListener>>,
    pub admin: Option<String>,
    pub control: Option<String>,
    pub idle_timeout: Option<String>,
    pub drain: Option<String>,
    pub shutdown_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyListener {
    pub address: Option<String>,
    pub tls: Option<Tls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub cert: Option<String>,
    pub key: Option<String>,
}
