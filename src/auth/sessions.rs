//! `/auth/sessions`: where the account is logged in, and ending one of these.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::Refusal;
use super::api::call as paging;
use super::audit::Subject;
use super::call::Call;
use super::described::SessionSeen;
use super::notice::{self, Change};
use super::{Wing, confirm, described, grant, me};
use crate::identity::SessionId;
use crate::rejection::Code;
use crate::store::{AuditEvent, Session, SessionPage};

#[derive(Serialize, ToSchema)]
pub struct Sessions {
    #[schema(value_type = Vec<SessionSeen>)]
    pub sessions: Vec<Value>,
    /// The `after` of the page that follows; `null` on the last one.
    #[schema(value_type = Option<Uuid>)]
    pub next: Option<SessionId>,
}

/// Which page of sessions is wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Of a session: the page after it.
    #[param(value_type = Option<Uuid>)]
    after: Option<SessionId>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl Wanted {
    pub fn read(call: &Call) -> Result<Self, Refusal> {
        let wanted: Self = paging::query(call)?;
        paging::limit(wanted.limit)?;
        Ok(wanted)
    }

    /// One more than is shown, which tells whether there is another page.
    pub fn page(&self) -> SessionPage {
        SessionPage { after: self.after, limit: self.shown() + 1 }
    }

    fn shown(&self) -> u32 {
        self.limit.unwrap_or(paging::DEFAULT_LIMIT)
    }

    pub fn answer(&self, found: Vec<Session>, describe: impl Fn(&Session) -> Value) -> Sessions {
        let (sessions, next) = paging::page(found, self.shown(), |session| session.id);
        Sessions { sessions: sessions.iter().map(describe).collect(), next }
    }
}

/// List where the account is logged in, newest first.
#[utoipa::path(
    get, path = "/sessions", operation_id = "list_sessions", tag = "sessions",
    params(Wanted),
    responses((status = 200, description = "Sessions", body = Sessions)),
    security(("password" = []), ("bearer" = [])),
)]
pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<Sessions>, Refusal> {
    let bearer = call.bearer()?;
    let wanted = Wanted::read(&call)?;
    let sessions = wing.stores.sessions.list(bearer.user_id, wanted.page(), call.now).await?;
    Ok(Json(wanted.answer(sessions, |session| {
        let mut described = described::session(session);
        described["current"] = (session.id == bearer.session_id).into();
        described
    })))
}

/// End one of the own sessions. Another one than the caller's needs the password.
#[utoipa::path(
    delete, path = "/sessions/{id}", operation_id = "end_session", tag = "sessions",
    params(("id" = Uuid, Path, description = "Of the session")),
    request_body(content = Option<confirm::Document>),
    responses((status = 204, description = "Ended")),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded"]))),
)]
pub async fn end(
    State(wing): State<Wing>,
    Path(id): Path<SessionId>,
    call: Call,
) -> Result<StatusCode, Refusal> {
    let bearer = call.bearer()?;
    let proof = confirm::read(&call)?;
    let found = wing.stores.sessions.find(id, call.now).await?;
    // Somebody else's is no session here.
    let session = found.filter(|session| session.user_id == bearer.user_id).ok_or(Code::NotFound)?;
    let others_owner = match session.id == bearer.session_id {
        true => None,
        false => Some(me::own_account(&wing, &call).await?),
    };
    if let Some(account) = &others_owner {
        confirm::owner(&wing, &call, account, proof).await?;
    }
    wing.stores.sessions.end(session.id, grant::last_token_until(&call)).await?;
    wing.metrics.revocations.with_label_values(&["session"]).inc();
    let subject = Subject { user_id: Some(session.user_id), username: &session.username };
    wing.audit(&call, AuditEvent::SessionEnded, subject, Some(&session.id.to_string())).await;
    if let Some(account) = &others_owner {
        notice::post(&wing, &call, account, Change::SessionEnded).await;
    }
    Ok(StatusCode::NO_CONTENT)
}
