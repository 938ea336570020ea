//! `/auth/me`: the bearer's own account, as it is now (the token may be older): read, change, delete.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::described::OwnAccount;
use super::notice::{self, Change};
use super::openapi::schemas::{Email, Username};
use super::{Wing, access_token, body, confirm, cookie, described, email, login, password};
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
    /// Only where an alias has a name for it.
    #[schema(ignore)]
    new_password: Option<String>,
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
    /// Only where an alias has a name for it.
    #[schema(ignore)]
    new_password: Option<String>,
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
        new_password: changes.new_password,
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
    // Clients of other programs name what they know of; the rest stays.
    if call.request_shape().is_some() {
        return change(State(wing), call).await;
    }
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
    let mut record = wing.record(&call, AuditEvent::Deleted, login::about(&account), None);
    notice::add(&wing, &call, &account, Change::Deleted, &mut record).await;
    if !wing.ending(&call).delete(&account, &record).await? {
        return Err(Code::AccountChanged.into());
    }
    wing.metrics.revocations.with_label_values(&["user"]).inc();
    notice::stored(&wing, &call, &record);
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
    let Whole { username, email, new_password, .. } = whole;
    let proof = Proof::new(whole.password, whole.code);
    let username = name::username(&username).map_err(bad_request)?;
    let is_same_email = email.as_deref() == account.latest_email();
    if username == account.username && is_same_email && new_password.is_none() {
        refuse_without_effect(call, &proof)?;
        return answer(wing, call, account).await;
    }
    // One of before the rules may stay as it is.
    let email = match email {
        Some(email) if !is_same_email => Some(address::parse(&email).map_err(bad_request)?),
        email => email,
    };
    let rules = &call.settings.policy.auth;
    names::check(&username, Some(account), &rules.reserved_names)?;
    let new_password = new_password.map(Zeroizing::new);
    if let Some(new) = &new_password {
        check_new_password(call, new, &username, email.as_deref())?;
    }
    confirm_change(wing, call, account, proof, new_password.is_some()).await?;
    let new_hash = match new_password {
        Some(new) => Some(wing.passwords.hash(new, rules.password.argon2).await?),
        None => None,
    };
    let new_hash = new_hash.as_deref();
    let mut record = profile_record(wing, call, account, &username, email.as_deref(), new_hash.is_some());
    for change in told_changes(account, &username, email.as_deref(), new_hash.is_some()) {
        notice::add(wing, call, account, change, &mut record).await;
    }
    let accounts = &wing.stores.accounts;
    let change = accounts.set_profile(account, &username, email.as_deref(), new_hash, call.now, &record);
    // Older tokens are stale: backends must not go on under a name that somebody else may take now.
    let reason = new_hash.map(|_| "password changed");
    let changed = wing.change(call, account, reason, change).await?.ok_or(Code::AccountChanged)?;
    notice::stored(wing, call, &record);
    if !is_same_email {
        email::confirm(wing, call, &changed.account);
    }
    let changed = changed.ended()?;
    if new_hash.is_none() {
        return answer(wing, call, &changed).await;
    }
    let mut answer = described::members(&described::own(&changed));
    access_token::start_anew(wing, call, &changed, &mut answer).await?;
    Ok(Json(Value::Object(answer)))
}

/// Whether the request has what the change needs, and nothing that it doesn't.
async fn confirm_change(
    wing: &Wing,
    call: &Call,
    account: &Account,
    proof: Proof,
    is_new_password: bool,
) -> Result<(), Refusal> {
    if call.waives_reauthentication {
        return refuse_without_effect(call, &proof);
    }
    let is_needed = is_new_password || call.settings.policy.auth.email.change_needs_password;
    if is_needed || proof.password.is_some() {
        confirm::owner(wing, call, account, proof).await?;
    }
    Ok(())
}

/// A password that nothing asks for looks like a new one that was taken.
fn refuse_without_effect(call: &Call, proof: &Proof) -> Result<(), Refusal> {
    let member = match (&proof.password, &proof.code) {
        (Some(_), _) => "password",
        (None, Some(_)) => "code",
        (None, None) => return Ok(()),
    };
    let prefix = &call.settings.policy.auth.prefix;
    let detail = format!("`{member}` has no effect here; a new password goes to POST {prefix}/password");
    Err(call.bad_member(&detail))
}

/// Only an alias can name it.
fn check_new_password(
    call: &Call,
    new_password: &str,
    username: &str,
    email: Option<&str>,
) -> Result<(), Refusal> {
    let policy = &call.settings.policy;
    if !call.request_shape().is_some_and(|shape| shape.names("new_password")) {
        let prefix = &policy.auth.prefix;
        let detail = format!(
            "Not accepted: unknown field `new_password`; a new password goes to POST {prefix}/password"
        );
        return Err(call.bad_member(&detail));
    }
    password::check(policy, new_password, username, email)
        .map_err(|reason| Rejection::from(Code::WeakPassword).because(reason).into())
}

/// What the owner is told of, at the address that was confirmed before.
fn told_changes(
    account: &Account,
    username: &str,
    email: Option<&str>,
    is_new_password: bool,
) -> impl Iterator<Item = Change> {
    let name = (username != account.username).then_some(Change::Name);
    let password = is_new_password.then_some(Change::Password);
    let email = match (account.confirmed_email(), email) {
        (Some(own), Some(other)) if own != other && account.pending_email.as_deref() != Some(other) => {
            Some(Change::EmailAsked)
        }
        (Some(_), None) => Some(Change::Email),
        _ => None,
    };
    [name, password, email].into_iter().flatten()
}

/// Under the new name, with the old one as the detail.
fn profile_record(
    wing: &Wing,
    call: &Call,
    account: &Account,
    username: &str,
    email: Option<&str>,
    is_new_password: bool,
) -> AuditRecord {
    let mut changes = Vec::new();
    if is_new_password {
        changes.push("password".to_owned());
    }
    if username != account.username {
        changes.push(format!("username, was {}", account.username));
    }
    if email != account.latest_email() {
        changes.push("email".to_owned());
    }
    let subject = Subject { user_id: Some(account.id), username };
    let event = if is_new_password { AuditEvent::PasswordChanged } else { AuditEvent::ProfileChanged };
    wing.record(call, event, subject, Some(&changes.join("; ")))
}
