//! The command line has revoked something in an embedded store, and says so.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::api::call::{Object, Sent};
use crate::auth::{Described, Refusal};
use crate::store::Revocations;

type Shared = Arc<dyn Revocations>;

/// A body all the same, so that a mere form can't ask for it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CatchUpOrder {}

/// Beneath `/api`, with the description.
pub fn router(revocations: Shared) -> (Router, Value) {
    let (router, description) = Described::<Shared>::new().add(__path_catch_up, catch_up).finish();
    (router.with_state(revocations), description)
}

/// Read what other processes have revoked in an embedded store.
#[utoipa::path(
    post, path = "/revocations/catch-up", operation_id = "catch_up", tag = "policy",
    request_body = CatchUpOrder,
    responses((status = 204, description = "It counts")),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
async fn catch_up(
    State(revocations): State<Shared>,
    Sent(Object(_)): Sent<Object<CatchUpOrder>>,
) -> Result<StatusCode, Refusal> {
    revocations.catch_up().await?;
    Ok(StatusCode::NO_CONTENT)
}
