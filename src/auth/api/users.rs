//! `/api/users`: accounts, by id or username.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::call::{self, KeysToo, Named};
use crate::auth::administration::NewUser;
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::described::AccountSeen;
use crate::auth::openapi::schemas::{Email, NewPassword, Role, Username};
use crate::auth::{Wing, body, described};
use crate::identity::name::DEFAULT_ROLE;
use crate::store::AccountFilter;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What the username begins with.
    search: Option<String>,
    /// A username: the page after it.
    after: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewUser)]
#[serde(deny_unknown_fields)]
struct New {
    #[schema(value_type = Username)]
    username: String,
    #[schema(value_type = NewPassword)]
    password: String,
    #[schema(value_type = Option<Email>)]
    email: Option<String>,
    /// Whether the operator answers for the address, so that it needn't be confirmed.
    #[serde(default)]
    email_verified: bool,
    #[schema(value_type = Option<Vec<Role>>)]
    roles: Option<Vec<String>>,
    /// That the roles may make an operator of the gateway.
    #[serde(default)]
    allow_operators: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Roles {
    #[schema(value_type = Vec<Role>)]
    roles: Vec<String>,
    /// That the roles may make an operator of the gateway.
    #[serde(default)]
    allow_operators: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Password {
    #[schema(value_type = NewPassword)]
    password: String,
    /// API keys go on.
    #[serde(default)]
    keep_keys: bool,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewAddress)]
#[serde(deny_unknown_fields)]
struct Address {
    #[schema(value_type = Email)]
    email: String,
    /// Whether the operator answers for the address, so that it needn't be confirmed. If it is the first confirmed one,
    /// API keys end.
    #[serde(default)]
    email_verified: bool,
    /// API keys go on.
    #[serde(default)]
    keep_keys: bool,
}

#[derive(Serialize, ToSchema)]
pub struct Users {
    #[schema(value_type = Vec<AccountSeen>)]
    users: Vec<Value>,
    /// The `after` of the page that follows; `null` on the last one.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Unlocked {
    was_locked: bool,
}

#[derive(Serialize, ToSchema)]
pub struct MfaReset {
    had_second_factor: bool,
}

/// List accounts by username.
#[utoipa::path(
    get, path = "/users", operation_id = "list_users", tag = "users",
    params(Wanted),
    responses((status = 200, description = "A page", body = Users)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<Users>, Refusal> {
    let wanted: Wanted = call::query(&call)?;
    let limit = call::limit(wanted.limit)?;
    let filter = AccountFilter { prefix: wanted.search.as_deref(), after: wanted.after.as_deref() };
    let administration = call::administration(&wing, &call)?;
    let found = administration.list(filter, limit + 1).await?;
    let (accounts, next) = call::page(found, limit, |account| account.username.clone());
    let lockouts = administration.lockouts(&accounts).await?;
    let users = accounts.iter().zip(&lockouts);
    let users = users.map(|(account, lockout)| described::account_with_lockout(account, lockout)).collect();
    Ok(Json(Users { users, next }))
}

/// Make an account.
#[utoipa::path(
    post, path = "/users", operation_id = "add_user", tag = "users",
    request_body = New,
    responses((status = 201, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["username_taken", "weak_password", "role_missing"]))),
)]
pub async fn add(State(wing): State<Wing>, call: Call) -> Result<(StatusCode, Json<Value>), Refusal> {
    let new: New = body::json(&call)?;
    let password = Zeroizing::new(new.password);
    let roles = new.roles.unwrap_or_else(|| vec![DEFAULT_ROLE.to_owned()]);
    let new = NewUser {
        username: &new.username,
        password: &password,
        email: new.email.as_deref(),
        is_confirmed: new.email_verified,
        roles: &roles,
        allow_operators: new.allow_operators,
    };
    let account = call::administration(&wing, &call)?.add(new).await?;
    Ok((StatusCode::CREATED, Json(described::account(&account))))
}

/// Show an account.
#[utoipa::path(
    get, path = "/users/{user}", operation_id = "show_user", tag = "users",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn show(State(wing): State<Wing>, Named(user): Named, call: Call) -> Result<Json<Value>, Refusal> {
    let (account, lockout) = call::administration(&wing, &call)?.find_with_lockout(&user).await?;
    Ok(Json(described::account_with_lockout(&account, &lockout)))
}

/// Replace the roles of an account; its older tokens are stale at once.
///
/// A role of operators (`admin.roles`) that the account doesn't have yet needs `allow_operators`.
#[utoipa::path(
    put, path = "/users/{user}/roles", operation_id = "set_roles", tag = "users",
    request_body = Roles,
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "account_changed", "role_missing"]))),
)]
pub async fn set_roles(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let Roles { roles, allow_operators } = body::json(&call)?;
    let account = call::administration(&wing, &call)?.set_roles(&user, &roles, allow_operators).await?;
    Ok(Json(described::account(&account)))
}

/// Replace the address of an account; one that isn't confirmed gets a mail.
#[utoipa::path(
    put, path = "/users/{user}/email", operation_id = "set_email", tag = "users",
    request_body = Address,
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "account_changed", "role_missing"]))),
)]
pub async fn set_email(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let Address { email, email_verified, keep_keys } = body::json(&call)?;
    let administration = call::administration(&wing, &call)?;
    let account = administration.set_email(&user, &email, email_verified, keep_keys).await?;
    Ok(Json(described::account(&account)))
}

/// Confirm the address that the account gave last; if it is the first confirmed one, API keys end.
#[utoipa::path(
    post, path = "/users/{user}/confirm-email", operation_id = "confirm_email", tag = "users",
    params(("user" = String, Path, description = "Id or username"), KeysToo),
    responses((status = 200, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "bad_request", "account_changed", "role_missing"]))),
)]
pub async fn confirm_email(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let KeysToo { keep_keys } = call::query(&call)?;
    let account = call::administration(&wing, &call)?.confirm_email(&user, keep_keys).await?;
    Ok(Json(described::account(&account)))
}

/// Replace the password of an account; every session and API key of it ends.
#[utoipa::path(
    put, path = "/users/{user}/password", operation_id = "set_password", tag = "users",
    request_body = Password,
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 204, description = "Replaced")),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "weak_password", "account_changed", "role_missing"]))),
)]
pub async fn set_password(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<StatusCode, Refusal> {
    let Password { password, keep_keys } = body::json(&call)?;
    let password = Zeroizing::new(password);
    call::administration(&wing, &call)?.set_password(&user, &password, keep_keys).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Disable an account; every session of it ends.
#[utoipa::path(
    post, path = "/users/{user}/disable", operation_id = "disable_user", tag = "users",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "account_changed", "role_missing"]))),
)]
pub async fn disable(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let account = call::administration(&wing, &call)?.set_disabled(&user, true).await?;
    Ok(Json(described::account(&account)))
}

/// Enable an account.
#[utoipa::path(
    post, path = "/users/{user}/enable", operation_id = "enable_user", tag = "users",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "account_changed", "role_missing"]))),
)]
pub async fn enable(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Value>, Refusal> {
    let account = call::administration(&wing, &call)?.set_disabled(&user, false).await?;
    Ok(Json(described::account(&account)))
}

/// Lift a lockout.
#[utoipa::path(
    post, path = "/users/{user}/unlock", operation_id = "unlock_user", tag = "users",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "Whether there was one", body = Unlocked)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn unlock(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<Unlocked>, Refusal> {
    let was_locked = call::administration(&wing, &call)?.unlock(&user).await?;
    Ok(Json(Unlocked { was_locked }))
}

/// Give an account a version above all that were revoked, and end every session of it.
///
/// For accounts that are older than the state store, as after a restored dump.
#[utoipa::path(
    post, path = "/users/{user}/mend", operation_id = "mend_user", tag = "users",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 200, description = "The account", body = AccountSeen)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "account_changed", "role_missing"]))),
)]
pub async fn mend(State(wing): State<Wing>, Named(user): Named, call: Call) -> Result<Json<Value>, Refusal> {
    let account = call::administration(&wing, &call)?.mend(&user).await?;
    Ok(Json(described::account(&account)))
}

/// Take the second factor of an account away and end every session and API key of it.
#[utoipa::path(
    delete, path = "/users/{user}/mfa", operation_id = "reset_mfa", tag = "users",
    params(("user" = String, Path, description = "Id or username"), KeysToo),
    responses((status = 200, description = "Done", body = MfaReset)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "account_changed", "role_missing"]))),
)]
pub async fn reset_mfa(
    State(wing): State<Wing>,
    Named(user): Named,
    call: Call,
) -> Result<Json<MfaReset>, Refusal> {
    let KeysToo { keep_keys } = call::query(&call)?;
    let had_second_factor = call::administration(&wing, &call)?.reset_mfa(&user, keep_keys).await?;
    Ok(Json(MfaReset { had_second_factor }))
}

/// Delete an account and end every session of it.
#[utoipa::path(
    delete, path = "/users/{user}", operation_id = "delete_user", tag = "users",
    params(("user" = String, Path, description = "Id or username")),
    responses((status = 204, description = "Deleted")),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "account_changed", "role_missing"]))),
)]
pub async fn delete(State(wing): State<Wing>, Named(user): Named, call: Call) -> Result<StatusCode, Refusal> {
    call::administration(&wing, &call)?.delete(&user).await?;
    Ok(StatusCode::NO_CONTENT)
}
