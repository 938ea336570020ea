//! `/auth/sessions`: where the account is logged in, and ending one of these.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::{Wing, described, grant};
use crate::identity::SessionId;
use crate::rejection::Code;
use crate::store::AuditEvent;

pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    let bearer = call.bearer()?;
    let sessions = wing.stores.sessions.list(bearer.user_id, call.now).await?;
    let described = sessions.iter().map(|session| {
        let mut described = described::session(session);
        described["current"] = (session.id == bearer.session_id).into();
        described
    });
    let sessions: Vec<Value> = described.collect();
    Ok(Json(json!({ "sessions": sessions })))
}

/// Somebody else's is no session here.
pub async fn end(
    State(wing): State<Wing>,
    Path(id): Path<SessionId>,
    call: Call,
) -> Result<StatusCode, Refusal> {
    let bearer = call.bearer()?;
    let found = wing.stores.sessions.find(id, call.now).await?;
    let session = found.filter(|session| session.user_id == bearer.user_id).ok_or(Code::NotFound)?;
    wing.stores.sessions.end(session.id, grant::last_token_until(&call)).await?;
    wing.metrics.revocations.with_label_values(&["session"]).inc();
    let subject = Subject { user_id: Some(session.user_id), username: &session.username };
    wing.audit(&call, AuditEvent::SessionEnded, subject, Some(&session.id.to_string())).await;
    Ok(StatusCode::NO_CONTENT)
}
