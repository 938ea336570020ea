//! `request_id:`

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestId {
    pub trust: Option<bool>,
}
