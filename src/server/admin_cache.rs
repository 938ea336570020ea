//! The response cache in the admin API: `POST /api/cache/purge` and `GET /api/cache/stats`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::State;
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::open_stores::OpenStores;
use crate::auth::api::call::Sent;
use crate::auth::{Described, Refusal};
use crate::config::policy::Policy;
use crate::edition::Edition;
use crate::identity::Identity;
use crate::pipeline::cache::process_tier::ProcessTier;
use crate::rejection::{Code, Rejection};
use crate::store::{Purge, Purges, Responses};

#[derive(Clone)]
pub struct AdminCache {
    editions: Arc<ArcSwap<Edition>>,
    purges: Arc<dyn Purges>,
    responses: Arc<dyn Responses>,
    process_tier: Arc<ProcessTier>,
}

/// What a tier holds, as far as it is known without counting.
#[derive(Serialize)]
struct Tier {
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<usize>,
}

#[derive(Serialize, ToSchema)]
struct Purged {
    purged: Purge,
}

impl AdminCache {
    pub fn new(editions: Arc<ArcSwap<Edition>>, stores: &OpenStores) -> Self {
        Self {
            editions,
            purges: stores.purges.clone(),
            responses: stores.responses.clone(),
            process_tier: stores.process_tier.clone(),
        }
    }

    /// Beneath `/api`, with the description.
    pub fn router(self) -> (Router, Value) {
        let endpoints = Described::<Self>::new().add(__path_purge, purge).add(__path_stats, stats);
        let (router, description) = endpoints.finish();
        (router.with_state(self), description)
    }

    /// Whether the log of purges has been read once.
    pub fn is_filled(&self) -> bool {
        self.purges.marks().is_filled()
    }

    /// Bytes by tier; not of a store that others share.
    pub fn held_bytes(&self) -> [(&'static str, Option<u64>); 2] {
        [
            ("process", Some(self.process_tier.held_bytes())),
            (self.responses.tier(), self.responses.held_bytes()),
        ]
    }
}

/// `Err` for a route that isn't there: nothing would be purged.
pub fn check_purge(what: &Purge, policy: &Policy) -> Result<(), String> {
    match what {
        Purge::Route(name) if !policy.routes.routes().iter().any(|route| route.name == *name) => {
            Err(format!("no route is named {name:?}; `portcullis explain` says what routes are called"))
        }
        _ => Ok(()),
    }
}

/// Let stored answers no longer be served, by any gateway.
#[utoipa::path(
    post, path = "/cache/purge", operation_id = "purge_cache", tag = "cache",
    request_body = Purge,
    responses((status = 200, description = "Purged", body = Purged)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn purge(
    State(cache): State<AdminCache>,
    Extension(operator): Extension<Arc<Identity>>,
    Sent(what): Sent<Purge>,
) -> Result<Json<Purged>, Refusal> {
    let purged = what.check().map_err(|problem| Rejection::from(Code::BadRequest).because(problem))?;
    check_purge(&purged, &cache.editions.load().policy)
        .map_err(|problem| Rejection::from(Code::BadRequest).because(problem))?;
    cache.purges.purge(&purged).await?;
    tracing::info!(?purged, operator = operator.username, "purged from the response cache");
    Ok(Json(Purged { purged }))
}

/// Say what each tier of the cache holds.
#[utoipa::path(
    get, path = "/cache/stats", operation_id = "show_cache", tag = "cache",
    responses((status = 200, description = "Whether purges are followed, and each tier by name", body = Value)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn stats(State(cache): State<AdminCache>) -> Json<Value> {
    let process = Tier {
        bytes: Some(cache.process_tier.held_bytes()),
        answers: Some(cache.process_tier.held_answers()),
    };
    let store = Tier { bytes: cache.responses.held_bytes(), answers: None };
    Json(json!({
        "purges_followed": cache.purges.marks().is_current(),
        "process": process,
        (cache.responses.tier()): store,
    }))
}
