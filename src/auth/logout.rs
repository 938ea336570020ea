//! `POST /auth/logout`: ends the session of the bearer and of the refresh token that came along,
//! or with `?all=true` every session and API key of the user. Ending what has ended is no error (RFC 7009). One good proof is
//! enough: browsers send an access token that has expired meanwhile along with the cookie.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::presented::{Opened, Presented};
use super::{Wing, access_token, body, cookie, ending_keys, grant, origin, refresh};
use crate::identity::UserId;
use crate::rejection::{Code, Rejection};
use crate::store::{AuditEvent, Session};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wishes {
    /// Every session of the account, not only this one, and its API keys.
    #[serde(default)]
    all: bool,
    /// With `all`: API keys go on.
    #[serde(default)]
    keep_keys: bool,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Logout)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Where it isn't the bearer.
    access_token: Option<String>,
    /// Where it isn't in the cookie.
    refresh_token: Option<String>,
}

/// Whose logout it is.
struct Person {
    id: UserId,
    username: String,
}

impl From<Session> for Person {
    fn from(session: Session) -> Self {
        Self { id: session.user_id, username: session.username }
    }
}

/// End this session, or all of them.
#[utoipa::path(
    post, path = "/logout", operation_id = "logout", tag = "sessions",
    request_body(content = Option<Document>, description = "Without a body, the tokens are in cookie and bearer"),
    params(Wishes),
    responses((status = 204, description = "Ended")),
    security((), ("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["cross_origin", "refresh_invalid", "refresh_reused"]))),
)]
pub async fn logout(State(wing): State<Wing>, mut call: Call) -> Result<Response, Refusal> {
    let wishes = Query::<Wishes>::try_from_uri(&call.uri).map_err(|_| {
        Rejection::from(Code::BadRequest).because("`all` and `keep_keys` must be `true` or `false`")
    })?;
    let document = match call.body.is_empty() {
        true => Document::default(),
        false => body::json(&call)?,
    };
    if let Some(token) = document.access_token {
        take_as_bearer(&wing, &mut call, &token).await?;
    }
    let presented = Presented::find_beside(&call, document.refresh_token)?;
    if let (Some(code), []) = (call.bad_bearer, opened(presented.as_ref())) {
        return Err(code.into());
    }
    let ended = match wishes.all {
        true => end_everywhere(&wing, &call, presented.as_ref(), wishes.keep_keys).await,
        false => end_here(&wing, &call, opened(presented.as_ref())).await,
    };
    if let Err(refusal) = ended {
        let is_dead = refresh::is_dead(refusal.code());
        let mut response = refusal.into_response();
        if is_dead && presented.is_some_and(|presented| presented.in_cookie) {
            response.headers_mut().insert(SET_COOKIE, cookie::clear(&call));
        }
        return Ok(response);
    }

    let mut response = StatusCode::NO_CONTENT.into_response();
    // A foreign page must not be able to log somebody out, not even by a link.
    if origin::is_own(&call) {
        response.headers_mut().insert(SET_COOKIE, cookie::clear(&call));
    }
    Ok(response)
}

/// An access token in the body is the bearer; beside another one it says too much.
async fn take_as_bearer(wing: &Wing, call: &mut Call, token: &str) -> Result<(), Refusal> {
    let identity = access_token::verify(wing, call, token).await?;
    if call.identity.as_ref().is_some_and(|bearer| bearer.session_id != identity.session_id) {
        return Err(call.bad_member("`access_token` is of another session than the bearer; send one"));
    }
    call.identity = Some(Arc::new(identity));
    call.bad_bearer = None;
    Ok(())
}

fn opened(presented: Option<&Presented>) -> &[Opened] {
    presented.map_or(&[], |presented| &presented.opened)
}

async fn end_here(wing: &Wing, call: &Call, opened: &[Opened]) -> Result<(), Refusal> {
    let mut person = bearer(call);
    for (id, _) in opened {
        if person.is_none() {
            person = wing.stores.sessions.find(*id, call.now).await?.map(Person::from);
        }
    }
    end_presented(wing, call, opened).await?;
    if let Some(person) = person {
        audit(wing, call, &person, None).await;
    }
    Ok(())
}

/// Needs a good token of either kind: an old refresh token must not reach other sessions.
async fn end_everywhere(
    wing: &Wing,
    call: &Call,
    presented: Option<&Presented>,
    keep_keys: bool,
) -> Result<(), Refusal> {
    let person = match (bearer(call), presented) {
        (Some(person), _) => person,
        (None, Some(presented)) => owner(wing, call, presented).await?,
        (None, None) => return Err(Code::NoCredentials.into()),
    };
    let ended = wing.stores.sessions.end_all(person.id, grant::last_token_until(call)).await?;
    wing.metrics.revocations.with_label_values(&["user"]).inc();
    if !keep_keys {
        let owner = Subject { user_id: Some(person.id), username: &person.username };
        ending_keys::end_all(wing, call, owner, "logged out everywhere").await?;
    }
    // The bearer's own may have expired already while its access token has not.
    end_presented(wing, call, opened(presented)).await?;
    audit(wing, call, &person, Some(&format!("everywhere: {ended} sessions"))).await;
    Ok(())
}

/// Whose tokens they are, by the first that is good for a session.
async fn owner(wing: &Wing, call: &Call, presented: &Presented) -> Result<Person, Refusal> {
    presented.check_owner(wing, call).await?;
    let mut refused = match presented.opened.is_empty() {
        true => Code::NoCredentials.into(),
        false => Code::RefreshInvalid.into(),
    };
    for opened in &presented.opened {
        match refresh::present(wing, call, presented.by(call), *opened).await {
            Ok((session, _)) => return Ok(session.into()),
            Err(refusal) if refresh::is_dead(refusal.code()) => refused = refusal,
            Err(refusal) => return Err(refusal),
        }
    }
    Err(refused)
}

/// Ends the sessions whose tokens came with this request: usually one.
async fn end_presented(wing: &Wing, call: &Call, opened: &[Opened]) -> Result<(), Refusal> {
    let of_bearer = call.identity.as_ref().map(|identity| identity.session_id);
    let of_refresh = opened.iter().map(|(id, _)| *id).filter(|id| Some(*id) != of_bearer);
    for id in of_bearer.into_iter().chain(of_refresh) {
        if wing.stores.sessions.end(id, grant::last_token_until(call)).await? {
            wing.metrics.revocations.with_label_values(&["session"]).inc();
        }
    }
    Ok(())
}

fn bearer(call: &Call) -> Option<Person> {
    let identity = call.identity.as_deref()?;
    Some(Person { id: identity.user_id, username: identity.username.clone() })
}

async fn audit(wing: &Wing, call: &Call, person: &Person, detail: Option<&str>) {
    let subject = Subject { user_id: Some(person.id), username: &person.username };
    wing.audit(call, AuditEvent::LoggedOut, subject, detail).await;
}
