//! The admin port's view of the policy in force: which it is, what became of the last try to replace
//! it, and what it would do with a request. Part of the admin API: who may ask is settled before.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::reload::Reloads;
use super::status::{LastTry, Status};
use crate::edition::Edition;
use crate::identity::Identity;
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

/// Beneath `/api`.
pub fn router(api: PolicyApi) -> Router {
    Router::new()
        .route("/policy", get(show))
        .route("/policy/routes", get(routes))
        .route("/policy/reload", post(reload))
        .route("/policy/explain", post(explain))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api)
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
async fn reload(
    State(api): State<PolicyApi>,
    Extension(operator): Extension<Arc<Identity>>,
    Json(_): Json<ReloadOrder>,
) -> Response {
    tracing::info!(operator = operator.username, "asked for a reload");
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
