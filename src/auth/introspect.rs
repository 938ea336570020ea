//! `POST /auth/introspect` (RFC 7662): whether an access token counts right now, and what it says.
//! About any other token (refresh tokens included) it says `{"active": false}` and nothing else.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::Refusal;
use super::call::Call;
use super::{Wing, token_body};
use crate::config::policy::Tokens;
use crate::identity::{Identity, acr};
use crate::store::{Bearer, Standing};

/// RFC 7662 §2.2.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Introspection {
    Counts(Box<ActiveToken>),
    DoesNot(InactiveToken),
}

#[derive(Serialize, ToSchema)]
struct ActiveToken {
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    active: bool,
    sub: Uuid,
    username: String,
    scope: String,
    roles: Vec<String>,
    exp: u64,
    iat: u64,
    iss: String,
    aud: String,
    client_id: String,
    jti: Uuid,
    sid: Uuid,
    /// `aal2` with a second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    acr: Option<&'static str>,
    amr: Vec<String>,
}

/// Whatever the reason.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InactiveToken {
    active: bool,
}

/// Ask whether an access token counts right now (RFC 7662).
#[utoipa::path(
    post, path = "/introspect", operation_id = "introspect", tag = "tokens",
    request_body(content((token_body::Document = "application/json"), (token_body::Form = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "What it says, or that it doesn't count", body = Introspection)),
    security(("password" = []), ("bearer" = [])),
)]
pub async fn introspect(State(wing): State<Wing>, call: Call) -> Result<Response, Refusal> {
    call.bearer()?;
    let token = token_body::read(&call)?;
    let Ok(identity) = call.settings.keys.verify(&token, call.now) else {
        return Ok(inactive().into_response());
    };
    match wing.stores.revocations.standing(Bearer::from(&identity), call.now).await? {
        Standing::Good => Ok(active(identity, &call.settings.policy.tokens).into_response()),
        Standing::Revoked | Standing::Stale => Ok(inactive().into_response()),
    }
}

fn inactive() -> Json<Introspection> {
    Json(Introspection::DoesNot(InactiveToken { active: false }))
}

fn active(identity: Identity, tokens: &Tokens) -> Json<Introspection> {
    let token = ActiveToken {
        token_type: "Bearer",
        active: true,
        sub: identity.user_id,
        username: identity.username,
        scope: identity.scopes.join(" "),
        roles: identity.roles,
        exp: identity.expires_at,
        iat: identity.issued_at,
        iss: tokens.issuer.clone(),
        aud: tokens.audience.clone(),
        client_id: tokens.client_id.clone(),
        jti: identity.token_id,
        sid: identity.session_id,
        acr: acr(&identity.amr),
        amr: identity.amr,
    };
    Json(Introspection::Counts(Box::new(token)))
}
