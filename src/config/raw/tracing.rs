//! `tracing:`

use serde::Deserialize;

use super::Table;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    pub endpoint: Option<String>,
    pub sample: Option<String>,
    pub service: Option<String>,
    pub headers: Option<Table<String>>,
}
