//! `admin:`

use serde::Deserialize;

use super::List;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub roles: Option<List<String>>,
    pub hosts: Option<List<String>>,
}
