//! Audit records: one JSON line (tracing target `audit`) and one row in the audit log each.
//!
//! A row that can't be written doesn't undo what it tells of: the failure is counted and logged,
//! and the line has gone out. (With the account store down, register and login are refused before
//! they come to this point; refresh and logout have to work.)

use super::Wing;
use super::call::Call;
use crate::identity::UserId;
use crate::store::{AuditEvent, AuditRecord};

const MAX_USERNAME_CHARS: usize = 64;

/// Whom an audit record is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub user_id: Option<UserId>,
    /// As presented or as stored.
    pub username: &'a str,
}

impl Wing {
    /// Returns when the record is written or known to be lost.
    pub async fn audit(&self, call: &Call, event: AuditEvent, subject: Subject<'_>, detail: Option<&str>) {
        let record = AuditRecord {
            at: call.now,
            event,
            user_id: subject.user_id,
            username: printable(subject.username),
            address: Some(call.caller.address),
            request_id: Some(call.caller.request_id.clone()),
            detail: detail.map(str::to_owned),
        };
        tracing::info!(
            target: "audit",
            at = %record.at.to_rfc3339(),
            event = event.as_str(),
            user_id = subject.user_id.map(|id| id.to_string()),
            username = record.username,
            address = %call.caller.address,
            request_id = call.caller.request_id,
            detail,
        );
        if let Err(error) = self.stores.audit.append(&record).await {
            self.note_store_error(&error, "audit record only in the log");
        }
    }
}

/// Cut, and with control characters escaped: a name must not start a new line in anybody's log.
fn printable(username: &str) -> String {
    let mut shown = String::new();
    for character in username.chars().take(MAX_USERNAME_CHARS) {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}
