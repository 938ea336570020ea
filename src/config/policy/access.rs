//! Who may use a route.

use serde::{Deserialize, Serialize};

/// The access rule of a route. Default deny: a route that says nothing is `Authenticated`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Anybody; a token isn't even looked at.
    Public,
    /// Anybody; whoever sends a token must send a good one, and is then known to the upstream.
    Optional,
    /// A good token, and what the requirement adds (nothing, by default).
    Authenticated(Requirement),
}

/// What a good token must show beside being good. All parts must hold; an empty part always does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// One of these.
    pub roles: Vec<String>,
    /// Each of these.
    pub all_roles: Vec<String>,
    /// Each of these.
    pub scopes: Vec<String>,
    pub owner: Option<Owner>,
    /// A second factor.
    #[serde(default)]
    pub mfa: bool,
    /// A second factor of whoever has one of these: those of `auth.mfa`.
    #[serde(default)]
    pub mfa_roles: Vec<String>,
    /// Counts and logs who would be refused, and refuses nobody.
    pub observe: bool,
}

impl Requirement {
    /// Whether every account of the gateway meets it, a fresh one included.
    pub fn takes_any_account(&self) -> bool {
        let Self { roles, all_roles, scopes, owner, mfa, mfa_roles: _, observe } = self;
        let asks_more =
            *mfa || owner.is_some() || !(roles.is_empty() && all_roles.is_empty() && scopes.is_empty());
        *observe || !asks_more
    }
}

/// The user whose id stands in the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The path parameter that holds the owner's user id.
    pub parameter: String,
    /// Roles that may pass without being the owner.
    pub or_roles: Vec<String>,
}
