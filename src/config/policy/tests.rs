//! What the operator says that routes must answer. Read when a policy is loaded, never by requests.

use std::collections::BTreeMap;

use crate::config::place::Path;
use crate::rejection::Code;

#[derive(Debug, Clone)]
pub struct Test {
    /// Where it stands in the file.
    pub place: Path,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub host: Option<String>,
    /// Id or name.
    pub user: Option<String>,
    pub roles: Vec<String>,
    pub scopes: Vec<String>,
    pub mfa: bool,
    /// `None`: to be let through.
    pub refusal: Option<Code>,
    /// The name of the upstream that must get it.
    pub upstream: Option<String>,
    /// What the upstream must be told; names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Test {
    pub fn is_anonymous(&self) -> bool {
        self.user.is_none() && self.roles.is_empty() && self.scopes.is_empty() && !self.mfa
    }
}
