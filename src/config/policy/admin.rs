//! Who and what may use the admin side.

use crate::identity::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Whoever has one of these roles is an operator. Never empty; `user add --operator` gives the first.
    pub roles: Vec<String>,
    /// Names under which the admin port is reached, beside its address and `localhost`; in lower case.
    pub hosts: Vec<String>,
    /// What `/metrics` asks for; `None`: it is open.
    pub metrics_token: Option<Secret>,
}

/// What holds where the file says nothing.
impl Default for Admin {
    fn default() -> Self {
        Self { roles: vec!["operator".to_owned()], hosts: Vec::new(), metrics_token: None }
    }
}

impl Admin {
    /// Whether an account or a token with these roles may use the admin API and the console.
    pub fn is_operator(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }
}
