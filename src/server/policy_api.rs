//! The admin port's view of the policy in force: which it is, what became of the last try to replace
//! it, and what it would do with a request. Part of the admin API: who may ask is settled before.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::reload::Reloads;
use super::status::{LastTry, Status};
use crate::auth::Described;
use crate::auth::api::call::{Object, Sent};
use crate::clock::Timestamp;
use crate::config::problem::Problem;
use crate::edition::Edition;
use crate::identity::Identity;
use crate::rehearsal::shape::Shape;
use crate::rehearsal::{Caller, Explanation, Found, Question, Rehearsal};
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

/// Beneath `/api`, with the description.
pub fn router(api: PolicyApi) -> (Router, Value) {
    let endpoints = Described::<PolicyApi>::new()
        .add(__path_show, show)
        .add(__path_routes, routes)
        .add(__path_reload, reload)
        .add(__path_explain, explain);
    let (router, description) = endpoints.finish();
    (router.layer(DefaultBodyLimit::max(MAX_BODY)).with_state(api), description)
}

/// The policy in force, and what became of the last try to replace it.
#[derive(Serialize, ToSchema)]
struct PolicySeen {
    /// Of gateway.yaml as it was taken up.
    digest: String,
    #[schema(value_type = String, format = DateTime)]
    in_force_since: Timestamp,
    /// How many there are.
    routes: usize,
    last_try: TrySeen,
}

#[derive(Serialize, ToSchema)]
struct TrySeen {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Otherwise the policy of before stays.
    successful: bool,
    #[schema(value_type = Vec<Value>)]
    problems: Vec<Problem>,
}

/// Why a question can't be answered, or an order not be carried out.
#[derive(Serialize, ToSchema)]
struct Impossible {
    /// A sentence for people.
    problem: String,
}

/// Nothing to say yet; a body all the same, so that a mere form can't ask for it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReloadOrder {}

/// Show which policy is in force.
#[utoipa::path(
    get, path = "/policy", operation_id = "show_policy", tag = "policy",
    responses((status = 200, description = "The policy", body = PolicySeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn show(State(api): State<PolicyApi>) -> Json<PolicySeen> {
    Json(api.outcome(api.status.last_try()))
}

/// List the routes of the policy in force, as `portcullis diff --live` compares them.
#[utoipa::path(
    get, path = "/policy/routes", operation_id = "list_routes", tag = "policy",
    responses((status = 200, description = "Digest, roles of operators, and routes", body = Value)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn routes(State(api): State<PolicyApi>) -> Json<Shape> {
    Json(Shape::of(&api.editions.load().policy))
}

/// Take up gateway.yaml.
#[utoipa::path(
    post, path = "/policy/reload", operation_id = "reload_policy", tag = "policy",
    request_body = ReloadOrder,
    responses(
        (status = 200, description = "It is in force", body = PolicySeen),
        (status = 422, description = "The policy of before stays, with every problem of the file", body = PolicySeen),
        (status = 503, description = "The gateway is ending", body = Impossible),
    ),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn reload(
    State(api): State<PolicyApi>,
    Extension(operator): Extension<Arc<Identity>>,
    Sent(Object(_)): Sent<Object<ReloadOrder>>,
) -> Response {
    tracing::info!(operator = operator.username, "asked for a reload");
    let Some(last_try) = api.reloads.ask().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending");
    };
    let is_good = last_try.problems.is_empty();
    let status = if is_good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, Json(api.outcome(last_try))).into_response()
}

/// Say what would happen to a request, and why.
#[utoipa::path(
    post, path = "/policy/explain", operation_id = "explain", tag = "policy",
    request_body = Question,
    responses(
        (status = 200, description = "Decision, route, limits, cache, upstream and header fields", body = Value),
        (status = 422, description = "It can't be asked", body = Impossible),
    ),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn explain(State(api): State<PolicyApi>, Sent(question): Sent<Question>) -> Response {
    match api.explain(question).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(problem) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem),
    }
}

fn refuse(status: StatusCode, problem: &str) -> Response {
    (status, Json(Impossible { problem: problem.to_owned() })).into_response()
}

impl PolicyApi {
    fn outcome(&self, last_try: LastTry) -> PolicySeen {
        let edition = self.editions.load();
        PolicySeen {
            digest: edition.policy.digest.clone(),
            in_force_since: edition.since,
            routes: edition.policy.routes.routes().len(),
            last_try: TrySeen {
                at: last_try.at,
                successful: last_try.problems.is_empty(),
                problems: last_try.problems,
            },
        }
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
        let Caller::Account { user: Some(user), found, roles, .. } = caller else { return Ok(()) };
        let account = match uuid::Uuid::parse_str(user) {
            Ok(id) => self.accounts.find_by_id(id).await,
            Err(_) => self.accounts.find_by_username(user).await,
        };
        let account = account.map_err(|error| format!("the account store failed: {error}"))?;
        let account = account.ok_or_else(|| format!("no account is called {user:?}"))?;
        if roles.is_empty() {
            roles.clone_from(&account.roles);
        }
        *user = account.id.to_string();
        let email = account.confirmed_email().map(str::to_owned);
        *found = Some(Found { username: account.username, email });
        Ok(())
    }
}
