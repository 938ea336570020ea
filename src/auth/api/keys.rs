//! `/api/keys` and `/api/users/{user}/keys`: personal API keys, and ending them.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::call::{self, Named};
use super::sessions::Ended;
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::described::KeyOfUser;
use crate::auth::{Wing, described};
use crate::store::ApiKey;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The id of a key: the page after it.
    after: Option<Uuid>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub struct KeysOfUsers {
    #[schema(value_type = Vec<KeyOfUser>)]
    keys: Vec<Value>,
    /// The `after` of the page that follows; `null` on the last one.
    next: Option<Uuid>,
}

/// List the API keys of every account, in order of id.
#[utoipa::path(
    get, path = "/keys", operation_id = "list_all_keys", tag = "keys",
    params(Wanted),
    responses((status = 200, description = "A page", body = KeysOfUsers)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
pub async fn list_all(State(wing): State<Wing>, call: Call) -> Result<Json<KeysOfUsers>, Refusal> {
    let wanted: Wanted = call::query(&call)?;
    let limit = call::limit(wanted.limit)?;
    let found = call::administration(&wing, &call)?.all_keys(wanted.after, limit + 1).await?;
    let (keys, next) = call::page(found, limit, |(key, _)| key.id);
    Ok(Json(KeysOfUsers { keys: seen(&call, keys), next }))
}

/// List the API keys of an account.
#[utoipa::path(
    get, path = "/users/{user}/keys", operation_id = "list_keys_of_user", tag = "keys",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "Keys", body = KeysOfUsers)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn list(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<KeysOfUsers>, Refusal> {
    let keys = call::administration(&wing, &call)?.keys(&user).await?;
    Ok(Json(KeysOfUsers { keys: seen(&call, keys), next: None }))
}

/// End every API key of an account.
#[utoipa::path(
    delete, path = "/users/{user}/keys", operation_id = "end_keys_of_user", tag = "keys",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "Ended", body = Ended)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn end_all(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Ended>, Refusal> {
    let ended = call::administration(&wing, &call)?.end_keys(&user).await?;
    Ok(Json(Ended { ended }))
}

/// End an API key.
#[utoipa::path(
    delete, path = "/keys/{id}", operation_id = "end_key_of_user", tag = "keys",
    params(("id" = Uuid, Path, description = "Of the key")),
    responses((status = 204, description = "Ended")),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn end(State(wing): State<Wing>, Named(id): Named, call: Call) -> Result<StatusCode, Refusal> {
    call::administration(&wing, &call)?.end_key(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn seen(call: &Call, keys: Vec<(ApiKey, String)>) -> Vec<Value> {
    let rules = &call.settings.policy.auth.keys;
    keys.into_iter().map(|(key, username)| described::key(key, &username, rules)).collect()
}
