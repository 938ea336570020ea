//! The admin port's view of the policy in force: which it is, what became of the last try to replace
//! it, and what it would do with a request.
//!
//! Nobody signs in here, so that `portcullis reload` works while the account store is down; instead only this
//! machine is answered. Questions come as JSON, which no web page can send here without being asked first
//! (CORS), and under an address or `localhost`, which no page elsewhere can make its own name (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::reload::Reloads;
use super::status::{LastTry, Status};
use crate::edition::Edition;
use crate::rehearsal::shape::Shape;
use crate::rehearsal::{Caller, Explanation, Question, Rehearsal};
use crate::store::{Accounts, ApiKeys, Gatekeeper};

/// A question with its headers.
const MAX_BODY: usize = 128 << 10;

#[derive(Clone)]
pub struct PolicyApi {
    pub editions: Arc<ArcSwap<Edition>>,
    pub status: Arc<Status>,
    pub reloads: Reloads,
    pub gatekeeper: Arc<dyn Gatekeeper>,
    pub accounts: Arc<dyn Accounts>,
    pub api_keys: Arc<dyn ApiKeys>,
}

pub fn router(api: PolicyApi) -> Router {
    Router::new()
        .route("/api/policy", get(show))
        .route("/api/policy/routes", get(routes))
        .route("/api/policy/reload", post(reload))
        .route("/api/policy/explain", post(explain))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(only_from_here))
        .with_state(api)
}

async fn only_from_here(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if peer.ip().to_canonical().is_loopback() && is_own_name(host) {
        return next.run(request).await;
    }
    refuse(StatusCode::FORBIDDEN, "the policy is told and changed from this machine only")
}

/// An address, or `localhost`; with or without a port.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

async fn show(State(api): State<PolicyApi>) -> Response {
    Json(api.outcome(api.status.last_try())).into_response()
}

async fn routes(State(api): State<PolicyApi>) -> Json<Shape> {
    Json(Shape::of(&api.editions.load().policy))
}

/// Nothing to say yet; a body all the same, so that a mere form can't ask for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadOrder {}

/// 200 when the file is in force, 422 when the running policy stays.
async fn reload(State(api): State<PolicyApi>, Json(_): Json<ReloadOrder>) -> Response {
    let Some(last_try) = api.reloads.ask().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending");
    };
    let is_good = last_try.problems.is_empty();
    let status = if is_good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, Json(api.outcome(last_try))).into_response()
}

async fn explain(State(api): State<PolicyApi>, Json(question): Json<Question>) -> Response {
    match api.explain(question).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(problem) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem),
    }
}

fn refuse(status: StatusCode, problem: &str) -> Response {
    (status, Json(json!({ "problem": problem }))).into_response()
}

impl PolicyApi {
    fn outcome(&self, last_try: LastTry) -> serde_json::Value {
        let edition = self.editions.load();
        json!({
            "digest": edition.policy.digest,
            "in_force_since": edition.since,
            "routes": edition.policy.routes.routes().len(),
            "last_try": {
                "at": last_try.at,
                "successful": last_try.problems.is_empty(),
                "problems": last_try.problems,
            },
        })
    }

    /// `Err` if it can't be asked; for people.
    pub async fn explain(&self, mut question: Question) -> Result<Explanation, String> {
        self.look_up(&mut question.caller).await?;
        let running = self.editions.load_full();
        let rehearsal = Rehearsal::live(&running, self.gatekeeper.clone(), self.api_keys.clone());
        rehearsal.explain(&question).await
    }

    /// Puts the account's id and, unless others are asked for, its roles into the question.
    async fn look_up(&self, caller: &mut Caller) -> Result<(), String> {
        let Caller::Account { user: Some(user), roles, .. } = caller else { return Ok(()) };
        let found = match uuid::Uuid::parse_str(user) {
            Ok(id) => self.accounts.find_by_id(id).await,
            Err(_) => self.accounts.find_by_username(user).await,
        };
        let account = found.map_err(|error| format!("the account store failed: {error}"))?;
        let account = account.ok_or_else(|| format!("no account is called {user:?}"))?;
        if roles.is_empty() {
            roles.clone_from(&account.roles);
        }
        *user = account.id.to_string();
        Ok(())
    }
}
