//! Audit records: one JSON line (tracing target `audit`) and one row in the audit log each.
//!
//! What changes an account hands its record to the account store, which writes both or neither.
//! Any other row that can't be written doesn't undo what it tells of: the loss is counted and logged,
//! and the line has gone out. (With the account store down, register and login are refused before
//! they come to this point; refresh and logout have to work.)

use super::call::Call;
use super::{Stores, Wing, note_store_error};
pub use crate::accounts::audit::log;
use crate::identity::{UserId, name};
use crate::store::{AuditEvent, AuditRecord};
use crate::telemetry::Metrics;

/// Whom an audit record is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub user_id: Option<UserId>,
    /// As presented or as stored.
    pub username: &'a str,
}

impl Wing {
    /// What to hand to the account store together with a change.
    pub fn record(
        &self,
        call: &Call,
        event: AuditEvent,
        subject: Subject<'_>,
        detail: Option<&str>,
    ) -> AuditRecord {
        AuditRecord {
            at: call.now,
            event,
            user_id: subject.user_id,
            username: printable(subject.username),
            actor: call.identity.as_ref().map(|identity| identity.username.clone()),
            address: Some(call.caller.address),
            user_agent: call.user_agent(),
            request_id: Some(call.caller.request_id.clone()),
            detail: detail.map(str::to_owned),
            notices: Vec::new(),
        }
    }

    /// As [`keep`].
    pub async fn audit(&self, call: &Call, event: AuditEvent, subject: Subject<'_>, detail: Option<&str>) {
        let record = self.record(call, event, subject, detail);
        if self.failure_rows.take(&record, &call.settings.policy.audit.failures) {
            keep(&self.stores, &self.metrics, &record).await;
        } else {
            log(&record);
            self.metrics.audit_records_left_out.inc();
        }
    }
}

/// Returns when the record is written or known to be lost.
pub async fn keep(stores: &Stores, metrics: &Metrics, record: &AuditRecord) {
    log(record);
    if let Err(error) = stores.audit.append(record).await {
        metrics.audit_records_lost.inc();
        note_store_error(metrics, &error, "audit record only in the log");
    }
}

/// Cut, and with control characters escaped: a name must not start a new line in anybody's log.
fn printable(username: &str) -> String {
    let mut shown = String::new();
    for character in username.chars().take(name::MAX_USERNAME) {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}
