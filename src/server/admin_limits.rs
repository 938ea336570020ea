//! The counters of limits in the admin API: `POST /api/limits/show` and `POST /api/limits/reset`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::State;
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::limit_counters::{self, Problem, Report, Subject};
use super::open_stores::OpenStores;
use crate::auth::api::call::Sent;
use crate::auth::{Described, Refusal};
use crate::edition::Edition;
use crate::identity::Identity;
use crate::rejection::{Code, Rejection};
use crate::store::{Accounts, Counters};

#[derive(Clone)]
pub struct AdminLimits {
    editions: Arc<ArcSwap<Edition>>,
    accounts: Arc<dyn Accounts>,
    counters: Arc<dyn Counters>,
}

/// The counters of a caller.
#[derive(Serialize, ToSchema)]
struct Shown {
    counters: Vec<Report>,
}

/// The names of the counters that are at rest now.
#[derive(Serialize, ToSchema)]
struct Reset {
    reset: Vec<String>,
}

impl AdminLimits {
    pub fn new(editions: Arc<ArcSwap<Edition>>, stores: &OpenStores) -> Self {
        Self { editions, accounts: stores.accounts.clone(), counters: stores.counters.clone() }
    }

    /// Beneath `/api`, with the description.
    pub fn router(self) -> (Router, Value) {
        let endpoints = Described::<Self>::new().add(__path_show, show).add(__path_reset, reset);
        let (router, description) = endpoints.finish();
        (router.with_state(self), description)
    }
}

/// Say how far the limits of a caller are used up.
#[utoipa::path(
    post, path = "/limits/show", operation_id = "show_limits", tag = "limits",
    request_body = Subject,
    responses((status = 200, description = "Each counter", body = Shown)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn show(
    State(limits): State<AdminLimits>,
    Sent(subject): Sent<Subject>,
) -> Result<Json<Shown>, Refusal> {
    let policy = limits.editions.load_full().policy.clone();
    let counters = limit_counters::show(&subject, &policy, &*limits.accounts, &*limits.counters).await?;
    Ok(Json(Shown { counters }))
}

/// Let a caller begin anew.
#[utoipa::path(
    post, path = "/limits/reset", operation_id = "reset_limits", tag = "limits",
    request_body = Subject,
    responses((status = 200, description = "Reset", body = Reset)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn reset(
    State(limits): State<AdminLimits>,
    Extension(operator): Extension<Arc<Identity>>,
    Sent(subject): Sent<Subject>,
) -> Result<Json<Reset>, Refusal> {
    let policy = limits.editions.load_full().policy.clone();
    let reset = limit_counters::reset(&subject, &policy, &*limits.accounts, &*limits.counters).await?;
    tracing::info!(?reset, operator = operator.username, "limits were reset");
    Ok(Json(Reset { reset }))
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Asked(why) => Rejection::from(Code::BadRequest).because(why).into(),
            Problem::Store(error) => error.into(),
        }
    }
}
