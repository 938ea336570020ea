//! `/api/users`: accounts, by id or username.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::call::{self, Named};
use crate::auth::administration::NewUser;
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::{Wing, body, described};
use crate::store::AccountFilter;

const DEFAULT_ROLE: &str = "user";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What the username begins with.
    search: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    username: String,
    password: String,
    email: Option<String>,
    roles: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    password: String,
}

/// `next` is the `after` of the page that follows; `null` on the last one.
pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    let wanted: Wanted = call::query(&call)?;
    let limit = call::limit(wanted.limit)?;
    let filter = AccountFilter { prefix: wanted.search.as_deref(), after: wanted.after.as_deref() };
    let mut accounts = call::administration(&wing, &call)?.list(filter, limit + 1).await?;
    let has_more = accounts.len() > limit as usize;
    accounts.truncate(limit as usize);
    let next = accounts.last().filter(|_| has_more).map(|account| &account.username);
    let users: Vec<Value> = accounts.iter().map(described::account).collect();
    Ok(Json(json!({ "users": users, "next": next })))
}

pub async fn add(State(wing): State<Wing>, call: Call) -> Result<(StatusCode, Json<Value>), Refusal> {
    let new: New = body::json(&call)?;
    let password = Zeroizing::new(new.password);
    let roles = new.roles.unwrap_or_else(|| vec![DEFAULT_ROLE.to_owned()]);
    let new =
        NewUser { username: &new.username, password: &password, email: new.email.as_deref(), roles: &roles };
    let account = call::administration(&wing, &call)?.add(new).await?;
    Ok((StatusCode::CREATED, Json(described::account(&account))))
}

pub async fn show(State(wing): State<Wing>, Named(user): Named, call: Call) -> Result<Json<Value>, Refusal> {
    let account = call::administration(&wing, &call)?.find(&user).await?;
    Ok(Json(described::account(&account)))
}

pub async fn set_roles(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let Roles { roles } = body::json(&call)?;
    let account = call::administration(&wing, &call)?.set_roles(&user, &roles).await?;
    Ok(Json(described::account(&account)))
}

pub async fn set_password(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<StatusCode, Refusal> {
    let Password { password } = body::json(&call)?;
    let password = Zeroizing::new(password);
    call::administration(&wing, &call)?.set_password(&user, &password).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn disable(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let account = call::administration(&wing, &call)?.set_disabled(&user, true).await?;
    Ok(Json(described::account(&account)))
}

pub async fn enable(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let account = call::administration(&wing, &call)?.set_disabled(&user, false).await?;
    Ok(Json(described::account(&account)))
}

pub async fn unlock(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let was_locked = call::administration(&wing, &call)?.unlock(&user).await?;
    Ok(Json(json!({ "was_locked": was_locked })))
}

pub async fn delete(State(wing): State<Wing>, Named(user): Named, call: Call) -> Result<StatusCode, Refusal> {
    call::administration(&wing, &call)?.delete(&user).await?;
    Ok(StatusCode::NO_CONTENT)
}
