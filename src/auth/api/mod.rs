//! The admin API, at `/api/` on the admin port: what the command line does to accounts, sessions and
//! the audit log, and what the running gateway tells and takes of its policy and cache. Every request needs the
//! access token of an operator (`admin.roles`), from wherever it comes: a loopback address proves nothing.
//! Requests by the control socket need none, as only the gateway's own user can open that.

mod audit;
pub mod call;
mod decisions;
mod description;
mod keys;
mod names;
mod sessions;
mod users;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::HeaderMap;
use serde_json::Value;

use super::answer::{self, Refusal};
use super::openapi::{self, Described};
use super::{BODY_LIMIT_BYTES, LocalOperator, Mailer, PasswordQueue, Settings, Stores, Wing, lacks_factor};
use crate::clock;
use crate::identity::{Identity, credentials};
use crate::rejection::Code;
use crate::store::{Bearer, Revocations, Standing};
use crate::telemetry::Metrics;
use crate::telemetry::decisions::Decisions;

/// The endpoints beneath `/api`, with `more` and their descriptions for the same callers. Every request must carry the extensions
/// [`Settings`] and [`Caller`](super::Caller), and [`LocalOperator`] if it came by the control socket.
pub fn router(
    stores: Stores,
    passwords: PasswordQueue,
    mailer: Mailer,
    metrics: Arc<Metrics>,
    decisions: Arc<Decisions>,
    more: Vec<(Router, Value)>,
) -> Router {
    let (mut endpoints, mut description) = endpoints().finish();
    for (router, described) in more {
        endpoints = endpoints.merge(router.with_state(()));
        openapi::merge(&mut description, &described);
    }
    let wing = Wing {
        stores,
        passwords,
        mailer,
        metrics,
        failure_rows: Arc::default(),
        description: Arc::new(description),
    };
    let open = Router::new().route("/openapi.json", get(description::openapi));
    endpoints
        .fallback(answer::no_such_endpoint)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(Extension(decisions))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(from_fn_with_state(wing.clone(), admit))
        .merge(open)
        .layer(from_fn_with_state(wing.clone(), answer::render))
        .with_state(wing)
}

/// Each with its description.
fn endpoints() -> Described<Wing> {
    Described::new()
        .add(users::__path_list, users::list)
        .add(users::__path_add, users::add)
        .add(users::__path_show, users::show)
        .add(users::__path_delete, users::delete)
        .add(users::__path_set_roles, users::set_roles)
        .add(users::__path_set_email, users::set_email)
        .add(users::__path_confirm_email, users::confirm_email)
        .add(users::__path_set_password, users::set_password)
        .add(users::__path_disable, users::disable)
        .add(users::__path_enable, users::enable)
        .add(users::__path_unlock, users::unlock)
        .add(users::__path_mend, users::mend)
        .add(users::__path_reset_mfa, users::reset_mfa)
        .add(names::__path_list, names::list)
        .add(names::__path_free, names::free)
        .add(sessions::__path_list, sessions::list)
        .add(sessions::__path_end_all, sessions::end_all)
        .add(sessions::__path_end, sessions::end)
        .add(keys::__path_list_all, keys::list_all)
        .add(keys::__path_list, keys::list)
        .add(keys::__path_end_all, keys::end_all)
        .add(keys::__path_end, keys::end)
        .add(audit::__path_find, audit::find)
        .add(decisions::__path_follow, decisions::follow)
}

async fn admit(State(wing): State<Wing>, mut request: Request, next: Next) -> Response {
    let operators = Operators { revocations: wing.stores.revocations.clone() };
    let known = Known::of(&request);
    match operators.recognise(known, request.headers()).await {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// What a request carries apart from its fields.
pub struct Known {
    settings: Option<Settings>,
    local: Option<LocalOperator>,
}

impl Known {
    pub fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        Self { settings: extensions.get().cloned(), local: extensions.get().cloned() }
    }
}

/// Tells operators from others.
#[derive(Clone)]
pub struct Operators {
    pub revocations: Arc<dyn Revocations>,
}

impl Operators {
    pub async fn recognise(&self, known: Known, headers: &HeaderMap) -> Result<Arc<Identity>, Refusal> {
        if let Some(local) = known.local {
            return Ok(Arc::new(local.identity()));
        }
        authenticate(&*self.revocations, known.settings, headers).await
    }
}

/// In the order of the proxy: a revoked token learns nothing about roles.
async fn authenticate(
    revocations: &dyn Revocations,
    settings: Option<Settings>,
    headers: &HeaderMap,
) -> Result<Arc<Identity>, Refusal> {
    let settings = settings.ok_or(Code::Internal)?;
    let token = credentials::bearer(headers)?.ok_or(Code::NoCredentials)?;
    let now = clock::now();
    let identity = settings.keys.verify_cached(token, now).map_err(Code::from)?;
    let bearer = Bearer::from(&*identity);
    let standing = match revocations.standing_at_once(bearer, now) {
        Some(standing) => standing,
        None => revocations.standing(bearer, now).await?,
    };
    match standing {
        Standing::Good if !settings.policy.admin.is_operator(&identity.roles) => {
            Err(Code::RoleMissing.into())
        }
        Standing::Good => match lacks_factor(&settings.policy, &identity) {
            true => Err(Code::MfaRequired.into()),
            false => Ok(identity),
        },
        Standing::Revoked => Err(Code::TokenRevoked.into()),
        Standing::Stale => Err(Code::TokenStale.into()),
    }
}
