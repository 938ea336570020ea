//! The audit log as JSON lines (tracing target `audit`).

use crate::store::AuditRecord;

/// The JSON line. What changes an account calls it once the record is stored.
pub fn log(record: &AuditRecord) {
    tracing::info!(
        target: "audit",
        at = %record.at.to_rfc3339(),
        event = record.event.as_str(),
        outcome = record.event.outcome(),
        user_id = record.user_id.map(|id| id.to_string()),
        username = record.username,
        actor = record.actor,
        address = record.address.map(|address| address.to_string()),
        user_agent = record.user_agent,
        request_id = record.request_id,
        detail = record.detail,
    );
}
