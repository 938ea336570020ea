//! The rules of the auth wing.

use std::sync::Arc;
use std::time::Duration;

use super::Limit;
#[derive(Debug, Clone)]
pub struct Auth {
    /// `/auth`; without a trailing slash.
    pub prefix: String,
    pub registration_open: bool,
    pub password: PasswordRules,
    pub lockout: LockoutRule,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
}

/// The endpoints of the auth wing that a route can lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthEndpoint {
    Register,
    Login,
    Refresh,
    Logout,
    Me,
    Introspect,
    Jwks,
}

impl AuthEndpoint {
    pub const ALL: [Self; 7] =
        [Self::Register, Self::Login, Self::Refresh, Self::Logout, Self::Me, Self::Introspect, Self::Jwks];

    /// As in `auth.limits` and `auth.aliases`, and the last part of the route's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
            Self::Me => "me",
            Self::Introspect => "introspect",
            Self::Jwks => "jwks",
        }
    }

    /// The method it answers to.
    pub fn method(self) -> http::Method {
        match self {
            Self::Me | Self::Jwks => http::Method::GET,
            Self::Register | Self::Login | Self::Refresh | Self::Logout | Self::Introspect => {
                http::Method::POST
            }
        }
    }
}

/// After `failures` in a row the name is locked `for_`, counted from the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutRule {
    pub failures: u32,
    pub for_: Duration,
}
