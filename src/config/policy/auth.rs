//! The rules of the auth wing.

use std::sync::Arc;
use std::time::Duration;

use super::{AuthEndpoint, Limit};
use crate::identity::reserved::ReservedNames;

#[derive(Debug, Clone)]
pub struct Auth {
    /// `/auth`; without a trailing slash.
    pub prefix: String,
    /// Of the refresh cookie: covers each path that reads it.
    pub cookie_path: String,
    /// Of the device cookie: covers each path at which a password or a code is compared.
    pub device_path: String,
    /// Other paths of endpoints. What lies beneath one, or is spelled like one, is no upstream's.
    pub alias_paths: Vec<String>,
    pub registration_open: bool,
    /// What nobody calls themselves.
    pub reserved_names: ReservedNames,
    /// Whether there is a page for browsers that calls the API.
    pub docs: bool,
    pub password: PasswordRules,
    pub lockout: LockoutRule,
    pub email: EmailRules,
    pub mfa: MfaRules,
    pub keys: KeyRules,
    /// Limits of each endpoint that has any; the route table carries them too.
    pub limits: Vec<(AuthEndpoint, Vec<Arc<Limit>>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRules {
    /// In Unicode code points.
    pub min_length: usize,
    /// In Unicode code points.
    pub max_length: usize,
    pub argon2: Argon2Params,
    /// Threads that hash; fixed at start.
    pub workers: usize,
    /// Passwords that may wait for a worker; one more is refused with `overloaded`.
    pub queue: usize,
}

/// What goes by mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailRules {
    /// Nobody logs in before mail to the address has been seen to reach them.
    pub is_required: bool,
    /// Nobody changes a name or an address without the current password.
    pub change_needs_password: bool,
    /// Owners hear of what was changed in their accounts.
    pub notices: bool,
    pub verify_ttl: Duration,
    pub reset_ttl: Duration,
    /// Pages that take the token, which stands for `{token}`.
    pub verify_link: Option<String>,
    pub reset_link: Option<String>,
    /// Mails to one account and to one address, within this time.
    pub most: (u32, Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MfaRules {
    /// Whoever has one of these roles reaches upstreams with a second factor only.
    pub required_roles: Vec<String>,
    /// What authenticator apps call this place.
    pub issuer: String,
    /// Between the two steps of a login.
    pub ticket_ttl: Duration,
}

/// Of personal API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRules {
    /// Otherwise none is made, and none counts.
    pub enabled: bool,
    /// The longest that a key lives, whatever it says itself.
    pub max_ttl: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
}

/// After `failures` in a row the name is locked `for_`, counted from the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutRule {
    pub failures: u32,
    pub for_: Duration,
}
