//! `/api/users/{user}/sessions` and `/api/sessions/{id}`: who is logged in, and ending that.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::{self, KeysToo, Named};
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::sessions::{Sessions, Wanted};
use crate::auth::{Wing, described};
use crate::identity::SessionId;
use crate::rejection::Code;

/// List the sessions of an account, newest first.
#[utoipa::path(
    get, path = "/users/{user}/sessions", operation_id = "list_sessions_of_user", tag = "sessions",
    params(("user" = String, Path, description = "Id or username"), Wanted),
    responses((status = 200, description = "Sessions", body = Sessions)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn list(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Sessions>, Refusal> {
    let wanted = Wanted::read(&call)?;
    let sessions = call::administration(&wing, &call)?.sessions(&user, wanted.page()).await?;
    Ok(Json(wanted.answer(sessions, described::session)))
}

#[derive(Serialize, ToSchema)]
pub struct Ended {
    /// How many there were.
    pub ended: u64,
}

/// End every session of an account, and its API keys.
#[utoipa::path(
    delete, path = "/users/{user}/sessions", operation_id = "end_sessions_of_user", tag = "sessions",
    params(("user" = String, Path, description = "Id or username"), KeysToo),
    responses((status = 200, description = "Ended", body = Ended)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn end_all(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Ended>, Refusal> {
    let KeysToo { keep_keys } = call::query(&call)?;
    let ended = call::administration(&wing, &call)?.end_sessions(&user, keep_keys).await?;
    Ok(Json(Ended { ended }))
}

/// End a session.
#[utoipa::path(
    delete, path = "/sessions/{id}", operation_id = "end_session_of_user", tag = "sessions",
    params(("id" = Uuid, Path, description = "Of the session")),
    responses((status = 204, description = "Ended")),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn end(State(wing): State<Wing>, Named(id): Named, call: Call) -> Result<StatusCode, Refusal> {
    let id = SessionId::parse_str(&id).map_err(|_| Code::NotFound)?;
    call::administration(&wing, &call)?.end_session(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
