//! What every `Accounts` promises of changes: each names the version that it was decided on.

use std::sync::Arc;

use portcullis::store::{Account, Accounts, AuditEvent, AuditFilter, AuditLog, CreateError, NewAccount};

use super::accounts::{create, new_account, note, unknown};
use super::{contract, in_parallel, now};

contract!([postgres_users, sqlite_users] {
    a_profile_is_replaced_whole_and_raises_the_version
    a_confirmed_address_stays_until_the_next_is_confirmed
    a_profile_never_takes_the_name_of_another
    an_address_is_set_confirmed_or_not_and_drops_a_pending_one
    a_password_is_replaced_and_raises_version_and_credentials
    of_many_password_changes_with_one_old_password_one_wins
    a_change_and_its_record_are_written_together_or_not_at_all
    new_roles_replace_the_old_ones_and_raise_the_version
    disabling_and_enabling_raise_the_version
    of_parallel_changes_decided_on_one_version_one_is_made
    nothing_changes_an_account_that_has_another_version_by_now
    a_version_is_only_ever_raised
    of_two_hash_upgrades_one_wins_and_the_version_stays
});

async fn a_profile_is_replaced_whole_and_raises_the_version(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    let record = note(AuditEvent::ProfileChanged, "Alicia");

    let renamed =
        accounts.set_profile(&alice, "Alicia", None, None, now(), &record).await.unwrap().expect("it exists");
    let recased = accounts.set_profile(&renamed, "ALICIA", Some("a@example.net"), None, now(), &record).await;

    let recased = recased.unwrap().expect("it exists");
    assert_eq!((renamed.username.as_str(), renamed.email, renamed.version), ("Alicia", None, 2));
    assert_eq!((recased.username.as_str(), recased.version, recased.credentials), ("ALICIA", 3, 1));
    assert_eq!(accounts.find_by_username("alicia").await.unwrap(), Some(recased.clone()));
    assert_eq!(accounts.find_by_username("alice").await.unwrap(), None);
    let hash = Some("$argon2id$new");
    let both = accounts.set_profile(&recased, "Alicia", None, hash, now(), &record).await;
    let both = both.unwrap().expect("it exists");
    assert_eq!((both.username.as_str(), both.password_hash.as_str()), ("Alicia", "$argon2id$new"));
    assert_eq!((both.version, both.credentials), (4, 2), "a new password ends sessions");
    let unknown = accounts.set_profile(&unknown(), "carol", None, None, now(), &record).await;
    assert!(matches!(unknown, Ok(None)), "{unknown:?}");
}

async fn a_confirmed_address_stays_until_the_next_is_confirmed(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    let record = note(AuditEvent::ProfileChanged, "alice");
    let give = async |email: Option<&str>| {
        let current = accounts.find_by_id(alice.id).await.unwrap().expect("it exists");
        let changed = accounts.set_profile(&current, "alice", email, None, now(), &record).await.unwrap();
        let changed = changed.expect("nobody else changes it");
        (changed.email, changed.pending_email, changed.email_verified)
    };
    let address = |email: &str| Some(email.to_owned());

    assert_eq!(give(Some("b@x.org")).await, (alice.email.clone(), address("b@x.org"), true));
    assert_eq!(give(Some("c@x.org")).await, (alice.email.clone(), address("c@x.org"), true));
    assert_eq!(give(alice.email.as_deref()).await, (alice.email.clone(), None, true), "the change is off");
    assert_eq!(give(Some("b@x.org")).await.1, address("b@x.org"));
    assert_eq!(give(None).await, (None, None, false));
    assert_eq!(give(Some("d@x.org")).await, (address("d@x.org"), None, false));
    assert_eq!(give(Some("e@x.org")).await, (address("e@x.org"), None, false), "nobody confirmed it");
    let stored = accounts.find_by_id(alice.id).await.unwrap().expect("it exists");
    assert_eq!((stored.confirmed_email(), stored.unconfirmed_email()), (None, Some("e@x.org")));
}

async fn a_profile_never_takes_the_name_of_another(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    create(&*accounts, "Bob").await;

    let record = note(AuditEvent::ProfileChanged, "bob");
    let taken = accounts.set_profile(&alice, "bob", None, None, now(), &record).await;

    assert!(matches!(taken, Err(CreateError::UsernameTaken)), "{taken:?}");
    assert_eq!(accounts.find_by_id(alice.id).await.unwrap(), Some(alice));
}

async fn an_address_is_set_confirmed_or_not_and_drops_a_pending_one(accounts: Arc<impl Accounts>) {
    let new = NewAccount { must_confirm_email: true, email_verified: true, ..new_account("alice") };
    let alice =
        accounts.create(&new, &note(AuditEvent::Registered, "alice")).await.expect("the name is free");
    let record = note(AuditEvent::ProfileChanged, "alice");
    let asked = accounts.set_profile(&alice, "alice", Some("other@example.com"), None, now(), &record).await;
    let asked = asked.unwrap().expect("it is the same account");
    assert_eq!(asked.pending_email.as_deref(), Some("other@example.com"));

    let set = accounts.set_email(&asked, "third@example.com", false, now(), &record).await.unwrap();
    let set = set.expect("it is the same account");
    assert_eq!((set.email.as_deref(), set.confirmed_email()), (Some("third@example.com"), None));
    assert_eq!((set.pending_email.as_deref(), set.must_confirm_email), (None, true));
    assert_eq!(set.version, asked.version + 1);
    let confirmed = accounts.set_email(&set, "third@example.com", true, now(), &record).await.unwrap();
    let confirmed = confirmed.expect("it is the same account");
    assert_eq!(confirmed.confirmed_email(), Some("third@example.com"));
    assert!(!confirmed.must_confirm_email);
    assert_eq!(accounts.set_email(&set, "x@example.com", true, now(), &record).await.unwrap(), None);
}

async fn a_password_is_replaced_and_raises_version_and_credentials(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    let record = note(AuditEvent::PasswordChanged, "alice");

    let changed = accounts.set_password(&alice, "$new", now(), &record).await.unwrap().expect("it exists");

    assert_eq!((changed.password_hash.as_str(), changed.version, changed.credentials), ("$new", 2, 2));
    assert_eq!(accounts.find_by_id(alice.id).await.unwrap(), Some(changed));
    assert_eq!(accounts.set_password(&unknown(), "$new", now(), &record).await.unwrap(), None);
}

async fn of_many_password_changes_with_one_old_password_one_wins(accounts: Arc<impl Accounts + 'static>) {
    let alice = create(&*accounts, "alice").await;

    let changed = in_parallel(16, |number| {
        let (accounts, alice) = (accounts.clone(), alice.clone());
        async move {
            let (new, record) = (format!("$new{number}"), note(AuditEvent::PasswordChanged, "alice"));
            accounts.set_password(&alice, &new, now(), &record).await.unwrap()
        }
    })
    .await;

    assert_eq!(changed.iter().flatten().count(), 1);
    assert_eq!(accounts.find_by_id(alice.id).await.unwrap().expect("it exists").version, 2);
}

async fn a_change_and_its_record_are_written_together_or_not_at_all(accounts: Arc<impl Accounts + AuditLog>) {
    let alice = create(&*accounts, "alice").await;
    let record = |event| note(event, "alice");

    accounts.create(&new_account("ALICE"), &record(AuditEvent::Registered)).await.unwrap_err();
    accounts.set_password(&unknown(), "$new", now(), &record(AuditEvent::PasswordChanged)).await.unwrap();
    accounts.set_roles(&unknown(), &[], now(), &record(AuditEvent::RolesChanged)).await.unwrap();
    let disabled = accounts.set_disabled(&alice, true, now(), &record(AuditEvent::Disabled)).await.unwrap();
    let disabled = disabled.expect("it exists");
    accounts.delete(&disabled, &record(AuditEvent::Deleted)).await.unwrap();
    accounts.delete(&disabled, &record(AuditEvent::Deleted)).await.unwrap();

    let entries = accounts.find(&AuditFilter::default(), 10).await.unwrap();
    let events: Vec<_> = entries.iter().map(|entry| entry.record.event).collect();
    assert_eq!(events, [AuditEvent::Deleted, AuditEvent::Disabled, AuditEvent::Registered]);
}

async fn new_roles_replace_the_old_ones_and_raise_the_version(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    let later = now();
    let roles = ["admin".to_owned(), "audit:read".to_owned()];

    let changed =
        accounts.set_roles(&alice, &roles, later, &note(AuditEvent::RolesChanged, "alice")).await.unwrap();

    let expected = Account { roles: roles.to_vec(), version: 2, updated_at: later, ..alice.clone() };
    assert_eq!(changed, Some(expected.clone()));
    assert_eq!(accounts.find_by_id(alice.id).await.unwrap(), Some(expected));
    assert_eq!(
        accounts
            .set_roles(&unknown(), &roles, later, &note(AuditEvent::RolesChanged, "nobody"))
            .await
            .unwrap(),
        None
    );
}

async fn disabling_and_enabling_raise_the_version(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    let record = note(AuditEvent::Disabled, "alice");

    let disabled = accounts.set_disabled(&alice, true, now(), &record).await.unwrap().expect("it exists");
    let enabled = accounts.set_disabled(&disabled, false, now(), &record).await.unwrap().expect("it exists");

    assert_eq!((disabled.disabled, disabled.version, disabled.credentials), (true, 2, 2));
    assert_eq!((enabled.disabled, enabled.version, enabled.credentials), (false, 3, 2));
    assert_eq!(accounts.set_disabled(&unknown(), true, now(), &record).await.unwrap(), None);
}

async fn of_parallel_changes_decided_on_one_version_one_is_made(accounts: Arc<impl Accounts + 'static>) {
    let alice = create(&*accounts, "alice").await;

    let changed = in_parallel(10, |_| {
        let (accounts, alice) = (accounts.clone(), alice.clone());
        async move {
            accounts.set_roles(&alice, &[], now(), &note(AuditEvent::RolesChanged, "alice")).await.unwrap()
        }
    })
    .await;

    assert_eq!(changed.iter().flatten().count(), 1);
    let changed = accounts.find_by_id(alice.id).await.unwrap().expect("it exists");
    assert_eq!(changed.version, 2);
}

async fn nothing_changes_an_account_that_has_another_version_by_now(accounts: Arc<impl Accounts + AuditLog>) {
    let seen = create(&*accounts, "alice").await;
    let record = note(AuditEvent::RolesChanged, "alice");
    let alice = accounts.set_roles(&seen, &[], now(), &record).await.unwrap().expect("nothing has changed");
    let late = note(AuditEvent::Mended, "alice");

    let changes = [
        accounts.set_profile(&seen, "alicia", None, None, now(), &late).await.expect("the name is free"),
        accounts.set_password(&seen, "$argon2id$new", now(), &late).await.unwrap(),
        accounts.set_roles(&seen, &["admin".to_owned()], now(), &late).await.unwrap(),
        accounts.set_disabled(&seen, true, now(), &late).await.unwrap(),
        accounts.raise_version(&seen, 9, now(), &late).await.unwrap(),
    ];

    assert_eq!(changes, [None, None, None, None, None]);
    assert!(!accounts.delete(&seen, &late).await.unwrap());
    assert_eq!(accounts.find_by_id(seen.id).await.unwrap(), Some(alice));
    let filter = AuditFilter { event: Some(AuditEvent::Mended), ..AuditFilter::default() };
    assert_eq!(accounts.find(&filter, 10).await.unwrap(), []);
}

async fn a_version_is_only_ever_raised(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    let record = note(AuditEvent::Mended, "alice");

    assert_eq!(accounts.raise_version(&alice, 1, now(), &record).await.unwrap(), None);
    let raised = accounts.raise_version(&alice, 1 << 32, now(), &record).await.unwrap().expect("it exists");

    assert_eq!((raised.version, raised.credentials), (1 << 32, 2));
}

async fn of_two_hash_upgrades_one_wins_and_the_version_stays(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;

    let first = accounts.upgrade_hash(alice.id, "$argon2id$old", "$argon2id$new", now()).await.unwrap();
    let second = accounts.upgrade_hash(alice.id, "$argon2id$old", "$argon2id$other", now()).await.unwrap();

    let upgraded = accounts.find_by_id(alice.id).await.unwrap().expect("it exists");
    assert_eq!((first, second), (true, false));
    assert_eq!((upgraded.password_hash.as_str(), upgraded.version), ("$argon2id$new", 1));
}
