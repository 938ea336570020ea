//! `/api/users/{user}/sessions` and `/api/sessions/{id}`: who is logged in, and ending that.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{self, Named};
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::{Wing, described};
use crate::identity::SessionId;
use crate::rejection::Code;

pub async fn list(State(wing): State<Wing>, Named(user): Named, call: Call) -> Result<Json<Value>, Refusal> {
    let sessions = call::administration(&wing, &call)?.sessions(&user).await?;
    let sessions: Vec<Value> = sessions.iter().map(described::session).collect();
    Ok(Json(json!({ "sessions": sessions })))
}

pub async fn end_all(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let ended = call::administration(&wing, &call)?.end_sessions(&user).await?;
    Ok(Json(json!({ "ended": ended })))
}

pub async fn end(State(wing): State<Wing>, Named(id): Named, call: Call) -> Result<StatusCode, Refusal> {
    let id = SessionId::parse_str(&id).map_err(|_| Code::NotFound)?;
    call::administration(&wing, &call)?.end_session(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
