//! `/auth/me`: the bearer's own account, as it is now (the token may be older): read, change, delete.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::described::OwnAccount;
use super::notice::{self, Change};
use super::openapi::schemas::{Email, Username};
use super::{Wing, access_token, audit, body, confirm, cookie, described, email, login};
use crate::accounts::names;
use crate::accounts::reauthentication::Proof;
use crate::identity::{email as address, name};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, AuditRecord};

/// `PATCH`: what isn't named stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProfileChanges)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[schema(value_type = Option<Username>)]
    username: Option<String>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Email>)]
    email: Option<Option<String>>,
    /// The current one; needed for another name or address.
    password: Option<String>,
    /// Where the account has a second factor: of the app, or a recovery code.
    code: Option<String>,
}

/// `PUT`: the whole of what the owner may change.
#[derive(Deserialize, ToSchema)]
#[schema(as = Profile)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[schema(value_type = Username)]
    username: String,
    #[schema(value_type = Option<Email>)]
    email: Option<String>,
    /// The current one; needed for another name or address.
    password: Option<String>,
    /// Where the account has a second factor: of the app, or a recovery code.
    code: Option<String>,
}

/// A member that is there, be it `null`.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Read the own account.
#[utoipa::path(
    get, path = "/me", operation_id = "read_me", tag = "accounts",
    responses((status = 200, description = "The account", body = OwnAccount)),
    security(("password" = []), ("bearer" = [])),
)]
pub async fn read(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    answer(&wing, &call, &read_account(&wing, &call).await?).await
}

/// Change the own account; what isn't named stays.
#[utoipa::path(
    patch, path = "/me", operation_id = "change_me", tag = "accounts",
    request_body = Changes,
    responses((status = 200, description = "The account", body = OwnAccount)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["username_taken", "username_reserved", "reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn change(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    let changes: Changes = body::json(&call)?;
    let account = own_account(&wing, &call).await?;
    let whole = Whole {
        username: changes.username.unwrap_or_else(|| account.username.clone()),
        email: changes.email.unwrap_or_else(|| account.latest_email().map(str::to_owned)),
        password: changes.password,
        code: changes.code,
    };
    set_profile(&wing, &call, &account, whole).await
}

/// Replace what the owner may change of the account.
#[utoipa::path(
    put, path = "/me", operation_id = "replace_me", tag = "accounts",
    request_body = Whole,
    responses((status = 200, description = "The account", body = OwnAccount)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["username_taken", "username_reserved", "reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn replace(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    let whole: Whole = body::json(&call)?;
    let account = own_account(&wing, &call).await?;
    set_profile(&wing, &call, &account, whole).await
}

/// Delete the own account, for good.
///
/// Every token of it ends at once.
#[utoipa::path(
    delete, path = "/me", operation_id = "delete_me", tag = "accounts",
    request_body(content = Option<confirm::Document>),
    responses((status = 204, description = "Deleted")),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn delete(State(wing): State<Wing>, call: Call) -> Result<Response, Refusal> {
    let proof = confirm::read(&call)?;
    let account = own_account(&wing, &call).await?;
    let mut answer = Map::new();
    access_token::repeat(&call, &mut answer);
    confirm::owner(&wing, &call, &account, proof).await?;
    let record = wing.record(&call, AuditEvent::Deleted, login::about(&account), None);
    if !wing.ending(&call).delete(&account, &record).await? {
        return Err(Code::AccountChanged.into());
    }
    wing.metrics.revocations.with_label_values(&["user"]).inc();
    audit::log(&record);
    notice::post(&wing, &call, &account, Change::Deleted).await;
    let forget = [(SET_COOKIE, cookie::clear(&call))];
    Ok(match answer.is_empty() {
        true => (StatusCode::NO_CONTENT, forget).into_response(),
        false => (forget, Json(Value::Object(answer))).into_response(),
    })
}

/// The account, with a new access token for clients that look for one.
async fn answer(wing: &Wing, call: &Call, account: &Account) -> Result<Json<Value>, Refusal> {
    let mut answer = described::members(&described::own(account));
    access_token::renew(wing, call, call.bearer()?.session_id, &mut answer).await?;
    Ok(Json(Value::Object(answer)))
}

/// The account for whatever changes it or acts in its name. A token of another version was made stale while this
/// request was on its way, and decides nothing any more.
pub async fn own_account(wing: &Wing, call: &Call) -> Result<Account, Refusal> {
    let account = read_account(wing, call).await?;
    match account.version == call.bearer()?.version {
        true => Ok(account),
        false => Err(Code::TokenStale.into()),
    }
}

/// The account to be shown. The token was good a moment ago, but the account may be gone, or disabled at this
/// very moment.
pub async fn read_account(wing: &Wing, call: &Call) -> Result<Account, Refusal> {
    let found = wing.stores.accounts.find_by_id(call.bearer()?.user_id).await?;
    found.filter(|account| !account.disabled).ok_or_else(|| Code::TokenInvalid.into())
}

async fn set_profile(
    wing: &Wing,
    call: &Call,
    account: &Account,
    whole: Whole,
) -> Result<Json<Value>, Refusal> {
    let bad_request = |detail| Rejection::from(Code::BadRequest).because(detail);
    let Whole { username, email, password, code } = whole;
    let username = name::username(&username).map_err(bad_request)?;
    let is_same_email = email.as_deref() == account.latest_email();
    if username == account.username && is_same_email {
        // It would look like a new password that was taken.
        if password.is_some() || code.is_some() {
            let prefix = &call.settings.policy.auth.prefix;
            let detail = format!(
                "`{}` has no effect: the account stays as it is; a new password goes to POST {prefix}/password",
                if password.is_some() { "password" } else { "code" },
            );
            return Err(call.bad_member(&detail));
        }
        return answer(wing, call, account).await;
    }
    // One of before the rules may stay as it is.
    let email = match email {
        Some(email) if !is_same_email => Some(address::parse(&email).map_err(bad_request)?),
        email => email,
    };
    let rules = &call.settings.policy.auth;
    names::check(&username, Some(account), &rules.reserved_names)?;
    if rules.email.change_needs_password {
        confirm::owner(wing, call, account, Proof::new(password, code)).await?;
    }
    let record = profile_record(wing, call, account, &username, email.as_deref());
    let accounts = &wing.stores.accounts;
    let change = accounts.set_profile(account, &username, email.as_deref(), call.now, &record);
    // Older tokens are stale: backends must not go on under a name that somebody else may take now.
    let changed = wing.change(call, account, change).await?.ok_or(Code::AccountChanged)?;
    audit::log(&record);
    if changed.username != account.username {
        notice::post(wing, call, account, Change::Name).await;
    }
    if !is_same_email {
        tell_of_email(wing, call, account, &changed).await;
        email::confirm(wing, call, &changed);
    }
    answer(wing, call, &changed).await
}

/// At the address that was confirmed before.
async fn tell_of_email(wing: &Wing, call: &Call, former: &Account, changed: &Account) {
    if changed.pending_email.is_some() {
        notice::post(wing, call, former, Change::EmailAsked).await;
    } else if changed.email != former.email {
        notice::post(wing, call, former, Change::Email).await;
    }
}

/// Under the new name, with the old one as the detail.
fn profile_record(
    wing: &Wing,
    call: &Call,
    account: &Account,
    username: &str,
    email: Option<&str>,
) -> AuditRecord {
    let mut changes = Vec::new();
    if username != account.username {
        changes.push(format!("username, was {}", account.username));
    }
    if email != account.latest_email() {
        changes.push("email".to_owned());
    }
    let subject = Subject { user_id: Some(account.id), username };
    wing.record(call, AuditEvent::ProfileChanged, subject, Some(&changes.join("; ")))
}
