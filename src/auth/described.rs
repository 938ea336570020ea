//! How accounts, sessions and audit records look in JSON: the same in the auth API, the admin API and
//! on the command line.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::keys::{self, KeySeen};
use super::openapi::schemas::{Email, Role, Time, Username};
use crate::clock::Timestamp;
use crate::config::policy::KeyRules;
use crate::store::lockouts::Lockout;
use crate::store::{Account, ApiKey, AuditEntry, Session};

/// For its owner.
#[derive(Serialize, ToSchema)]
pub struct OwnAccount {
    id: Uuid,
    #[schema(value_type = Username)]
    username: String,
    #[schema(value_type = Option<Email>)]
    email: Option<String>,
    /// Upstreams are told `email` only if this is true.
    email_verified: bool,
    /// Replaces `email` once it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Email)]
    pending_email: Option<String>,
    #[schema(value_type = Vec<Role>)]
    roles: Vec<String>,
    #[schema(value_type = Time)]
    created_at: Timestamp,
}

/// For operators.
#[derive(Serialize, ToSchema)]
pub struct AccountSeen {
    #[serde(flatten)]
    own: OwnAccount,
    disabled: bool,
    /// Whether a login takes a second step.
    second_factor: bool,
    /// Tokens with a lower `ver` are stale.
    version: u64,
    #[schema(value_type = Time)]
    updated_at: Timestamp,
    /// Who is locked out after too many failures. Only where accounts are shown or listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lockouts: Option<Vec<LockoutSeen>>,
}

#[derive(Serialize, ToSchema)]
pub struct LockoutSeen {
    /// `strangers`, `owner` (a device or an address that signed in within 30 days), or `all`.
    #[serde(rename = "for")]
    whom: &'static str,
    /// `null`: until the password is reset or an operator unlocks the account.
    #[schema(value_type = Option<Time>)]
    until: Option<Timestamp>,
}

/// An API key, for operators.
#[derive(Serialize, ToSchema)]
pub struct KeyOfUser {
    user_id: Uuid,
    username: String,
    #[serde(flatten)]
    key: KeySeen,
}

#[derive(Serialize, ToSchema)]
pub struct SessionSeen {
    id: Uuid,
    user_id: Uuid,
    username: String,
    #[schema(value_type = Time)]
    created_at: Timestamp,
    /// At the last login or refresh.
    #[schema(value_type = Time)]
    last_used_at: Timestamp,
    #[schema(value_type = Time)]
    expires_at: Timestamp,
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    user_agent: Option<String>,
    /// How the login went (RFC 8176).
    amr: Vec<String>,
    /// Whether it is the caller's, where own ones are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    current: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub struct AuditSeen {
    id: i64,
    #[schema(value_type = Time)]
    at: Timestamp,
    event: &'static str,
    /// `success` or `failure`.
    outcome: &'static str,
    user_id: Option<Uuid>,
    username: String,
    /// Who did it: a username, or `cli:` and the operator's login.
    actor: Option<String>,
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    user_agent: Option<String>,
    request_id: Option<String>,
    reason: Option<String>,
}

pub fn own_account(account: &Account) -> Value {
    value(own(account))
}

pub fn account(account: &Account) -> Value {
    value(seen(account))
}

/// The same, and who is locked out of it.
pub fn account_with_lockout(account: &Account, lockout: &Lockout) -> Value {
    let lockouts = lockout.parts().into_iter().map(|(whom, until)| LockoutSeen { whom, until }).collect();
    value(AccountSeen { lockouts: Some(lockouts), ..seen(account) })
}

fn seen(account: &Account) -> AccountSeen {
    AccountSeen {
        own: own(account),
        disabled: account.disabled,
        second_factor: account.has_second_factor,
        version: account.version,
        updated_at: account.updated_at,
        lockouts: None,
    }
}

pub fn own(account: &Account) -> OwnAccount {
    OwnAccount {
        id: account.id,
        username: account.username.clone(),
        email: account.email.clone(),
        email_verified: account.confirmed_email().is_some(),
        pending_email: account.pending_email.clone(),
        roles: account.roles.clone(),
        created_at: account.created_at,
    }
}

pub fn key(key: ApiKey, username: &str, rules: &KeyRules) -> Value {
    let (user_id, username) = (key.user_id, username.to_owned());
    serde_json::json!(KeyOfUser { user_id, username, key: keys::describe(key, rules) })
}

pub fn session(session: &Session) -> Value {
    value(SessionSeen {
        id: session.id,
        user_id: session.user_id,
        username: session.username.clone(),
        created_at: session.created_at,
        last_used_at: session.rotated_at,
        expires_at: session.idle_until.min(session.ends_at),
        address: session.address,
        user_agent: session.user_agent.clone(),
        amr: session.amr.clone(),
        current: None,
    })
}

pub fn audit(AuditEntry { id, record }: &AuditEntry) -> Value {
    value(AuditSeen {
        id: *id,
        at: record.at,
        event: record.event.as_str(),
        outcome: record.event.outcome(),
        user_id: record.user_id,
        username: record.username.clone(),
        actor: record.actor.clone(),
        address: record.address,
        user_agent: record.user_agent.clone(),
        request_id: record.request_id.clone(),
        reason: record.detail.clone(),
    })
}

/// The same as the members of an object.
pub fn members(described: &impl Serialize) -> Map<String, Value> {
    match value(described) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn value(described: impl Serialize) -> Value {
    serde_json::to_value(described).expect("texts and numbers")
}
