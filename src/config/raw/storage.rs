//! `storage:`

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    pub users: Option<String>,
    pub state: Option<String>,
    pub state_ca: Option<String>,
}
