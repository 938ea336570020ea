//! The response cache in the admin API: `POST /api/cache/purge` and `GET /api/cache/stats`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::json;

use super::open_stores::OpenStores;
use crate::identity::Identity;
use crate::pipeline::cache::process_tier::ProcessTier;
use crate::store::{Purge, Purges, Responses};

#[derive(Clone)]
pub struct AdminCache {
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

impl AdminCache {
    pub fn new(stores: &OpenStores) -> Self {
        Self {
            purges: stores.purges.clone(),
            responses: stores.responses.clone(),
            process_tier: stores.process_tier.clone(),
        }
    }

    /// Beneath `/api`.
    pub fn router(self) -> Router {
        Router::new().route("/cache/purge", post(purge)).route("/cache/stats", get(stats)).with_state(self)
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

async fn purge(
    State(cache): State<AdminCache>,
    Extension(operator): Extension<Arc<Identity>>,
    Json(what): Json<Purge>,
) -> Response {
    let what = match what.check() {
        Ok(what) => what,
        Err(problem) => return (StatusCode::BAD_REQUEST, Json(json!({ "error": problem }))).into_response(),
    };
    match cache.purges.purge(&what).await {
        Ok(()) => {
            tracing::info!(?what, operator = operator.username, "purged from the response cache");
            Json(json!({ "purged": what })).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "the response cache could not be purged");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "store_unavailable" }))).into_response()
        }
    }
}

async fn stats(State(cache): State<AdminCache>) -> impl IntoResponse {
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
