//! `/auth/validate`: whether an access token counts right now, for the backend or client that holds it;
//! as the bearer, or as `{"token": …}`. Who holds a token could as well use it, so nobody has to say
//! who they are beside.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::Refusal;
use super::call::Call;
use super::described::members;
use super::{Wing, access_token, body};
use crate::identity::Identity;

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
pub async fn bearer(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    valid(&wing, &call, call.bearer()?).await
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
pub async fn presented(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    if call.body.is_empty() {
        return valid(&wing, &call, call.bearer()?).await;
    }
    let Document { token } = body::json(&call)?;
    let identity = access_token::verify(&wing, &call, &token).await?;
    valid(&wing, &call, &identity).await
}

async fn valid(wing: &Wing, call: &Call, identity: &Identity) -> Result<Json<Value>, Refusal> {
    let Identity { user_id, username, roles, expires_at, session_id, .. } = identity.clone();
    let valid = Valid { valid: true, id: user_id, username, roles, expires_at };
    let mut answer = members(&valid);
    access_token::renew(wing, call, session_id, &mut answer).await?;
    Ok(Json(Value::Object(answer)))
}
