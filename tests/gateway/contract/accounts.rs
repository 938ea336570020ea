//! What every `Accounts` promises.

use std::sync::Arc;

use portcullis::store::{Account, Accounts, CreateError, NewAccount};
use uuid::Uuid;

use super::{contract, in_parallel, now};

contract!([postgres_users, sqlite_users] {
    a_new_account_is_found_by_id_and_by_name_in_any_case
    an_unknown_account_is_none_however_odd_its_name
    of_many_accounts_with_one_name_in_different_case_one_is_created
    accounts_are_listed_by_name_page_by_page
    new_roles_replace_the_old_ones_and_raise_the_version
    disabling_and_enabling_raise_the_version
    parallel_changes_all_raise_the_version
    of_two_hash_upgrades_one_wins_and_the_version_stays
    a_deleted_account_is_gone_and_its_name_is_free
    an_open_store_answers_pings
});

pub(super) fn new_account(username: &str) -> NewAccount {
    NewAccount {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        email: Some(format!("{username}@example.com")),
        password_hash: "$argon2id$old".to_owned(),
        roles: vec!["user".to_owned()],
        created_at: now(),
    }
}

async fn create(accounts: &impl Accounts, username: &str) -> Account {
    accounts.create(&new_account(username)).await.expect("the name is free")
}

async fn a_new_account_is_found_by_id_and_by_name_in_any_case(accounts: Arc<impl Accounts>) {
    let new = new_account("Alice");
    let expected = Account {
        id: new.id,
        username: "Alice".to_owned(),
        email: new.email.clone(),
        password_hash: new.password_hash.clone(),
        roles: new.roles.clone(),
        version: 1,
        disabled: false,
        created_at: new.created_at,
        updated_at: new.created_at,
    };

    let created = accounts.create(&new).await.expect("the name is free");

    assert_eq!(created, expected);
    assert_eq!(accounts.find_by_id(new.id).await.unwrap(), Some(expected.clone()));
    for spelling in ["Alice", "alice", "ALICE"] {
        assert_eq!(accounts.find_by_username(spelling).await.unwrap(), Some(expected.clone()));
    }
}

async fn an_unknown_account_is_none_however_odd_its_name(accounts: Arc<impl Accounts>) {
    create(&*accounts, "alice").await;

    for name in ["", "bob", "ali", "alic_", "alice%", "a\0lice", "' OR 1=1 --", "'; DROP TABLE users; --"] {
        assert_eq!(accounts.find_by_username(name).await.unwrap(), None, "{name:?}");
    }
    assert_eq!(accounts.find_by_id(Uuid::now_v7()).await.unwrap(), None);
    assert!(accounts.find_by_username("alice").await.unwrap().is_some());
}

async fn of_many_accounts_with_one_name_in_different_case_one_is_created(
    accounts: Arc<impl Accounts + 'static>,
) {
    let outcomes = in_parallel(16, |number| {
        let accounts = accounts.clone();
        let name = if number % 2 == 0 { "alice" } else { "ALICE" };
        async move { accounts.create(&new_account(name)).await }
    })
    .await;

    let created = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let taken = outcomes.iter().filter(|outcome| matches!(outcome, Err(CreateError::UsernameTaken))).count();
    assert_eq!((created, taken), (1, 15));
    assert_eq!(accounts.list(None, 10).await.unwrap().len(), 1);
}

async fn accounts_are_listed_by_name_page_by_page(accounts: Arc<impl Accounts>) {
    for name in ["dora", "Bob", "alice", "Carol", "a_b"] {
        create(&*accounts, name).await;
    }
    let names = |page: Vec<Account>| page.into_iter().map(|account| account.username).collect::<Vec<_>>();

    let first = names(accounts.list(None, 2).await.unwrap());
    let second = names(accounts.list(Some("ALICE"), 2).await.unwrap());
    let rest = names(accounts.list(Some("carol"), 10).await.unwrap());

    assert_eq!(first, ["a_b", "alice"]);
    assert_eq!(second, ["Bob", "Carol"]);
    assert_eq!(rest, ["dora"]);
}

async fn new_roles_replace_the_old_ones_and_raise_the_version(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;
    let later = now();
    let roles = ["admin".to_owned(), "audit:read".to_owned()];

    let changed = accounts.set_roles(alice.id, &roles, later).await.unwrap();

    let expected = Account { roles: roles.to_vec(), version: 2, updated_at: later, ..alice.clone() };
    assert_eq!(changed, Some(expected.clone()));
    assert_eq!(accounts.find_by_id(alice.id).await.unwrap(), Some(expected));
    assert_eq!(accounts.set_roles(Uuid::now_v7(), &roles, later).await.unwrap(), None);
}

async fn disabling_and_enabling_raise_the_version(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;

    let disabled = accounts.set_disabled(alice.id, true, now()).await.unwrap().expect("it exists");
    let enabled = accounts.set_disabled(alice.id, false, now()).await.unwrap().expect("it exists");

    assert_eq!((disabled.disabled, disabled.version), (true, 2));
    assert_eq!((enabled.disabled, enabled.version), (false, 3));
    assert_eq!(accounts.set_disabled(Uuid::now_v7(), true, now()).await.unwrap(), None);
}

async fn parallel_changes_all_raise_the_version(accounts: Arc<impl Accounts + 'static>) {
    let alice = create(&*accounts, "alice").await;

    in_parallel(10, |_| {
        let accounts = accounts.clone();
        async move { accounts.set_roles(alice.id, &[], now()).await.unwrap() }
    })
    .await;

    let changed = accounts.find_by_id(alice.id).await.unwrap().expect("it exists");
    assert_eq!(changed.version, 11);
}

async fn of_two_hash_upgrades_one_wins_and_the_version_stays(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;

    let first = accounts.upgrade_hash(alice.id, "$argon2id$old", "$argon2id$new", now()).await.unwrap();
    let second = accounts.upgrade_hash(alice.id, "$argon2id$old", "$argon2id$other", now()).await.unwrap();

    let upgraded = accounts.find_by_id(alice.id).await.unwrap().expect("it exists");
    assert_eq!((first, second), (true, false));
    assert_eq!((upgraded.password_hash.as_str(), upgraded.version), ("$argon2id$new", 1));
}

async fn a_deleted_account_is_gone_and_its_name_is_free(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;

    assert!(accounts.delete(alice.id).await.unwrap());

    assert!(!accounts.delete(alice.id).await.unwrap());
    assert_eq!(accounts.find_by_id(alice.id).await.unwrap(), None);
    create(&*accounts, "ALICE").await;
}

async fn an_open_store_answers_pings(accounts: Arc<impl Accounts>) {
    accounts.ping().await.expect("the store is open");
}
