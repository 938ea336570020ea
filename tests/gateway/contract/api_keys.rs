//! What every `ApiKeys` promises.

use std::sync::Arc;

use portcullis::store::{Account, Accounts, ApiKey, ApiKeys, AuditEvent, AuditFilter, AuditLog, KeyCreation};
use uuid::Uuid;

use super::accounts::{new_account, note};
use super::{HOUR, MINUTE, contract, in_parallel, now};

contract!([postgres_users, sqlite_users] {
    a_key_is_found_with_its_account_as_it_is_now
    keys_are_listed_in_order_of_creation
    use_is_noted_and_never_goes_back
    only_the_owner_deletes_a_key
    all_keys_of_an_account_end_together_with_one_record
    keys_of_every_account_are_listed_page_by_page
    keys_go_with_their_account
    no_key_is_made_for_an_account_that_changed_meanwhile
    of_many_keys_made_at_once_no_more_than_allowed_are_kept
    keys_and_their_records_are_written_together_or_not_at_all
});

async fn key_of(store: &impl Accounts, username: &str) -> ApiKey {
    let new = new_account(username);
    let account =
        store.create(&new, &note(AuditEvent::Registered, username)).await.expect("the name is free");
    ApiKey {
        id: Uuid::new_v4(),
        user_id: account.id,
        name: "nightly \"report\"".to_owned(),
        secret_hash: vec![7; 32],
        roles: vec!["user".to_owned()],
        created_at: now(),
        expires_at: Some(now() + HOUR),
        last_used_at: None,
    }
}

async fn owner(store: &impl Accounts, key: &ApiKey) -> Account {
    store.find_by_id(key.user_id).await.unwrap().expect("it was created")
}

async fn create(store: &(impl Accounts + ApiKeys), key: &ApiKey) -> KeyCreation {
    let (owner, record) = (owner(store, key).await, note(AuditEvent::KeyCreated, "alice"));
    ApiKeys::create(store, &owner, key, 100, &record).await.unwrap()
}

async fn a_key_is_found_with_its_account_as_it_is_now(store: Arc<impl Accounts + ApiKeys>) {
    let key = key_of(&*store, "alice").await;
    assert_eq!(create(&*store, &key).await, KeyCreation::Created);
    let record = note(AuditEvent::RolesChanged, "alice");
    let account =
        store.set_roles(&owner(&*store, &key).await, &["editor".to_owned()], now(), &record).await.unwrap();

    assert_eq!(ApiKeys::find(&*store, key.id).await.unwrap(), Some((key, account.expect("it exists"))));
    assert_eq!(ApiKeys::find(&*store, Uuid::new_v4()).await.unwrap(), None);
}

async fn keys_are_listed_in_order_of_creation(store: Arc<impl Accounts + ApiKeys>) {
    let first = key_of(&*store, "alice").await;
    let second = ApiKey {
        id: Uuid::new_v4(),
        created_at: first.created_at + MINUTE,
        expires_at: None,
        ..first.clone()
    };
    let others = key_of(&*store, "bob").await;
    for key in [&second, &first, &others] {
        assert_eq!(create(&*store, key).await, KeyCreation::Created);
    }

    assert_eq!(ApiKeys::list(&*store, first.user_id).await.unwrap(), [first, second]);
    assert_eq!(ApiKeys::list(&*store, Uuid::now_v7()).await.unwrap(), []);
}

async fn use_is_noted_and_never_goes_back(store: Arc<impl Accounts + ApiKeys>) {
    let key = key_of(&*store, "alice").await;
    create(&*store, &key).await;
    let later = now() + MINUTE;

    for at in [now(), later, now()] {
        store.note_use(key.id, at).await.unwrap();
    }
    store.note_use(Uuid::new_v4(), later).await.unwrap();

    let listed = ApiKeys::list(&*store, key.user_id).await.unwrap();
    assert_eq!(listed, [ApiKey { last_used_at: Some(later), ..key }]);
}

async fn only_the_owner_deletes_a_key(store: Arc<impl Accounts + ApiKeys>) {
    let key = key_of(&*store, "alice").await;
    create(&*store, &key).await;
    let record = note(AuditEvent::KeyDeleted, "alice");

    assert!(!ApiKeys::delete(&*store, Uuid::now_v7(), key.id, &record).await.unwrap());
    assert!(ApiKeys::delete(&*store, key.user_id, key.id, &record).await.unwrap());
    assert!(!ApiKeys::delete(&*store, key.user_id, key.id, &record).await.unwrap());
    assert_eq!(ApiKeys::find(&*store, key.id).await.unwrap(), None);
}

async fn all_keys_of_an_account_end_together_with_one_record(store: Arc<impl Accounts + ApiKeys + AuditLog>) {
    let (first, other) = (key_of(&*store, "alice").await, key_of(&*store, "bob").await);
    let second = ApiKey { id: Uuid::new_v4(), ..first.clone() };
    for key in [&first, &second, &other] {
        assert_eq!(create(&*store, key).await, KeyCreation::Created);
    }
    let record = note(AuditEvent::KeysEnded, "alice");

    let mut ended = store.delete_all(first.user_id, &record).await.unwrap();
    ended.sort();
    let mut both = [first.id, second.id];
    both.sort();
    assert_eq!(ended, both);
    assert!(store.delete_all(first.user_id, &record).await.unwrap().is_empty());
    assert_eq!(ApiKeys::list(&*store, first.user_id).await.unwrap(), []);
    assert_eq!(ApiKeys::list(&*store, other.user_id).await.unwrap(), [other]);
    let filter = AuditFilter { event: Some(AuditEvent::KeysEnded), ..AuditFilter::default() };
    assert_eq!(AuditLog::find(&*store, &filter, 10).await.unwrap().len(), 1);
}

async fn keys_of_every_account_are_listed_page_by_page(store: Arc<impl Accounts + ApiKeys>) {
    let mut expected = vec![(key_of(&*store, "alice").await, "alice"), (key_of(&*store, "bob").await, "bob")];
    expected.push((ApiKey { id: Uuid::new_v4(), ..expected[0].0.clone() }, "alice"));
    for (key, _) in &expected {
        assert_eq!(create(&*store, key).await, KeyCreation::Created);
    }
    expected.sort_by_key(|(key, _)| key.id);
    let expected: Vec<_> = expected.into_iter().map(|(key, name)| (key, name.to_owned())).collect();

    assert_eq!(store.list_all(None, 2).await.unwrap(), expected[..2]);
    assert_eq!(store.list_all(Some(expected[1].0.id), 2).await.unwrap(), expected[2..]);
    assert_eq!(store.list_all(Some(expected[2].0.id), 2).await.unwrap(), []);
}

async fn keys_go_with_their_account(store: Arc<impl Accounts + ApiKeys>) {
    let key = key_of(&*store, "alice").await;
    create(&*store, &key).await;
    let alice = owner(&*store, &key).await;

    Accounts::delete(&*store, &alice, &note(AuditEvent::Deleted, "alice")).await.unwrap();

    assert_eq!(ApiKeys::find(&*store, key.id).await.unwrap(), None);
    let (late, record) = (ApiKey { id: Uuid::new_v4(), ..key }, note(AuditEvent::KeyCreated, "alice"));
    let creation = ApiKeys::create(&*store, &alice, &late, 100, &record).await.unwrap();
    assert_eq!(creation, KeyCreation::AccountChanged, "nobody owns it");
}

async fn no_key_is_made_for_an_account_that_changed_meanwhile(store: Arc<impl Accounts + ApiKeys>) {
    let key = key_of(&*store, "alice").await;
    let seen = owner(&*store, &key).await;
    let record = note(AuditEvent::PasswordChanged, "alice");
    store.set_password(&seen, "$argon2id$new", now(), &record).await.unwrap().expect("nothing has changed");

    let creation = ApiKeys::create(&*store, &seen, &key, 100, &record).await.unwrap();

    assert_eq!(creation, KeyCreation::AccountChanged);
    assert_eq!(ApiKeys::list(&*store, seen.id).await.unwrap(), []);
    assert_eq!(create(&*store, &key).await, KeyCreation::Created);
}

async fn of_many_keys_made_at_once_no_more_than_allowed_are_kept(
    store: Arc<impl Accounts + ApiKeys + 'static>,
) {
    let key = key_of(&*store, "alice").await;
    let alice = owner(&*store, &key).await;

    let made = in_parallel(16, |_| {
        let (store, alice) = (store.clone(), alice.clone());
        let key = ApiKey { id: Uuid::new_v4(), ..key.clone() };
        let record = note(AuditEvent::KeyCreated, "alice");
        async move { ApiKeys::create(&*store, &alice, &key, 5, &record).await.unwrap() }
    })
    .await;

    assert_eq!(made.iter().filter(|made| **made == KeyCreation::Created).count(), 5);
    assert_eq!(made.iter().filter(|made| **made == KeyCreation::TooMany).count(), 11);
    assert_eq!(ApiKeys::list(&*store, key.user_id).await.unwrap().len(), 5);
}

async fn keys_and_their_records_are_written_together_or_not_at_all(
    store: Arc<impl Accounts + ApiKeys + AuditLog>,
) {
    let key = key_of(&*store, "alice").await;
    let deleted = note(AuditEvent::KeyDeleted, "alice");

    create(&*store, &key).await;
    let second = ApiKey { id: Uuid::new_v4(), ..key.clone() };
    let (alice, refused) = (owner(&*store, &key).await, note(AuditEvent::KeyCreated, "no"));
    ApiKeys::create(&*store, &alice, &second, 1, &refused).await.unwrap();
    ApiKeys::delete(&*store, Uuid::now_v7(), key.id, &deleted).await.unwrap();
    ApiKeys::delete(&*store, key.user_id, key.id, &deleted).await.unwrap();

    let entries = AuditLog::find(&*store, &AuditFilter::default(), 10).await.unwrap();
    let events: Vec<_> = entries.iter().map(|entry| entry.record.event).collect();
    assert_eq!(events, [AuditEvent::KeyDeleted, AuditEvent::KeyCreated, AuditEvent::Registered]);
}
