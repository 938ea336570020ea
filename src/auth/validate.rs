//! `/auth/validate`: whether an access token counts right now, for the backend or client that holds it;
//! as the bearer, or as `{"token": …}`. Who holds a token could as well use it, so nobody has to say
//! who they are beside.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::Refusal;
use super::call::Call;
use super::{Wing, body};
use crate::identity::Identity;
use crate::rejection::Code;
use crate::store::{Bearer, Standing};

#[derive(Deserialize, ToSchema)]
#[schema(as = Validate)]
#[serde(deny_unknown_fields)]
struct Document {
    token: String,
}

#[derive(Serialize, ToSchema)]
pub struct Valid {
    valid: bool,
    id: Uuid,
    username: String,
    roles: Vec<String>,
    /// In seconds since 1970.
    expires_at: u64,
}

/// Ask whether the bearer token counts right now.
#[utoipa::path(
    get, path = "/validate", operation_id = "validate", tag = "tokens",
    responses((status = 200, description = "It counts", body = Valid)),
    security(("password" = []), ("bearer" = [])),
)]
pub async fn bearer(call: Call) -> Result<Json<Valid>, Refusal> {
    Ok(valid(call.bearer()?))
}

/// Ask whether an access token counts right now.
///
/// A token that doesn't count is refused as it would be anywhere else.
#[utoipa::path(
    post, path = "/validate", operation_id = "validate_presented", tag = "tokens",
    request_body(content = Option<Document>, description = "Without a body, the token is the bearer"),
    responses((status = 200, description = "It counts", body = Valid)),
    security((), ("password" = []), ("bearer" = [])),
)]
pub async fn presented(State(wing): State<Wing>, call: Call) -> Result<Json<Valid>, Refusal> {
    if call.body.is_empty() {
        return Ok(valid(call.bearer()?));
    }
    let Document { token } = body::json(&call)?;
    let identity = call.settings.keys.verify(&token, call.now).map_err(Code::from)?;
    match wing.stores.revocations.standing(Bearer::from(&identity), call.now).await? {
        Standing::Good => Ok(valid(&identity)),
        Standing::Revoked => Err(Code::TokenRevoked.into()),
        Standing::Stale => Err(Code::TokenStale.into()),
    }
}

fn valid(identity: &Identity) -> Json<Valid> {
    let Identity { user_id, username, roles, expires_at, .. } = identity.clone();
    Json(Valid { valid: true, id: user_id, username, roles, expires_at })
}
