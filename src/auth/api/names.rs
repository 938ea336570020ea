//! `/api/former-names`: names that renamed and deleted accounts had, which nobody gets until they are freed.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::call::{self, Named};
use crate::auth::Wing;
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::openapi::schemas::{Time, Username};
use crate::clock::Timestamp;
use crate::store::FormerName;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// A name: the page after it.
    after: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
struct FormerNameSeen {
    #[schema(value_type = Username)]
    username: String,
    /// Of the account that had it, which may be gone.
    user_id: Uuid,
    #[schema(value_type = Time)]
    since: Timestamp,
}

#[derive(Serialize, ToSchema)]
pub struct FormerNames {
    former_names: Vec<FormerNameSeen>,
    /// The `after` of the page that follows; `null` on the last one.
    next: Option<String>,
}

/// List the names that renamed and deleted accounts had.
#[utoipa::path(
    get, path = "/former-names", operation_id = "list_former_names", tag = "users",
    params(Wanted),
    responses((status = 200, description = "A page", body = FormerNames)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<FormerNames>, Refusal> {
    let wanted: Wanted = call::query(&call)?;
    let limit = call::limit(wanted.limit)?;
    let administration = call::administration(&wing, &call)?;
    let found = administration.former_names(wanted.after.as_deref(), limit + 1).await?;
    let (names, next) = call::page(found, limit, |name| name.username.clone());
    Ok(Json(FormerNames { former_names: names.into_iter().map(seen).collect(), next }))
}

/// Let anybody have such a name.
#[utoipa::path(
    delete, path = "/former-names/{name}", operation_id = "free_name", tag = "users",
    params(("name" = String, Path, description = "The username")),
    responses((status = 204, description = "Free")),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn free(State(wing): State<Wing>, Named(name): Named, call: Call) -> Result<StatusCode, Refusal> {
    call::administration(&wing, &call)?.free_name(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn seen(name: FormerName) -> FormerNameSeen {
    let FormerName { username, user_id, since } = name;
    FormerNameSeen { username, user_id, since }
}
