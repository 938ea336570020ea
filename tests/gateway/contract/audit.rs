//! What every `AuditLog` promises.

use std::sync::Arc;

use portcullis::store::{AuditEntry, AuditEvent, AuditFilter, AuditLog, AuditRecord};
use uuid::Uuid;

use super::{MINUTE, contract, now};

contract!([postgres_users, sqlite_users] {
    records_come_back_newest_first
    records_are_found_by_user_event_time_and_place
    hostile_text_is_recorded_and_long_names_are_cut
    who_follows_gets_each_record_once
});

pub(super) fn record(event: AuditEvent, username: &str) -> AuditRecord {
    AuditRecord {
        at: now(),
        event,
        user_id: None,
        username: username.to_owned(),
        actor: None,
        address: None,
        user_agent: None,
        request_id: None,
        detail: None,
    }
}

async fn newest(audit: &impl AuditLog, limit: u32) -> Vec<AuditRecord> {
    let entries = audit.find(&AuditFilter::default(), limit).await.unwrap();
    entries.into_iter().map(|entry| entry.record).collect()
}

async fn records_come_back_newest_first(audit: Arc<impl AuditLog>) {
    let full = AuditRecord {
        user_id: Some(Uuid::now_v7()),
        actor: Some("root".to_owned()),
        user_agent: Some("curl/8".to_owned()),
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
    assert_eq!(newest(&*audit, 2).await, [third.clone(), second.clone()]);
    assert_eq!(newest(&*audit, 10).await, [third, second, first]);
}

async fn who_follows_gets_each_record_once(audit: Arc<impl AuditLog>) {
    audit.append(&record(AuditEvent::LoggedIn, "before")).await.unwrap();
    let end = audit.end().await.unwrap();
    for name in ["alice", "bob"] {
        audit.append(&record(AuditEvent::LoggedIn, name)).await.unwrap();
    }
    audit.append(&record(AuditEvent::LoggedOut, "alice")).await.unwrap();
    let logins = AuditFilter { event: Some(AuditEvent::LoggedIn), ..AuditFilter::default() };

    let (entries, next) = audit.since(&logins, &end).await.unwrap();
    let (none, same) = audit.since(&logins, &next).await.unwrap();
    audit.append(&record(AuditEvent::LoggedIn, "carol")).await.unwrap();
    let (last, _) = audit.since(&logins, &same).await.unwrap();

    let names = |entries: Vec<AuditEntry>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.record.username).collect()
    };
    assert_eq!(
        (names(entries), names(none), names(last)),
        (vec!["alice".to_owned(), "bob".to_owned()], vec![], vec!["carol".to_owned()])
    );
}

async fn hostile_text_is_recorded_and_long_names_are_cut(audit: Arc<impl AuditLog>) {
    let name = format!("\0\r\n'; DROP TABLE audit_log; --{}", "é".repeat(100));
    let cut: String = name.chars().take(64).collect();
    let hostile = AuditRecord { detail: Some("a\0b".to_owned()), ..record(AuditEvent::LoginFailed, &name) };

    audit.append(&hostile).await.unwrap();

    let recent = newest(&*audit, 1).await;
    assert_eq!(recent[0].username, cut.replace('\0', "\u{fffd}"));
    assert_eq!(recent[0].detail.as_deref(), Some("a\u{fffd}b"));
}

async fn records_are_found_by_user_event_time_and_place(audit: Arc<impl AuditLog>) {
    let (alice, start) = (Uuid::now_v7(), now());
    let events = [AuditEvent::LoggedIn, AuditEvent::LoggedOut, AuditEvent::LoggedIn, AuditEvent::LoginFailed];
    for (minute, event) in (0u32..).zip(events) {
        let user_id = (minute != 3).then_some(alice);
        let at = start + MINUTE * minute;
        audit.append(&AuditRecord { at, user_id, ..record(event, "alice") }).await.unwrap();
    }
    let all = audit.find(&AuditFilter::default(), 10).await.unwrap();
    let [failed, second, out, first] = all.as_slice() else { panic!("{all:?}") };
    let found = async |filter: AuditFilter| audit.find(&filter, 10).await.unwrap();
    let are = |entries: &[&AuditEntry]| entries.iter().map(|entry| (*entry).clone()).collect::<Vec<_>>();
    let any = AuditFilter::default;

    assert_eq!(found(AuditFilter { user_id: Some(alice), ..any() }).await, are(&[second, out, first]));
    assert_eq!(
        found(AuditFilter { event: Some(AuditEvent::LoggedIn), ..any() }).await,
        are(&[second, first])
    );
    let (since, until) = (Some(start + MINUTE), Some(start + 3 * MINUTE));
    assert_eq!(found(AuditFilter { since, until, ..any() }).await, are(&[second, out]));
    assert_eq!(found(AuditFilter { before_id: Some(out.id), ..any() }).await, are(&[first]));
    assert_eq!(found(AuditFilter { after_id: Some(out.id), ..any() }).await, are(&[failed, second]));
    let both = AuditFilter { user_id: Some(alice), event: Some(AuditEvent::LoggedOut), ..any() };
    assert_eq!(found(both).await, are(&[out]));
}
