//! The `/auth` wing: accounts, logins, sessions. An axum [`Router`] that knows nothing of the
//! proxy; `bridge` alone turns a proxied session into an `http::Request` and back.
//!
//! One file per endpoint, in the URL's word. Handlers return a [`Refusal`](answer::Refusal);
//! `answer` alone logs, counts and words it.

mod access_token;
mod addresses_of_users;
pub mod administration;
mod alias;
mod answer;
pub mod api;
mod audit;
mod body;
pub mod bridge;
mod call;
mod confirm;
pub mod console;
mod cookie;
mod credentials_of_users;
pub mod described;
mod device;
mod email;
mod ending_keys;
mod failure_rows;
mod forgotten;
mod grant;
mod guess;
pub mod import;
mod introspect;
mod jwks;
mod keys;
mod keys_of_users;
mod local_operator;
mod login;
mod logout;
mod mailer;
mod me;
mod mfa;
mod notice;
mod openapi;
mod operators;
mod origin;
mod password;
mod password_queue;
mod presented;
mod records_of_users;
mod refresh;
mod register;
mod revoke;
mod second_factor;
mod sessions;
mod sessions_of_users;
mod token;
mod token_body;
mod validate;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use serde_json::Value;

pub use self::answer::Refusal;
use self::call::Call;
use self::failure_rows::FailureRows;
pub use self::local_operator::LocalOperator;
pub use self::mailer::Mailer;
pub use self::openapi::Described;
use self::openapi::{docs, document};
pub use self::password_queue::PasswordQueue;
use crate::accounts::ending::{Changed, Ending};
use crate::config::policy::Policy;
use crate::edition::{Edition, Secrets};
use crate::identity::Identity;
use crate::identity::refresh::RefreshKeys;
use crate::identity::token::KeyRing;
use crate::identity::token::assertion::Assertions;
use crate::identity::vault::Vault;
use crate::rejection::Code;
use crate::store::{
    Account, Accounts, ApiKeys, AuditLog, Lockouts, Notices, OneTimeTokens, Revocations, SecondFactors,
    Sessions, StoreError,
};
use crate::telemetry::Metrics;

/// No body of this API comes near it; the proxy has the same limit.
const BODY_LIMIT_BYTES: usize = 16 * 1024;

/// What every request to the wing carries as an extension: the edition it started with.
#[derive(Clone)]
pub struct Settings {
    pub policy: Arc<Policy>,
    pub keys: Arc<KeyRing>,
    pub refresh_keys: Arc<RefreshKeys>,
    pub vault: Arc<Vault>,
    pub assertions: Option<Arc<Assertions>>,
}

impl Settings {
    /// `None` of a simulated request, which reaches no endpoint.
    pub fn of(edition: &Edition) -> Option<Self> {
        let Secrets { keys, refresh_keys, vault, assertions, .. } = edition.secrets.clone()?;
        Some(Self { policy: edition.policy.clone(), keys, refresh_keys, vault, assertions })
    }
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

/// An extension of logouts whose access token doesn't count, by what is wrong with it. There is no identity then.
#[derive(Debug, Clone, Copy)]
pub struct BadBearer(pub Code);

/// An extension of requests to an alias where sensitive actions need no more than the access token.
#[derive(Debug, Clone, Copy)]
pub struct WaivesReauthentication;

/// The stores that the endpoints stand on.
#[derive(Clone)]
pub struct Stores {
    pub accounts: Arc<dyn Accounts>,
    pub api_keys: Arc<dyn ApiKeys>,
    pub audit: Arc<dyn AuditLog>,
    pub sessions: Arc<dyn Sessions>,
    pub revocations: Arc<dyn Revocations>,
    pub lockouts: Arc<dyn Lockouts>,
    pub notices: Arc<dyn Notices>,
    pub one_time_tokens: Arc<dyn OneTimeTokens>,
    pub second_factors: Arc<dyn SecondFactors>,
}

/// What outlives every edition of the policy: the state of the router.
#[derive(Clone)]
struct Wing {
    stores: Stores,
    passwords: PasswordQueue,
    mailer: Mailer,
    metrics: Arc<Metrics>,
    failure_rows: Arc<FailureRows>,
    /// Paths and schemas of the API that this wing answers.
    description: Arc<Value>,
}

impl Wing {
    fn note_store_error(&self, error: &StoreError, consequence: &str) {
        note_store_error(&self.metrics, error, consequence);
    }

    fn ending(&self, call: &Call) -> Ending<'_> {
        Ending {
            accounts: &*self.stores.accounts,
            sessions: &*self.stores.sessions,
            revocations: &*self.stores.revocations,
            keys: ending_keys::of(self, call),
            until: grant::last_token_until(call),
        }
    }

    /// Makes a change of the account and ends what it takes the right from, with every API key if there is a reason;
    /// `None` if the account changed meanwhile.
    async fn change<E>(
        &self,
        call: &Call,
        account: &Account,
        keys_end: Option<&str>,
        change: impl Future<Output = Result<Option<Account>, E>>,
    ) -> Result<Option<Changed>, Refusal>
    where
        E: From<StoreError>,
        Refusal: From<E>,
    {
        let keys = keys_end.map(|reason| ending_keys::record(self, call, login::about(account), reason));
        let changed = self.ending(call).after(account, keys.as_ref(), change).await?;
        if let Some(changed) = &changed {
            self.metrics.revocations.with_label_values(&["user"]).inc();
            ending_keys::count(self, changed.keys);
        }
        Ok(changed)
    }
}

/// Whether one of their roles needs a second factor that they haven't shown (`auth.mfa.required_roles`).
fn lacks_factor(policy: &Policy, identity: &Identity) -> bool {
    let roles = &policy.auth.mfa.required_roles;
    !identity.has_mfa() && roles.iter().any(|role| identity.has_role(role))
}

/// The one place that counts and logs a failed call to a store.
fn note_store_error(metrics: &Metrics, error: &StoreError, consequence: &str) {
    metrics.store_errors.with_label_values(&[error.store]).inc();
    tracing::error!(store = error.store, cause = %error.cause, consequence, "store failed");
}

/// The endpoints at `/<endpoint>`, by [`AuthEndpoint::path`]. Every request must carry the
/// extensions [`Settings`] and [`Caller`]. Every answer of 400 and above is a problem document and
/// carries its [`Code`] as an extension, for the access log.
///
/// [`AuthEndpoint::path`]: crate::config::policy::AuthEndpoint::path
pub fn router(stores: Stores, passwords: PasswordQueue, mailer: Mailer, metrics: Arc<Metrics>) -> Router {
    let (endpoints, description) = endpoints().finish();
    let wing = Wing {
        stores,
        passwords,
        mailer,
        metrics,
        failure_rows: Arc::default(),
        description: Arc::new(description),
    };
    endpoints
        .fallback(answer::no_such_endpoint)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(from_fn_with_state(wing.clone(), answer::render))
        .with_state(wing)
}

/// Each with its description.
fn endpoints() -> Described<Wing> {
    Described::new()
        .add(register::__path_register, register::register)
        .add(login::__path_login, login::login)
        .add(second_factor::__path_login, second_factor::login)
        .add(token::__path_token, token::token)
        .add(refresh::__path_refresh, refresh::refresh)
        .add(logout::__path_logout, logout::logout)
        .add(me::__path_read, me::read)
        .add(me::__path_replace, me::replace)
        .add(me::__path_change, me::change)
        .add(me::__path_delete, me::delete)
        .add(password::__path_change, password::change)
        .add(forgotten::__path_forgot, forgotten::forgot)
        .add(forgotten::__path_reset, forgotten::reset)
        .add(email::__path_verify, email::verify)
        .add(email::__path_resend, email::resend)
        .add(mfa::__path_read, mfa::read)
        .add(mfa::__path_begin, mfa::begin)
        .add(mfa::__path_confirm, mfa::confirm)
        .add(mfa::__path_renew_codes, mfa::renew_codes)
        .add(mfa::__path_disable, mfa::disable)
        .add(sessions::__path_list, sessions::list)
        .add(sessions::__path_end, sessions::end)
        .add(keys::__path_list, keys::list)
        .add(keys::__path_create, keys::create)
        .add(keys::__path_delete, keys::delete)
        .add(introspect::__path_introspect, introspect::introspect)
        .add(revoke::__path_revoke, revoke::revoke)
        .add(validate::__path_bearer, validate::bearer)
        .add(validate::__path_presented, validate::presented)
        .add(jwks::__path_jwks, jwks::jwks)
        .add(document::__path_openapi, document::openapi)
        .add(docs::__path_page, docs::page)
        .add(docs::__path_file, docs::file)
}
