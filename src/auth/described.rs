//! How accounts, sessions and audit records look in JSON: the same in the auth API, the admin API and
//! on the command line.

use serde_json::{Value, json};

use crate::store::{Account, AuditEntry, Session};

/// For its owner.
pub fn own_account(account: &Account) -> Value {
    json!({
        "id": account.id,
        "username": account.username,
        "email": account.email,
        "email_verified": account.email_verified,
        "roles": account.roles,
        "created_at": account.created_at,
    })
}

/// For operators.
pub fn account(account: &Account) -> Value {
    let mut described = own_account(account);
    described["disabled"] = account.disabled.into();
    described["version"] = account.version.into();
    described["updated_at"] = json!(account.updated_at);
    described
}

pub fn session(session: &Session) -> Value {
    json!({
        "id": session.id,
        "user_id": session.user_id,
        "username": session.username,
        "created_at": session.created_at,
        "last_used_at": session.rotated_at,
        "expires_at": session.idle_until.min(session.ends_at),
        "address": session.address,
        "user_agent": session.user_agent,
    })
}

pub fn audit(AuditEntry { id, record }: &AuditEntry) -> Value {
    json!({
        "id": id,
        "at": record.at,
        "event": record.event.as_str(),
        "outcome": record.event.outcome(),
        "user_id": record.user_id,
        "username": record.username,
        "actor": record.actor,
        "address": record.address,
        "user_agent": record.user_agent,
        "request_id": record.request_id,
        "reason": record.detail,
    })
}
