//! What every `AuditLog` promises.

use std::sync::Arc;

use portcullis::store::{AuditEvent, AuditLog, AuditRecord};
use uuid::Uuid;

use super::{contract, now};

contract!([postgres_users, sqlite_users] {
    records_come_back_newest_first
    hostile_text_is_recorded_and_long_names_are_cut
});

fn record(event: AuditEvent, username: &str) -> AuditRecord {
    AuditRecord {
        at: now(),
        event,
        user_id: None,
        username: username.to_owned(),
        address: None,
        request_id: None,
        detail: None,
    }
}

async fn records_come_back_newest_first(audit: Arc<impl AuditLog>) {
    let full = AuditRecord {
        user_id: Some(Uuid::now_v7()),
        address: Some("2001:db8::1".parse().expect("an address")),
        request_id: Some("req-1".to_owned()),
        detail: Some("roles: admin".to_owned()),
        ..record(AuditEvent::RolesChanged, "alice")
    };
    let records = [record(AuditEvent::LoginFailed, "mallory"), full, record(AuditEvent::LoggedOut, "bob")];

    for record in &records {
        audit.append(record).await.unwrap();
    }

    let [first, second, third] = records;
    assert_eq!(audit.recent(2).await.unwrap(), [third.clone(), second.clone()]);
    assert_eq!(audit.recent(10).await.unwrap(), [third, second, first]);
}

async fn hostile_text_is_recorded_and_long_names_are_cut(audit: Arc<impl AuditLog>) {
    let name = format!("\0\r\n'; DROP TABLE audit_log; --{}", "é".repeat(100));
    let cut: String = name.chars().take(64).collect();
    let hostile = AuditRecord { detail: Some("a\0b".to_owned()), ..record(AuditEvent::LoginFailed, &name) };

    audit.append(&hostile).await.unwrap();

    let recent = audit.recent(1).await.unwrap();
    assert_eq!(recent[0].username, cut.replace('\0', "\u{fffd}"));
    assert_eq!(recent[0].detail.as_deref(), Some("a\u{fffd}b"));
}
