//! `/auth/keys`: personal API keys, for programs that act for their owner.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::{Wing, audit, body, grant, me};
use crate::clock::Timestamp;
use crate::identity::api_key;
use crate::rejection::{Code, Rejection};
use crate::store::{Account, ApiKey, AuditEvent, Revocation};

const MOST_KEYS: u32 = 100;
const MAX_NAME_CHARS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: String,
    /// Absent: all that the account has now.
    roles: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
}

/// The one answer that has the key itself.
pub async fn create(State(wing): State<Wing>, call: Call) -> Result<(StatusCode, Json<Value>), Refusal> {
    let document: Document = body::json(&call)?;
    let account = me::own_account(&wing, &call).await?;
    check(&document, &account, call.now)
        .map_err(|reason| Rejection::from(Code::BadRequest).because(reason))?;
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
    let subject = Subject { user_id: Some(account.id), username: &account.username };
    let record = wing.record(&call, AuditEvent::KeyCreated, subject, Some(&api_key::shown(key.id)));
    if !wing.stores.api_keys.create(&key, MOST_KEYS, &record).await? {
        let detail = format!("An account has at most {MOST_KEYS} keys; delete one first");
        return Err(Rejection::from(Code::BadRequest).because(detail).into());
    }
    audit::log(&record);
    let mut described = describe(&key);
    described["key"] = minted.text.as_str().into();
    Ok((StatusCode::CREATED, Json(described)))
}

pub async fn list(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    let keys = wing.stores.api_keys.list(call.bearer()?.user_id).await?;
    let keys: Vec<Value> = keys.iter().map(describe).collect();
    Ok(Json(json!({ "keys": keys })))
}

/// Revoked first: should deleting fail, the key is still there to try again.
pub async fn delete(
    State(wing): State<Wing>,
    Path(id): Path<Uuid>,
    call: Call,
) -> Result<StatusCode, Refusal> {
    let bearer = call.bearer()?;
    let keys = wing.stores.api_keys.list(bearer.user_id).await?;
    let key = keys.into_iter().find(|key| key.id == id).ok_or(Code::NotFound)?;
    // No gateway remembers a key for longer than access tokens live.
    let until = grant::last_token_until(&call);
    wing.stores.revocations.revoke(Revocation::Session(key.id), until).await?;
    wing.metrics.revocations.with_label_values(&["key"]).inc();
    let subject = Subject { user_id: Some(bearer.user_id), username: &bearer.username };
    let record = wing.record(&call, AuditEvent::KeyDeleted, subject, Some(&api_key::shown(key.id)));
    if wing.stores.api_keys.delete(bearer.user_id, key.id, &record).await? {
        audit::log(&record);
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

fn describe(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "prefix": api_key::shown(key.id),
        "roles": key.roles,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    })
}
