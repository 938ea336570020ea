//! What gateway.yaml may say: strings and numbers, unknown keys refused. Every key is optional
//! here; `compile` knows which ones must be there, so that one missing key hides no other problem.

mod access;
mod admin;
mod aliases;
mod audit;
mod auth;
mod cache;
mod issuers;
mod limits;
mod listen;
mod log;
mod mail;
mod metrics;
mod reader;
mod request_id;
mod revocation;
mod routes;
mod storage;
mod tests;
mod tokens;
mod tracing;
mod upstreams;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use access::{Access, AccessWord, Mode, Rule};
pub use admin::Admin;
pub use aliases::{Alias, AliasRule, AliasTarget, AnswerMember, Reauthentication};
pub use audit::Audit;
pub use auth::{Argon2, Auth, Email, EndpointLimits, Keys, Lockout, Mfa, Password, Registration};
pub use cache::{Cache, CacheSettings, Query, VaryBy};
pub use issuers::{ClaimNames, Issuer, IssuerRoles, Words};
pub use limits::{By, Limit, OnStoreError};
pub use listen::{ClientTimeouts, Listen, MaxConnections, ProxyListener, Tls};
pub use log::{Log, LogLevel};
pub use mail::{Mail, Smtp, SmtpTls, Template, Templates};
pub use metrics::Metrics;
pub use reader::{Mismatch, Reader, Wrong, read, read_route};
pub use request_id::RequestId;
pub use revocation::{OnUncheckedBearer, Revocation, RevocationMode};
pub use routes::{Defaults, Route};
pub use storage::Storage;
pub use tests::Test;
pub use tokens::{Algorithm, TokenKey, Tokens};
pub use tracing::Tracing;
pub use upstreams::{Forwarding, Identity, Server, Timeouts, Upstream};

/// `None` stands for an item that is empty or was found wrong; the others keep their index.
pub type List<T> = Vec<Option<T>>;
/// By name. `None` stands for an entry that is empty or was found wrong.
pub type Table<T> = BTreeMap<String, Option<T>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    pub version: Option<u64>,
    pub include: Option<Words>,
    pub listen: Option<Listen>,
    pub admin: Option<Admin>,
    pub metrics: Option<Metrics>,
    pub log: Option<Log>,
    pub audit: Option<Audit>,
    pub tracing: Option<Tracing>,
    pub trusted_proxies: Option<List<String>>,
    pub request_id: Option<RequestId>,
    pub storage: Option<Storage>,
    pub tokens: Option<Tokens>,
    pub issuers: Option<Table<Issuer>>,
    pub auth: Option<Auth>,
    pub mail: Option<Mail>,
    pub revocation: Option<Revocation>,
    pub upstreams: Option<Table<Upstream>>,
    pub forwarding: Option<Forwarding>,
    pub cache: Option<CacheSettings>,
    pub limits: Option<Table<Limit>>,
    pub defaults: Option<Defaults>,
    pub routes: Option<List<Route>>,
    pub tests: Option<List<Test>>,
}
