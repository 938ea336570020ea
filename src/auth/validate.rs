//! `/auth/validate`: whether an access token counts right now, for the backend or client that holds it;
//! as the bearer, or as `{"token": …}`. Who holds a token could as well use it, so nobody has to say
//! who they are beside.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::call::Call;
use super::{Wing, body};
use crate::identity::Identity;
use crate::rejection::Code;
use crate::store::{Bearer, Standing};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    token: String,
}

/// A token that doesn't count is refused as it would be anywhere else.
pub async fn validate(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    if let Some(bearer) = &call.identity {
        return Ok(valid(bearer));
    }
    if call.body.is_empty() {
        return Err(Code::NoCredentials.into());
    }
    let Document { token } = body::json(&call)?;
    let identity = call.settings.keys.verify(&token, call.now).map_err(Code::from)?;
    match wing.stores.revocations.standing(Bearer::from(&identity), call.now).await? {
        Standing::Good => Ok(valid(&identity)),
        Standing::Revoked => Err(Code::TokenRevoked.into()),
        Standing::Stale => Err(Code::TokenStale.into()),
    }
}

fn valid(identity: &Identity) -> Json<Value> {
    Json(json!({
        "valid": true,
        "id": identity.user_id,
        "username": identity.username,
        "roles": identity.roles,
        "expires_at": identity.expires_at,
    }))
}
