//! `revocation:`

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    pub mode: Option<RevocationMode>,
    pub max_staleness: Option<String>,
    pub on_store_error: Option<OnUncheckedBearer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationMode {
    Mirrored,
    Strict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUncheckedBearer {
    Deny,
    Allow,
}
