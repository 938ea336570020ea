//! The compiled configuration: types that can't be wrong. Immutable; a request keeps the one it
//! started with.

mod access;
mod admin;
mod aliases;
mod audit;
mod auth;
mod auth_endpoint;
mod cache;
mod issuers;
mod limits;
mod listen;
mod log;
mod mail;
mod postgres_url;
mod revocation;
mod routes;
mod state_servers;
mod storage;
mod store_url;
mod tests;
mod tokens;
mod tracing;
mod upstreams;

pub use access::{Access, Owner, Requirement};
pub use admin::Admin;
pub use aliases::{Alias, AnswerMember, AnswerShape, RequestShape, Translation};
pub use audit::Audit;
pub use auth::{Argon2Params, Auth, EmailRules, KeyRules, LockoutRule, MfaRules, PasswordRules};
pub use auth_endpoint::AuthEndpoint;
pub use cache::{CacheRule, CacheSettings, QueryKey, VaryBy};
pub use issuers::{
    AcceptedIssuers, Audience, ClaimNames, ForeignAlgorithm, ForeignRoles, Issuer, KeySource, TENANT,
    Tenants, tenant,
};
pub use limits::{Limit, LimitBy, OnStoreError, Quota};
pub use listen::{ClientTimeouts, ControlSocket, Listen, MaxConnections, ProxyListener};
pub use log::{Log, LogLevel, Share};
pub use mail::{Mail, MailDelivery, MailTemplate, SmtpServer, SmtpTls};
pub use postgres_url::PostgresUrl;
pub use revocation::Revocation;
pub use routes::{
    Assignment, Destination, MethodSet, Params, Route, RouteConflict, RouteTable, RouteTableBuilder,
};
pub use state_servers::{RedisAccess, RedisAddress, RedisServers};
pub use storage::{StateStorage, Storage, UserStorage};
pub use tests::Test;
pub use tokens::{KeyMaterial, SigningAlgorithm, TokenKey, Tokens};
pub use tracing::Tracing;
pub use upstreams::{IdentityPreset, ReservedField, Server, Timeouts, Upstream};

use ipnet::IpNet;

/// One compiled gateway.yaml.
#[derive(Debug)]
pub struct Policy {
    /// SHA-256 of the file after substitution, in hex: tells editions apart in logs and metrics.
    pub digest: String,
    pub listen: Listen,
    pub admin: Admin,
    pub log: Log,
    pub audit: Audit,
    /// `None`: nothing is traced.
    pub tracing: Option<Tracing>,
    /// Peers that may say `X-Forwarded-For`, `-Proto` and `-Host`.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a request keeps the `X-Request-Id` that such a peer has given it.
    pub trust_request_id: bool,
    pub storage: Storage,
    pub tokens: Tokens,
    pub issuers: Vec<std::sync::Arc<Issuer>>,
    pub auth: Auth,
    pub mail: Mail,
    pub revocation: Revocation,
    pub upstreams: Vec<std::sync::Arc<Upstream>>,
    pub limits: Vec<std::sync::Arc<Limit>>,
    pub routes: RouteTable,
    /// Whether plain requests are forwarded by the fast lane.
    pub fast_lane: bool,
    /// What the routes must answer, by the file itself.
    pub tests: Vec<Test>,
    pub cache: CacheSettings,
}
