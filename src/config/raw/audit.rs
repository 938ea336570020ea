//! `audit:`

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub keep: Option<String>,
    pub failures: Option<String>,
}
