//! Who and what may use the admin side.

use crate::identity::secret::Secret;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admin {
    /// Names under which the admin port is reached, beside its address and `localhost`; in lower case.
    pub hosts: Vec<String>,
    /// What `/metrics` asks for; `None`: it is open.
    pub metrics_token: Option<Secret>,
}
