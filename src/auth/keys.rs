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
use super::{Wing, audit, body, confirm, grant, login, me};
use crate::accounts::reauthentication::Proof;
use crate::clock::Timestamp;
use crate::identity::api_key;
use crate::rejection::{Code, Rejection};
use crate::store::{Account, ApiKey, AuditEvent, KeyCreation, Revocation};

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
    /// Lies in the future.
    #[schema(value_type = Option<Time>)]
    expires_at: Option<Timestamp>,
    /// The current one.
    password: Option<String>,
    /// Where the account has a second factor: of the app, or a recovery code.
    code: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct KeySeen {
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
    extensions(("x-refusals" = json!(["reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn create(State(wing): State<Wing>, call: Call) -> Result<Response, Refusal> {
    let document: Document = body::json(&call)?;
    let account = me::own_account(&wing, &call).await?;
    check(&document, &account, call.now)
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
        expires_at: document.expires_at,
        last_used_at: None,
    };
    let record =
        wing.record(&call, AuditEvent::KeyCreated, login::about(&account), Some(&api_key::shown(key.id)));
    match wing.stores.api_keys.create(&account, &key, MOST_KEYS, &record).await? {
        KeyCreation::Created => {}
        KeyCreation::AccountChanged => return Err(Code::AccountChanged.into()),
        KeyCreation::TooMany => {
            let detail = format!("An account has at most {MOST_KEYS} keys; delete one first");
            return Err(Rejection::from(Code::BadRequest).because(detail).into());
        }
    }
    audit::log(&record);
    notice::post(&wing, &call, &account, Change::ApiKey);
    let described = KeySeen { key: Some(minted.text.to_string()), ..describe(key) };
    Ok((StatusCode::CREATED, Json(described)).into_response())
}

/// List the personal API keys.
#[utoipa::path(
    get, path = "/keys", operation_id = "list_keys", tag = "keys",
    responses((status = 200, description = "Keys", body = Keys)),
    security(("password" = []), ("bearer" = [])),
)]
pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<Keys>, Refusal> {
    let keys = wing.stores.api_keys.list(call.bearer()?.user_id).await?;
    Ok(Json(Keys { keys: keys.into_iter().map(describe).collect() }))
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
    let proof = confirm::read(&call)?;
    let account = me::own_account(&wing, &call).await?;
    let keys = wing.stores.api_keys.list(account.id).await?;
    let key = keys.into_iter().find(|key| key.id == id).ok_or(Code::NotFound)?;
    confirm::owner(&wing, &call, &account, proof).await?;
    // Revoked first: should deleting fail, the key is still there to try again. No gateway remembers a key for longer than access tokens live.
    let until = grant::last_token_until(&call);
    wing.stores.revocations.revoke(Revocation::Session(key.id), until).await?;
    wing.metrics.revocations.with_label_values(&["key"]).inc();
    let shown = api_key::shown(key.id);
    let record = wing.record(&call, AuditEvent::KeyDeleted, login::about(&account), Some(&shown));
    if wing.stores.api_keys.delete(account.id, key.id, &record).await? {
        audit::log(&record);
        notice::post(&wing, &call, &account, Change::ApiKeyDeleted);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn check(document: &Document, account: &Account, now: Timestamp) -> Result<(), String> {
    let length = document.name.chars().count();
    if length == 0 || length > MAX_NAME_CHARS || document.name.chars().any(char::is_control) {
        return Err(format!("A key's `name` has 1 to {MAX_NAME_CHARS} characters, none of them a control"));
    }
    if document.expires_at.is_some_and(|end| end <= now) {
        return Err("`expires_at` must lie in the future".to_owned());
    }
    let roles = document.roles.iter().flatten();
    match roles.into_iter().find(|role| !account.roles.contains(role)) {
        Some(_) => Err("`roles` may name only roles that the account has".to_owned()),
        None => Ok(()),
    }
}

fn describe(key: ApiKey) -> KeySeen {
    let ApiKey { id, name, roles, created_at, expires_at, last_used_at, .. } = key;
    KeySeen { id, name, prefix: api_key::shown(id), roles, created_at, expires_at, last_used_at, key: None }
}
