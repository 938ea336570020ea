//! `POST /auth/refresh`: a refresh token for a new access token and the next refresh token.
//!
//! Whatever can fail comes before the rotation, which uses the token up: a client that gets a 503
//! may come back with the same token, however late.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::grant::{self, Delivery, Tokens};
use super::presented::{Document, Opened, Presented};
use super::{Wing, cookie};
use crate::identity::SessionId;
use crate::rejection::{Code, Rejection};
use crate::store::{
    Account, AuditEvent, Bearer, Presentation, Presenter, Rotation, Session, Standing, StoreError,
};

/// Get the next access token, and the next refresh token.
#[utoipa::path(
    post, path = "/refresh", operation_id = "refresh", tag = "sessions",
    request_body(content = Option<Document>, description = "Without a body, the token is in the cookie, or the bearer"),
    responses((status = 200, description = "Tokens", body = Tokens)),
    extensions(("x-refusals" = json!(["refresh_invalid", "refresh_reused", "cross_origin", "store_unavailable"]))),
)]
pub async fn refresh(State(wing): State<Wing>, call: Call) -> Response {
    let presented = match Presented::find(&call) {
        Ok(Some(presented)) => presented,
        Ok(None) => {
            let detail = "No refresh token came: send the cookie, or {\"refresh_token\": \"…\"} as JSON";
            return refuse(&wing, Rejection::from(Code::RefreshInvalid).because(detail).into());
        }
        Err(refusal) => return refuse(&wing, refusal),
    };
    match renew_one(&wing, &call, &presented).await {
        Ok(session) => {
            let Presented { in_cookie, in_body, .. } = presented;
            let delivery = Delivery { in_cookie, in_body, tells_scope: false };
            grant::answer(&call, &session, delivery)
        }
        Err(refusal) => {
            let is_dead = is_dead(refusal.code());
            let mut response = refuse(&wing, refusal);
            if is_dead && presented.in_cookie {
                response.headers_mut().insert(SET_COOKIE, cookie::clear(&call));
            }
            response
        }
    }
}

/// A token that came in an OAuth2 form.
pub async fn exchange(
    wing: &Wing,
    call: &Call,
    token: String,
    delivery: Delivery,
) -> Result<Response, Refusal> {
    let presented = Presented::of(call, &[token]);
    let renewed = renew_one(wing, call, &presented).await;
    if let Err(refusal) = &renewed {
        count(wing, refusal.code().as_str());
    }
    Ok(grant::answer(call, &renewed?, delivery))
}

/// Whether a refresh token is of no use any more, nor is the cookie it came in.
pub fn is_dead(code: Code) -> bool {
    matches!(code, Code::RefreshInvalid | Code::RefreshReused | Code::BadRequest)
}

fn refuse(wing: &Wing, refusal: Refusal) -> Response {
    count(wing, refusal.code().as_str());
    refusal.into_response()
}

fn count(wing: &Wing, outcome: &str) {
    wing.metrics.refreshes.with_label_values(&[outcome]).inc();
}

/// The first of them that is good for a session.
async fn renew_one(wing: &Wing, call: &Call, presented: &Presented) -> Result<Session, Refusal> {
    presented.check_owner(wing, call).await?;
    let mut refused = Code::RefreshInvalid.into();
    for opened in &presented.opened {
        match renew(wing, call, presented, *opened).await {
            Err(refusal) if is_dead(refusal.code()) => refused = refusal,
            outcome => return outcome,
        }
    }
    Err(refused)
}

/// The session with its successor's generation.
async fn renew(
    wing: &Wing,
    call: &Call,
    presented: &Presented,
    (id, generation): Opened,
) -> Result<Session, Refusal> {
    let found = wing.stores.sessions.find(id, call.now).await?;
    confirm_account(wing, call, &found.ok_or(Code::RefreshInvalid)?).await?;
    if call.expects("refresh_token") == Some(false) && !presented.in_cookie {
        // The client has no place for a successor, so its token stays the newest.
        let found = wing.stores.sessions.find(id, call.now).await?;
        if let Some(session) = found.filter(|session| session.generation == generation) {
            count(wing, "kept");
            return Ok(session);
        }
    }
    let (session, outcome) = present(wing, call, presented.by(call), (id, generation)).await?;
    count(wing, outcome);
    Ok(session)
}

/// The session with what is known of its account now; `refresh_invalid` if either is over.
pub async fn current(wing: &Wing, call: &Call, id: SessionId) -> Result<Session, Refusal> {
    let sessions = &wing.stores.sessions;
    let found = sessions.find(id, call.now).await?.ok_or(Code::RefreshInvalid)?;
    confirm_account(wing, call, &found).await?;
    Ok(sessions.find(id, call.now).await?.ok_or(Code::RefreshInvalid)?)
}

/// Presents a token's generation to the session store, which judges it; also says whether the
/// session is `rotated` or the answer `repeated`. Logout from everywhere asks it too.
pub async fn present(
    wing: &Wing,
    call: &Call,
    by: Presenter<'_>,
    (id, generation): Opened,
) -> Result<(Session, &'static str), Refusal> {
    let tokens = &call.settings.policy.tokens;
    let presentation = Presentation {
        generation,
        by,
        window: tokens.refresh_window,
        idle: tokens.refresh_ttl,
        revoked_until: grant::last_token_until(call),
        now: call.now,
    };
    match wing.stores.sessions.rotate(id, presentation).await? {
        Rotation::Rotated(session) => Ok((session, "rotated")),
        Rotation::Repeated(session) => Ok((session, "repeated")),
        Rotation::Reused(session) => {
            wing.metrics.revocations.with_label_values(&["session"]).inc();
            let subject = Subject { user_id: Some(session.user_id), username: &session.username };
            wing.audit(call, AuditEvent::RefreshReused, subject, None).await;
            Err(Code::RefreshReused.into())
        }
        Rotation::Unknown => Err(Code::RefreshInvalid.into()),
    }
}

/// Brings the session's copy of the account up to date, or ends the session of an account that is disabled or
/// gone, or has other credentials than those the session began under. With the account store down, the copy must
/// do.
async fn confirm_account(wing: &Wing, call: &Call, session: &Session) -> Result<(), Refusal> {
    match wing.stores.accounts.find_by_id(session.user_id).await {
        Ok(Some(account)) if !account.disabled && session.is_of(&account) => {
            note_changes(wing, session, &account).await
        }
        Ok(_) => {
            wing.stores.sessions.end(session.id, grant::last_token_until(call)).await?;
            wing.metrics.revocations.with_label_values(&["session"]).inc();
            Err(Code::RefreshInvalid.into())
        }
        Err(error) => vouch_by_copy(wing, call, session, error).await,
    }
}

async fn note_changes(wing: &Wing, session: &Session, account: &Account) -> Result<(), Refusal> {
    let is_same = session.version == account.version
        && session.credentials == account.credentials
        && session.username == account.username
        && session.email.as_deref() == account.confirmed_email()
        && session.roles == account.roles;
    if is_same {
        return Ok(());
    }
    Ok(wing.stores.sessions.note_account(session.id, account).await?)
}

/// The copy counts unless the account is known to have changed since: then only the account store
/// could say how it is now.
async fn vouch_by_copy(
    wing: &Wing,
    call: &Call,
    session: &Session,
    error: StoreError,
) -> Result<(), Refusal> {
    let bearer = Bearer {
        token: session.id, // No token yet; no token id is ever a session id.
        session: session.id,
        user: session.user_id,
        version: session.version,
    };
    match wing.stores.revocations.standing(bearer, call.now).await? {
        Standing::Good => {
            wing.note_store_error(&error, "session refreshed from its copy of the account");
            Ok(())
        }
        Standing::Revoked => Err(Code::RefreshInvalid.into()),
        Standing::Stale => Err(error.into()),
    }
}
