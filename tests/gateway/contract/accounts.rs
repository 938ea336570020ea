//! What every `Accounts` promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::store::{
    Account, AccountFilter, Accounts, AddressState, AuditEvent, AuditFilter, AuditLog, AuditRecord,
    CreateError, ImportedAccount, NewAccount,
};
use uuid::Uuid;

use super::{contract, in_parallel, now};

contract!([postgres_users, sqlite_users] {
    a_new_account_is_found_by_id_and_by_name_in_any_case
    an_unknown_account_is_none_however_odd_its_name
    of_many_accounts_with_one_name_in_different_case_one_is_created
    accounts_are_listed_by_name_page_by_page
    accounts_are_found_by_what_their_names_begin_with
    accounts_are_found_by_their_roles
    accounts_are_found_by_addresses_that_are_confirmed_and_that_are_not
    a_deleted_account_is_gone_and_its_name_stays_reserved
    a_former_name_is_for_its_account_alone_until_it_is_freed
    of_all_who_want_the_name_of_an_account_that_gives_it_up_nobody_gets_it
    an_import_adds_all_or_none
    an_open_store_answers_pings
});

pub(super) fn new_account(username: &str) -> NewAccount {
    NewAccount {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        email: Some(format!("{username}@example.com")),
        email_verified: true,
        must_confirm_email: false,
        password_hash: "$argon2id$old".to_owned(),
        roles: vec!["user".to_owned()],
        created_at: now(),
    }
}

/// What goes into the audit log with a change.
pub(super) fn note(event: AuditEvent, username: &str) -> AuditRecord {
    super::audit::record(event, username)
}

/// An account that no store has.
pub(super) fn unknown() -> Account {
    let NewAccount {
        id,
        username,
        email,
        email_verified,
        must_confirm_email,
        password_hash,
        roles,
        created_at,
    } = new_account("nobody");
    Account {
        id,
        username,
        email,
        email_verified,
        pending_email: None,
        must_confirm_email,
        has_second_factor: false,
        password_hash,
        roles,
        version: 1,
        credentials: 1,
        disabled: false,
        created_at,
        updated_at: created_at,
    }
}

pub(super) async fn create(accounts: &impl Accounts, username: &str) -> Account {
    accounts
        .create(&new_account(username), &note(AuditEvent::Registered, username))
        .await
        .expect("the name is free")
}

async fn a_new_account_is_found_by_id_and_by_name_in_any_case(accounts: Arc<impl Accounts>) {
    let new = new_account("Alice");
    let expected = Account {
        id: new.id,
        username: "Alice".to_owned(),
        email: new.email.clone(),
        email_verified: true,
        pending_email: None,
        must_confirm_email: false,
        has_second_factor: false,
        password_hash: new.password_hash.clone(),
        roles: new.roles.clone(),
        version: 1,
        credentials: 1,
        disabled: false,
        created_at: new.created_at,
        updated_at: new.created_at,
    };

    let created =
        accounts.create(&new, &note(AuditEvent::Registered, "Alice")).await.expect("the name is free");

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
        async move { accounts.create(&new_account(name), &note(AuditEvent::Registered, name)).await }
    })
    .await;

    let created = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let taken = outcomes.iter().filter(|outcome| matches!(outcome, Err(CreateError::UsernameTaken))).count();
    assert_eq!((created, taken), (1, 15));
    assert_eq!(accounts.list(AccountFilter::default(), 10).await.unwrap().len(), 1);
}

async fn an_import_adds_all_or_none(accounts: Arc<impl Accounts + AuditLog>) {
    create(&*accounts, "Alice").await;
    let row = |name: &str| ImportedAccount {
        account: new_account(name),
        disabled: name == "bob",
        sealed_secret: (name == "bob").then(|| b"sealed".to_vec()),
        note: note(AuditEvent::Imported, name),
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let recorded = async || {
        let filter = AuditFilter { event: Some(AuditEvent::Imported), ..AuditFilter::default() };
        accounts.find(&filter, 10).await.unwrap().len()
    };

    let written = AtomicUsize::new(0);
    let progress = |rows| written.store(rows, Ordering::Relaxed);
    let refused = accounts.import(&[row("bob"), row("ALICE"), row("carol")], &progress).await;

    assert!(matches!(refused, Err(CreateError::UsernameTaken)), "{refused:?}");
    assert_eq!(accounts.taken(&names(&["alice", "bob", "a\0b"])).await.unwrap(), ["alice"]);
    assert_eq!(recorded().await, 0);
    accounts.import(&[row("bob"), row("carol")], &progress).await.expect("both names are free");
    assert_eq!(written.load(Ordering::Relaxed), 2);
    let mut taken = accounts.taken(&names(&["bob", "carol", "dora"])).await.unwrap();
    taken.sort();
    assert_eq!((taken, recorded().await), (names(&["bob", "carol"]), 2));
    let bob = accounts.find_by_username("bob").await.unwrap().expect("it was added");
    assert_eq!((bob.disabled, bob.version, bob.password_hash.as_str()), (true, 1, "$argon2id$old"));
    let carol = accounts.find_by_username("carol").await.unwrap().expect("she was added");
    assert!(!carol.disabled);
    assert_eq!((bob.has_second_factor, carol.has_second_factor), (true, false));
    assert_eq!(accounts.known_ids(&[bob.id, Uuid::now_v7()]).await.unwrap(), [bob.id]);
}

async fn accounts_are_listed_by_name_page_by_page(accounts: Arc<impl Accounts>) {
    for name in ["dora", "Bob", "alice", "Carol", "a_b"] {
        create(&*accounts, name).await;
    }
    let names = |page: Vec<Account>| page.into_iter().map(|account| account.username).collect::<Vec<_>>();

    let first = names(accounts.list(AccountFilter::default(), 2).await.unwrap());
    let second = names(accounts.list(AccountFilter { after: Some("ALICE"), prefix: None }, 2).await.unwrap());
    let rest = names(accounts.list(AccountFilter { after: Some("carol"), prefix: None }, 10).await.unwrap());

    assert_eq!(first, ["a_b", "alice"]);
    assert_eq!(second, ["Bob", "Carol"]);
    assert_eq!(rest, ["dora"]);
}

async fn a_deleted_account_is_gone_and_its_name_stays_reserved(accounts: Arc<impl Accounts>) {
    let alice = create(&*accounts, "alice").await;

    assert!(accounts.delete(&alice, &note(AuditEvent::Deleted, "alice")).await.unwrap());

    assert!(!accounts.delete(&alice, &note(AuditEvent::Deleted, "alice")).await.unwrap());
    assert_eq!(accounts.find_by_id(alice.id).await.unwrap(), None);
    let wanted = accounts.create(&new_account("ALICE"), &note(AuditEvent::Registered, "ALICE")).await;
    assert!(matches!(wanted, Err(CreateError::UsernameReserved)), "{wanted:?}");
    assert_eq!(accounts.taken(&["alice".to_owned(), "bob".to_owned()]).await.unwrap(), ["alice"]);
}

async fn a_former_name_is_for_its_account_alone_until_it_is_freed(accounts: Arc<impl Accounts + AuditLog>) {
    let (alice, bob) = (create(&*accounts, "Alice").await, create(&*accounts, "bob").await);
    let rename = async |account: &Account, name: &str| {
        let record = note(AuditEvent::ProfileChanged, name);
        let renamed = accounts.set_profile(account, name, None, None, now(), &record).await;
        renamed.map(|renamed| renamed.expect("it exists"))
    };
    let alicia = rename(&alice, "alicia").await.unwrap();

    assert!(matches!(rename(&bob, "ALICE").await, Err(CreateError::UsernameReserved)));
    assert_eq!(accounts.find_by_id(bob.id).await.unwrap(), Some(bob.clone()), "nothing was changed");
    let imported = ImportedAccount {
        account: new_account("alice"),
        disabled: false,
        sealed_secret: None,
        note: note(AuditEvent::Imported, "alice"),
    };
    let import = accounts.import(&[imported], &|_| ()).await;
    assert!(matches!(import, Err(CreateError::UsernameReserved)), "{import:?}");
    let former = accounts.former_names(None, 10).await.unwrap();
    let names: Vec<_> = former.iter().map(|name| (name.username.as_str(), name.user_id)).collect();
    assert_eq!(names, [("Alice", alice.id)]);

    let alice = rename(&alicia, "ALICE").await.unwrap();
    let former = accounts.former_names(None, 10).await.unwrap();
    assert_eq!(former.iter().map(|name| name.username.as_str()).collect::<Vec<_>>(), ["alicia"]);
    assert_eq!(accounts.former_names(Some("alicia"), 10).await.unwrap(), []);
    rename(&alice, "Alice").await.unwrap();

    let freed = note(AuditEvent::NameFreed, "alicia");
    assert!(!accounts.free_name("alice", &freed).await.unwrap(), "she has it");
    assert!(accounts.free_name("ALICIA", &freed).await.unwrap());
    assert!(!accounts.free_name("alicia", &freed).await.unwrap());
    rename(&bob, "alicia").await.unwrap();
    let entries = accounts.find(&AuditFilter::default(), 100).await.unwrap();
    let events = entries.iter().filter(|entry| entry.record.event == AuditEvent::NameFreed);
    assert_eq!(events.count(), 1);
}

async fn of_all_who_want_the_name_of_an_account_that_gives_it_up_nobody_gets_it(
    accounts: Arc<impl Accounts + 'static>,
) {
    for (round, gives_up_by_deletion) in [true, false].into_iter().enumerate() {
        let name = format!("alice{round}");
        let alice = create(&*accounts, &name).await;

        let outcomes = in_parallel(16, |number| {
            let (accounts, alice, name) = (accounts.clone(), alice.clone(), name.clone());
            async move {
                let record = note(AuditEvent::Registered, &name);
                if number != 7 {
                    return accounts.create(&new_account(&name), &record).await.is_ok();
                }
                match gives_up_by_deletion {
                    true => assert!(accounts.delete(&alice, &record).await.unwrap()),
                    false => {
                        let renamed =
                            accounts.set_profile(&alice, "alicia", None, None, now(), &record).await;
                        assert!(renamed.unwrap().is_some());
                    }
                }
                false
            }
        })
        .await;

        assert!(!outcomes.contains(&true), "{outcomes:?}");
        assert_eq!(accounts.find_by_username(&name).await.unwrap(), None);
    }
}

async fn an_open_store_answers_pings(accounts: Arc<impl Accounts>) {
    accounts.ping().await.expect("the store is open");
}

async fn accounts_are_found_by_what_their_names_begin_with(accounts: Arc<impl Accounts>) {
    for name in ["al", "Alice", "alicia", "ALIX", "bob", "a_lice", "alice@example.org"] {
        create(&*accounts, name).await;
    }
    let search = async |prefix: &'static str, after: Option<&'static str>, limit: u32| {
        let filter = AccountFilter { prefix: Some(prefix), after };
        let page = accounts.list(filter, limit).await.unwrap();
        page.into_iter().map(|account| account.username).collect::<Vec<_>>()
    };

    assert_eq!(search("ALI", None, 10).await, ["Alice", "alice@example.org", "alicia", "ALIX"]);
    assert_eq!(search("ali", Some("alice"), 2).await, ["alice@example.org", "alicia"]);
    assert_eq!(search("a_", None, 10).await, ["a_lice"]);
    assert_eq!(search("", None, 10).await.len(), 7);
    for odd in ["%", "\\", "\0", "' OR 1=1 --", "\u{10ffff}"] {
        assert_eq!(search(odd, None, 10).await, Vec::<String>::new(), "{odd:?}");
    }
}

async fn accounts_are_found_by_their_roles(accounts: Arc<impl Accounts>) {
    let of = |username: &str, roles: &[&str]| NewAccount {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..new_account(username)
    };
    for new in [of("a", &["user", "operator"]), of("b", &["user"]), of("c", &["chief"]), of("d", &["chiefs"])]
    {
        accounts.create(&new, &note(AuditEvent::Registered, &new.username)).await.expect("the name is free");
    }

    let found = async |roles: &[&str], limit| {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let found = accounts.find_by_roles(&roles, limit).await.unwrap();
        found.into_iter().map(|account| account.username).collect::<Vec<_>>()
    };
    assert_eq!(found(&["operator", "chief"], 10).await, ["a", "c"]);
    assert_eq!(found(&["operator", "chief", "user"], 2).await, ["a", "b"]);
    assert_eq!(found(&["nobody", "%", "operator\""], 10).await, [""; 0]);
    assert_eq!(found(&[], 10).await, [""; 0]);
}

async fn accounts_are_found_by_addresses_that_are_confirmed_and_that_are_not(accounts: Arc<impl Accounts>) {
    let record = note(AuditEvent::Registered, "anyone");
    let mut ids = Vec::new();
    for (username, email_verified) in [("squatter", false), ("owner", true), ("mover", true)] {
        let email = Some(format!("{}@x.org", if username == "mover" { "former" } else { "Shared" }));
        let new = NewAccount { email, email_verified, ..new_account(username) };
        ids.push(accounts.create(&new, &record).await.expect("the name is free").id);
    }
    let [squatter, owner, mover] = ids[..] else { panic!("three were made") };
    let moving = accounts.find_by_id(mover).await.unwrap().expect("it exists");
    accounts.set_profile(&moving, "mover", Some("sharED@x.org"), None, now(), &record).await.unwrap();

    let found = async |email: &str, state: AddressState, limit: u32| {
        let found = accounts.find_by_email(email, state, limit).await.unwrap();
        found.into_iter().map(|account| account.id).collect::<Vec<_>>()
    };
    assert_eq!(found("SHARED@x.org", AddressState::Confirmed, 10).await, [owner]);
    assert_eq!(found("SHARED@x.org", AddressState::Unconfirmed, 10).await, [mover, squatter]);
    assert_eq!(found("shared@x.org", AddressState::Unconfirmed, 1).await, [mover]);
    assert_eq!(found("former@x.org", AddressState::Confirmed, 10).await, [mover]);
    assert_eq!(found("former@x.org", AddressState::Unconfirmed, 10).await, [] as [Uuid; 0]);
}
