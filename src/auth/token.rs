//! `POST /auth/token`: the token endpoint of OAuth2 (RFC 6749 §3.2), for the grants `password` and
//! `refresh_token`; its refusals are those of §5.2. A JSON body is a login, as at `/auth/login`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{Refusal, SpeaksOAuth2};
use super::call::Call;
use super::grant::{Delivery, Tokens};
use super::{Wing, body, login, refresh};

/// RFC 6749 §4.3.2 and §6.
#[derive(Deserialize, ToSchema)]
#[schema(as = TokenForm)]
struct Form {
    /// Absent, it is `password`.
    #[serde(rename = "grant_type")]
    #[schema(pattern = "^(password|refresh_token)$", nullable = false, example = "password")]
    _grant_type: Option<String>,
    /// With `password`.
    #[serde(rename = "username")]
    #[schema(nullable = false)]
    _username: Option<String>,
    /// With `password`.
    #[serde(rename = "password")]
    #[schema(nullable = false)]
    _password: Option<String>,
    /// With `refresh_token`.
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    /// Not granted, which the answer says.
    #[schema(nullable = false)]
    scope: Option<String>,
}

/// Get tokens for a password or a refresh token, as OAuth2 does it.
#[utoipa::path(
    post, path = "/token", operation_id = "token", tag = "sessions",
    request_body(content((login::Document = "application/json"), (Form = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "Tokens", body = Tokens)),
    extensions(
        ("x-refusals" = json!(["bad_credentials", "account_locked", "account_disabled", "email_not_verified", "mfa_required", "refresh_invalid", "refresh_reused", "overloaded", "store_unavailable"])),
        ("x-oauth2" = json!(true)),
    ),
)]
pub async fn token(state: State<Wing>, call: Call) -> Response {
    if !body::is_form(&call) {
        return login::login(state, call).await;
    }
    let grant = grant_type(&call);
    let mut response = match grant.as_ref().map(Option::as_deref) {
        Ok(None | Some("password")) => login::login(state, call).await,
        Ok(Some("refresh_token")) => by_refresh_token(&state.0, &call).await.into_response(),
        Ok(Some(_)) => Refusal::UnsupportedGrant("`password` or `refresh_token`").into_response(),
        Err(_) => grant.map(|_| ()).into_response(),
    };
    response.extensions_mut().insert(SpeaksOAuth2::Only);
    response
}

/// What an OAuth2 form asks for.
pub fn grant_type(call: &Call) -> Result<Option<String>, Refusal> {
    #[derive(Deserialize)]
    struct Grant {
        grant_type: Option<String>,
    }
    Ok(body::form::<Grant>(call)?.grant_type)
}

async fn by_refresh_token(wing: &Wing, call: &Call) -> Result<Response, Refusal> {
    let form: Form = body::form(call)?;
    let token =
        form.refresh_token.ok_or_else(|| call.bad_member("Not accepted: missing field `refresh_token`"))?;
    let tells_scope = form.scope.is_some_and(|scope| !scope.trim().is_empty());
    refresh::exchange(wing, call, token, Delivery { in_cookie: false, in_body: true, tells_scope }).await
}
