//! `POST /auth/introspect` (RFC 7662): whether an access token counts right now, and what it says.
//! About any other token (refresh tokens included) it says `{"active": false}` and nothing else.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::call::Call;
use super::{Wing, body};
use crate::config::policy::Tokens;
use crate::identity::Identity;
use crate::store::{Bearer, Standing};

/// The JSON spelling; stricter than the form, as all of ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    token: String,
    #[serde(rename = "token_type_hint")]
    _hint: Option<String>,
}

/// The form of RFC 7662 §2.1.
#[derive(Deserialize)]
struct Form {
    token: String,
}

pub async fn introspect(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    call.bearer()?;
    let token = match body::is_form(&call) {
        true => body::form::<Form>(&call)?.token,
        false => body::json::<Document>(&call)?.token,
    };
    let Ok(identity) = call.settings.keys.verify(&token, call.now) else {
        return Ok(inactive());
    };
    match wing.stores.revocations.standing(Bearer::from(&identity), call.now).await? {
        Standing::Good => Ok(active(&identity, &call.settings.policy.tokens)),
        Standing::Revoked | Standing::Stale => Ok(inactive()),
    }
}

fn inactive() -> Json<Value> {
    Json(json!({ "active": false }))
}

fn active(identity: &Identity, tokens: &Tokens) -> Json<Value> {
    Json(json!({
        "active": true,
        "sub": identity.user_id,
        "username": identity.username,
        "scope": identity.scopes.join(" "),
        "roles": identity.roles,
        "exp": identity.expires_at,
        "iat": identity.issued_at,
        "iss": tokens.issuer,
        "aud": tokens.audience,
        "jti": identity.token_id,
        "sid": identity.session_id,
        "token_type": "Bearer",
    }))
}
