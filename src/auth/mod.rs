//! The `/auth` wing: accounts, logins, sessions. An axum [`Router`] that knows nothing of the
//! proxy; `bridge` alone turns a proxied session into an `http::Request` and back.
//!
//! One file per endpoint, in the URL's word. Handlers return a [`Refusal`](answer::Refusal);
//! `answer` alone logs, counts and words it.

pub mod administration;
mod alias;
mod answer;
pub mod api;
mod audit;
mod body;
pub mod bridge;
mod call;
pub mod console;
mod cookie;
pub mod described;
mod email;
mod forgotten;
mod grant;
pub mod import;
mod introspect;
mod jwks;
mod keys;
mod login;
mod logout;
mod mailer;
mod me;
mod origin;
mod password;
mod password_queue;
mod presented;
mod refresh;
mod register;
mod sessions;
mod validate;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

pub use self::mailer::Mailer;
pub use self::password_queue::PasswordQueue;
use crate::config::policy::Policy;
use crate::identity::refresh::RefreshKeys;
use crate::identity::token::KeyRing;
use crate::store::{Accounts, ApiKeys, AuditLog, Lockouts, OneTimeTokens, Revocations, Sessions, StoreError};
use crate::telemetry::Metrics;

/// No body of this API comes near it; the proxy has the same limit.
const BODY_LIMIT_BYTES: usize = 16 * 1024;

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

/// The stores that the endpoints stand on.
#[derive(Clone)]
pub struct Stores {
    pub accounts: Arc<dyn Accounts>,
    pub api_keys: Arc<dyn ApiKeys>,
    pub audit: Arc<dyn AuditLog>,
    pub sessions: Arc<dyn Sessions>,
    pub revocations: Arc<dyn Revocations>,
    pub lockouts: Arc<dyn Lockouts>,
    pub one_time_tokens: Arc<dyn OneTimeTokens>,
}

/// What outlives every edition of the policy: the state of the router.
#[derive(Clone)]
struct Wing {
    stores: Stores,
    passwords: PasswordQueue,
    mailer: Mailer,
    metrics: Arc<Metrics>,
}

impl Wing {
    fn note_store_error(&self, error: &StoreError, consequence: &str) {
        note_store_error(&self.metrics, error, consequence);
    }
}

/// The one place that counts and logs a failed call to a store.
fn note_store_error(metrics: &Metrics, error: &StoreError, consequence: &str) {
    metrics.store_errors.with_label_values(&[error.store]).inc();
    tracing::error!(store = error.store, cause = %error.cause, consequence, "store failed");
}

/// The endpoints at `/<endpoint>`, by [`AuthEndpoint::path`]. Every request must carry the
/// extensions [`Settings`] and [`Caller`]. Every answer of 400 and above is a problem document and
/// carries its [`Code`](crate::rejection::Code) as an extension, for the access log.
///
/// [`AuthEndpoint::path`]: crate::config::policy::AuthEndpoint::path
pub fn router(stores: Stores, passwords: PasswordQueue, mailer: Mailer, metrics: Arc<Metrics>) -> Router {
    let wing = Wing { stores, passwords, mailer, metrics };
    Router::new()
        .route("/register", post(register::register))
        .route("/login", post(login::login))
        .route("/refresh", post(refresh::refresh))
        .route("/logout", post(logout::logout))
        .route("/me", get(me::read).put(me::replace).patch(me::change).delete(me::delete))
        .route("/password", post(password::change))
        .route("/password/forgot", post(forgotten::forgot))
        .route("/password/reset", post(forgotten::reset))
        .route("/email/verify", post(email::verify))
        .route("/email/resend", post(email::resend))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", delete(sessions::end))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::delete))
        .route("/introspect", post(introspect::introspect))
        .route("/validate", get(validate::validate).post(validate::validate))
        .route("/jwks", get(jwks::jwks))
        .fallback(answer::no_such_endpoint)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(from_fn_with_state(wing.clone(), answer::render))
        .with_state(wing)
}
