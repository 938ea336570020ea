//! The `/auth` wing: accounts, logins, sessions. An axum [`Router`](axum::Router) that knows
//! nothing of the proxy; `bridge` alone turns a proxied session into an `http::Request` and back.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::policy::Policy;
use crate::identity::refresh::RefreshKeys;
use crate::identity::token::KeyRing;

/// What every request to the wing carries as an extension: the edition it started with.
#[derive(Clone)]
pub struct Settings {
    pub policy: Arc<Policy>,
    pub keys: Arc<KeyRing>,
    pub refresh_keys: Arc<RefreshKeys>,
}

/// Who is calling, as the proxy saw it; an extension of every request to the wing. Where the
/// route asks for a token there is also an `Arc<Identity>` extension, already checked for
/// revocation.
#[derive(Debug, Clone)]
pub struct Caller {
    pub address: IpAddr,
    pub request_id: String,
    /// `https` or `http`, as the client sees it (behind trusted proxies, their word).
    pub scheme: &'static str,
    /// As the client addressed us, with port; lower case.
    pub host: String,
}
