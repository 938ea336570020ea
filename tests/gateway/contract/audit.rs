//! What every `AuditLog` promises.

use std::sync::Arc;

use portcullis::store::{AuditEntry, AuditEvent, AuditFilter, AuditLog, AuditPosition, AuditRecord};
use uuid::Uuid;

use super::{MINUTE, contract, now};

contract!([postgres_users, sqlite_users] {
    records_come_back_newest_first
    records_are_found_by_user_event_time_and_place
    hostile_text_is_recorded_and_long_names_are_cut
    who_follows_gets_each_record_once
    who_follows_in_small_steps_misses_none
    what_is_no_position_is_told_so
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
        notices: Vec::new(),
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
    let (newest, end) = audit.newest(&AuditFilter::default(), 1).await.unwrap();
    for name in ["alice", "bob"] {
        audit.append(&record(AuditEvent::LoggedIn, name)).await.unwrap();
    }
    audit.append(&record(AuditEvent::LoggedOut, "alice")).await.unwrap();
    let logins = AuditFilter { event: Some(AuditEvent::LoggedIn), ..AuditFilter::default() };

    let (entries, next) = audit.since(&logins, &end, 10).await.unwrap().unwrap();
    let (none, same) = audit.since(&logins, &next, 10).await.unwrap().unwrap();
    audit.append(&record(AuditEvent::LoggedIn, "carol")).await.unwrap();
    let (last, _) = audit.since(&logins, &same, 10).await.unwrap().unwrap();

    assert_eq!(names(&newest), ["before"]);
    assert_eq!(names(&entries), ["alice", "bob"]);
    assert_eq!((names(&none), names(&last)), (vec![], vec!["carol"]));
}

fn names(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.record.username).collect()
}

async fn who_follows_in_small_steps_misses_none(audit: Arc<impl AuditLog>) {
    let any = AuditFilter::default();
    let (_, mut position) = audit.newest(&any, 1).await.unwrap();
    let (mut written, mut seen) = (Vec::new(), Vec::new());
    for step in 0..9 {
        // Three come for every two that are read, as long as any come.
        let count = if step < 3 { 3 } else { 0 };
        for number in 0..count {
            let name = format!("{step}-{number}");
            audit.append(&record(AuditEvent::LoggedIn, &name)).await.unwrap();
            written.push(name);
        }
        let (entries, next) = audit.since(&any, &position, 2).await.unwrap().unwrap();
        seen.extend(names(&entries).into_iter().map(str::to_owned));
        position = next;
    }
    assert_eq!(seen, written);
}

async fn what_is_no_position_is_told_so(audit: Arc<impl AuditLog>) {
    for text in ["", "x", "1:2", "2:1:", "1:1:/1:1:", "1:1:/1:1:/x", "1:1:/x/1", "1;2", "-", "é"] {
        let position = AuditPosition(text.to_owned());
        assert_eq!(audit.since(&AuditFilter::default(), &position, 1).await.unwrap(), None, "{text:?}");
    }
}

async fn hostile_text_is_recorded_and_long_names_are_cut(audit: Arc<impl AuditLog>) {
    let name = format!("\0\r\n'; DROP TABLE audit_log; --{}", "é".repeat(200));
    let cut: String = name.chars().take(128).collect();
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
    let [_, second, out, first] = all.as_slice() else { panic!("{all:?}") };
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
    let both = AuditFilter { user_id: Some(alice), event: Some(AuditEvent::LoggedOut), ..any() };
    assert_eq!(found(both).await, are(&[out]));
}
