//! `/api/audit`: the audit log by user, event and time: newest first, or what has come since.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::call;
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::described::AuditSeen;
use crate::auth::{Wing, described};
use crate::clock::Timestamp;
use crate::rejection::{Code, Rejection};
use crate::store::{AuditEntry, AuditEvent, AuditFilter};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// By id, which stays when the account is gone, or by the username of one that exists.
    user: Option<String>,
    #[param(value_type = Option<AuditEvent>, inline)]
    event: Option<String>,
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The id of a record: the page that follows.
    before: Option<i64>,
    /// The `position` of an earlier answer: what has come since, oldest first.
    after: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub struct Records {
    #[schema(value_type = Vec<AuditSeen>)]
    records: Vec<Value>,
    /// The `before` of the page that follows; `null` on the last one.
    next: Option<i64>,
    /// The `after` that gets what comes next; `null` on a page of older records.
    position: Option<String>,
}

/// Read the audit log, newest first, or follow it.
///
/// Whoever asks again and again with the `position` of the last answer gets each record once and misses none. Ids
/// would not do for that: a record may be committed after one with a larger id.
#[utoipa::path(
    get, path = "/audit", operation_id = "find_records", tag = "audit",
    params(Wanted),
    responses((status = 200, description = "A page", body = Records)),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["not_found", "role_missing"]))),
)]
pub async fn find(State(wing): State<Wing>, call: Call) -> Result<Json<Records>, Refusal> {
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
    };
    let records = match (wanted.after, wanted.before) {
        (Some(_), Some(_)) => {
            let detail = "`after` and `before` lead in different directions; send one";
            return Err(Rejection::from(Code::BadRequest).because(detail).into());
        }
        (Some(position), None) => {
            let (entries, position) = administration.audit_since(&filter, &position, limit).await?;
            Records { records: seen(&entries), next: None, position: Some(position.0) }
        }
        (None, Some(_)) => page(administration.audit(&filter, limit + 1).await?, limit, None),
        (None, None) => {
            let (entries, position) = administration.newest_audit(&filter, limit + 1).await?;
            page(entries, limit, Some(position.0))
        }
    };
    Ok(Json(records))
}

fn page(found: Vec<AuditEntry>, limit: u32, position: Option<String>) -> Records {
    let (entries, next) = call::page(found, limit, |entry| entry.id);
    Records { records: seen(&entries), next, position }
}

fn seen(entries: &[AuditEntry]) -> Vec<Value> {
    entries.iter().map(described::audit).collect()
}
