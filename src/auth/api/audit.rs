//! `/api/audit`: the audit log, newest first, by user, event and time.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call;
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::{Wing, described};
use crate::clock::Timestamp;
use crate::rejection::{Code, Rejection};
use crate::store::{AuditEvent, AuditFilter};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// By id, which stays when the account is gone, or by the username of one that exists.
    user: Option<String>,
    event: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Ids of records: the page that follows, or what has come since.
    before: Option<i64>,
    after: Option<i64>,
    limit: Option<u32>,
}

/// `next` is the `before` of the page that follows; `null` on the last one.
pub async fn find(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    let wanted: Wanted = call::query(&call)?;
    let limit = call::limit(wanted.limit)?;
    let administration = call::administration(&wing, &call)?;
    let user_id = match wanted.user.as_deref().map(|user| (user, Uuid::parse_str(user))) {
        None => None,
        Some((_, Ok(id))) => Some(id),
        Some((name, Err(_))) => Some(administration.find(name).await?.id),
    };
    let event = wanted.event.as_deref().map(|word| {
        let unknown = || Rejection::from(Code::BadRequest).because("`event` is no event of the audit log");
        AuditEvent::parse(word).ok_or_else(unknown)
    });
    let filter = AuditFilter {
        user_id,
        event: event.transpose()?,
        since: wanted.since,
        until: wanted.until,
        before_id: wanted.before,
        after_id: wanted.after,
    };
    let mut entries = administration.audit(&filter, limit + 1).await?;
    let has_more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let next = entries.last().filter(|_| has_more).map(|entry| entry.id);
    let records: Vec<Value> = entries.iter().map(described::audit).collect();
    Ok(Json(json!({ "records": records, "next": next })))
}
