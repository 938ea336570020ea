//! `/auth/keys`: personal API keys, for programs that act for their owner.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::Refusal;
use super::call::Call;
use super::notice::{self, Change};
use super::openapi::schemas::{Role, Time};
use super::{Wing, audit, body, confirm, ending_keys, login, me};
use crate::accounts::reauthentication::Proof;
use crate::clock::Timestamp;
use crate::config::policy::KeyRules;
use crate::identity::api_key;
use crate::rejection::{Code, Rejection};
use crate::store::{Account, ApiKey, AuditEvent, Bearer, KeyCreation, Standing};

const MOST_KEYS: u32 = 100;
const MAX_NAME_CHARS: usize = 64;

#[derive(Deserialize, ToSchema)]
#[schema(as = NewKey)]
#[serde(deny_unknown_fields)]
struct Document {
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        example = "nightly report"
    )]
    name: String,
    /// Of those that the account has. Absent: all that it has now.
    #[schema(value_type = Option<Vec<Role>>)]
    roles: Option<Vec<String>>,
    /// Lies in the future, and not after `auth.keys.max_ttl`, which is the default.
    #[schema(value_type = Option<Time>)]
    expires_at: Option<Timestamp>,
    /// The current one.
    password: Option<String>,
    /// Where the account has a second factor: of the app, or a recovery code.
    code: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct KeySeen {
    id: Uuid,
    name: String,
    /// How its text begins.
    #[schema(example = "pk_Dwz5u1Qa")]
    prefix: String,
    #[schema(value_type = Vec<Role>)]
    roles: Vec<String>,
    #[schema(value_type = Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<Time>)]
    expires_at: Option<Timestamp>,
    /// To the minute.
    #[schema(value_type = Option<Time>)]
    last_used_at: Option<Timestamp>,
    /// The key itself, once, in the answer to its making.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Keys {
    keys: Vec<KeySeen>,
}

/// Make a personal API key.
///
/// The key itself is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/keys", operation_id = "create_key", tag = "keys",
    request_body = Document,
    responses((status = 201, description = "The key", body = KeySeen)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn create(State(wing): State<Wing>, call: Call) -> Result<Response, Refusal> {
    let rules = enabled(&call)?;
    let document: Document = body::json(&call)?;
    let account = me::own_account(&wing, &call).await?;
    check(&document, &account, call.now, rules)
        .map_err(|reason| Rejection::from(Code::BadRequest).because(reason))?;
    confirm::owner(&wing, &call, &account, Proof::new(document.password, document.code)).await?;
    let minted = api_key::mint();
    let key = ApiKey {
        id: minted.id,
        user_id: account.id,
        name: document.name,
        secret_hash: minted.secret_hash.to_vec(),
        roles: document.roles.unwrap_or_else(|| account.roles.clone()),
        created_at: call.now,
        expires_at: document.expires_at.or(rules.max_ttl.map(|ttl| call.now + ttl)),
        last_used_at: None,
    };
    let shown = api_key::shown(key.id);
    let mut record = wing.record(&call, AuditEvent::KeyCreated, login::about(&account), Some(&shown));
    notice::add(&wing, &call, &account, Change::ApiKey, &mut record).await;
    match wing.stores.api_keys.create(&account, &key, MOST_KEYS, &record).await? {
        KeyCreation::Created => {}
        KeyCreation::AccountChanged => return Err(Code::AccountChanged.into()),
        KeyCreation::TooMany => {
            let detail = format!("An account has at most {MOST_KEYS} keys; delete one first");
            return Err(Rejection::from(Code::BadRequest).because(detail).into());
        }
    }
    notice::stored(&wing, &call, &record);
    refuse_of_ended_session(&wing, &call, &account, &key).await?;
    let described = KeySeen { key: Some(minted.text.to_string()), ..describe(key, rules) };
    Ok((StatusCode::CREATED, Json(described)).into_response())
}

/// List the personal API keys.
#[utoipa::path(
    get, path = "/keys", operation_id = "list_keys", tag = "keys",
    responses((status = 200, description = "Keys", body = Keys)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found"]))),
)]
pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<Keys>, Refusal> {
    let rules = enabled(&call)?;
    let keys = wing.stores.api_keys.list(call.bearer()?.user_id).await?;
    Ok(Json(Keys { keys: keys.into_iter().map(|key| describe(key, rules)).collect() }))
}

/// Delete a key; it ends at once.
#[utoipa::path(
    delete, path = "/keys/{id}", operation_id = "delete_key", tag = "keys",
    params(("id" = Uuid, Path, description = "Of the key")),
    request_body(content = Option<confirm::Document>),
    responses((status = 204, description = "Deleted")),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded"]))),
)]
pub async fn delete(
    State(wing): State<Wing>,
    Path(id): Path<Uuid>,
    call: Call,
) -> Result<StatusCode, Refusal> {
    enabled(&call)?;
    let proof = confirm::read(&call)?;
    let account = me::own_account(&wing, &call).await?;
    let keys = wing.stores.api_keys.list(account.id).await?;
    let key = keys.into_iter().find(|key| key.id == id).ok_or(Code::NotFound)?;
    confirm::owner(&wing, &call, &account, proof).await?;
    let shown = api_key::shown(key.id);
    let mut record = wing.record(&call, AuditEvent::KeyDeleted, login::about(&account), Some(&shown));
    notice::add(&wing, &call, &account, Change::ApiKeyDeleted, &mut record).await;
    let is_ended = ending_keys::of(&wing, &call).end(&key, &record).await?;
    wing.metrics.revocations.with_label_values(&["key"]).inc();
    if is_ended {
        notice::stored(&wing, &call, &record);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `Err` where keys are turned off.
fn enabled(call: &Call) -> Result<&KeyRules, Refusal> {
    let rules = &call.settings.policy.auth.keys;
    match rules.enabled {
        true => Ok(rules),
        false => Err(Rejection::from(Code::NotFound).because("API keys are turned off here").into()),
    }
}

/// Whoever logs out everywhere at this very moment means this key, too.
async fn refuse_of_ended_session(
    wing: &Wing,
    call: &Call,
    account: &Account,
    key: &ApiKey,
) -> Result<(), Refusal> {
    let bearer = call.bearer()?;
    if wing.stores.revocations.standing(Bearer::from(bearer), call.now).await? == Standing::Good {
        return Ok(());
    }
    let shown = api_key::shown(key.id);
    let record = wing.record(call, AuditEvent::KeyDeleted, login::about(account), Some(&shown));
    if ending_keys::of(wing, call).end(key, &record).await? {
        audit::log(&record);
    }
    Err(Code::TokenRevoked.into())
}

fn check(document: &Document, account: &Account, now: Timestamp, rules: &KeyRules) -> Result<(), String> {
    let length = document.name.chars().count();
    if length == 0 || length > MAX_NAME_CHARS || document.name.chars().any(char::is_control) {
        return Err(format!("A key's `name` has 1 to {MAX_NAME_CHARS} characters, none of them a control"));
    }
    if document.expires_at.is_some_and(|end| end <= now) {
        return Err("`expires_at` must lie in the future".to_owned());
    }
    let latest = rules.max_ttl.map(|ttl| now + ttl);
    if let (Some(end), Some(latest)) = (document.expires_at, latest)
        && end > latest
    {
        return Err(format!("`expires_at` must not lie after {}", latest.to_rfc3339()));
    }
    let roles = document.roles.iter().flatten();
    match roles.into_iter().find(|role| !account.roles.contains(role)) {
        Some(_) => Err("`roles` may name only roles that the account has".to_owned()),
        None => Ok(()),
    }
}

pub fn describe(key: ApiKey, rules: &KeyRules) -> KeySeen {
    let expires_at = key.ends_at(rules.max_ttl);
    let ApiKey { id, name, roles, created_at, last_used_at, .. } = key;
    KeySeen { id, name, prefix: api_key::shown(id), roles, created_at, expires_at, last_used_at, key: None }
}
