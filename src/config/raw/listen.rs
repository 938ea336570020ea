//! `listen:`

use serde::Deserialize;

use super::List;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub proxy: Option<List<ProxyListener>>,
    pub admin: Option<String>,
    pub control: Option<String>,
    pub max_fields: Option<u64>,
    pub idle_timeout: Option<String>,
    pub timeouts: Option<ClientTimeouts>,
    pub max_connections: Option<MaxConnections>,
    pub drain: Option<String>,
    pub shutdown_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTimeouts {
    pub header: Option<String>,
    pub body: Option<String>,
    pub send: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxConnections {
    pub total: Option<u64>,
    pub per_address: Option<u64>,
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
