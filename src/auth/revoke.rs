//! `POST /auth/revoke` (RFC 7009): ends the session of a refresh or access token. Whoever holds a token may end what
//! it stands for, and hears nothing of tokens that don't count.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Refusal, SpeaksOAuth2};
use super::audit::Subject;
use super::call::Call;
use super::{Wing, body, grant, token_body};
use crate::identity::{SessionId, api_key};
use crate::store::AuditEvent;

/// End the session of a token (RFC 7009).
#[utoipa::path(
    post, path = "/revoke", operation_id = "revoke", tag = "sessions",
    request_body(content((token_body::Document = "application/json"), (token_body::Form = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "Ended, or it didn't count", body = Value)),
    extensions(("x-refusals" = json!(["store_unavailable"])), ("x-oauth2" = json!(true))),
)]
pub async fn revoke(State(wing): State<Wing>, mut call: Call) -> Response {
    let mut response = end(&wing, &mut call).await.into_response();
    if body::is_form(&call) {
        response.extensions_mut().insert(SpeaksOAuth2::Only);
    }
    response
}

/// An empty object: some clients want JSON in every answer, and others don't look at it.
async fn end(wing: &Wing, call: &mut Call) -> Result<Json<Value>, Refusal> {
    let done = Json(json!({}));
    let token = token_body::read(call)?;
    if token.starts_with(api_key::PREFIX) {
        return Err(Refusal::UnsupportedTokenType);
    }
    let Some(id) = session_of(call, &token) else { return Ok(done) };
    let found = wing.stores.sessions.find(id, call.now).await?;
    if wing.stores.sessions.end(id, grant::last_token_until(call)).await? {
        wing.metrics.revocations.with_label_values(&["session"]).inc();
    }
    if let Some(session) = found {
        let subject = Subject { user_id: Some(session.user_id), username: &session.username };
        wing.audit(call, AuditEvent::LoggedOut, subject, Some("token revoked")).await;
    }
    Ok(done)
}

/// The session of a token that we minted. An access token is the bearer from then on, so that its revocation
/// lasts as long as it would have.
fn session_of(call: &mut Call, token: &str) -> Option<SessionId> {
    if let Some((id, _)) = call.settings.refresh_keys.open(token) {
        return Some(id);
    }
    let identity = call.settings.keys.verify(token, call.now).ok()?;
    let id = identity.session_id;
    call.identity = Some(Arc::new(identity));
    Some(id)
}
