//! What every `SecondFactors` promises.

use std::sync::Arc;

use portcullis::store::{
    Account, Accounts, AuditEvent, AuditFilter, AuditLog, CodeHash, SecondFactor, SecondFactors,
};
use uuid::Uuid;

use super::accounts::{new_account, note};
use super::{contract, in_parallel, now};

contract!([postgres_users, sqlite_users] {
    a_factor_counts_once_it_is_confirmed
    only_the_secret_whose_code_was_shown_is_confirmed
    no_step_is_used_twice_nor_one_before_it
    of_many_who_use_a_step_at_once_one_succeeds
    recovery_codes_work_once_each_and_are_replaced_all_together
    a_removed_factor_is_gone_and_raises_the_version
    nothing_changes_the_factor_of_an_account_that_changed_meanwhile
    factors_go_with_their_account
    factors_and_their_records_are_written_together_or_not_at_all
});

const CODES: [CodeHash; 2] = [[1; 32], [2; 32]];

async fn account(store: &impl Accounts) -> Account {
    let name = "alice";
    store.create(&new_account(name), &note(AuditEvent::Registered, name)).await.expect("the name is free")
}

async fn enrolled(store: &(impl Accounts + SecondFactors)) -> Account {
    let alice = account(store).await;
    assert!(store.begin(&alice, b"sealed").await.unwrap());
    let record = note(AuditEvent::SecondFactorEnabled, "alice");
    store.confirm(&alice, b"sealed", 100, &CODES, now(), &record).await.unwrap().expect("it was begun")
}

async fn a_factor_counts_once_it_is_confirmed(store: Arc<impl Accounts + SecondFactors>) {
    let alice = account(&*store).await;
    assert_eq!(SecondFactors::find(&*store, alice.id).await.unwrap(), None);

    assert!(store.begin(&alice, b"first").await.unwrap());
    assert!(store.begin(&alice, b"second").await.unwrap(), "another try takes its place");
    let pending = SecondFactor { sealed_secret: b"second".to_vec(), is_confirmed: false, recovery_codes: 0 };
    assert_eq!(SecondFactors::find(&*store, alice.id).await.unwrap(), Some(pending.clone()));
    assert!(!store.use_step(alice.id, 100).await.unwrap());
    assert!(!store.find_by_id(alice.id).await.unwrap().unwrap().has_second_factor);

    let record = note(AuditEvent::SecondFactorEnabled, "alice");
    let confirmed = store.confirm(&alice, b"second", 100, &CODES, now(), &record).await.unwrap();

    let confirmed = confirmed.expect("it was begun");
    assert!(confirmed.has_second_factor);
    let raised = (confirmed.version, confirmed.credentials);
    assert_eq!(raised, (alice.version + 1, alice.credentials + 1), "what was begun without it is void");
    let factor = SecondFactor { is_confirmed: true, recovery_codes: 2, ..pending };
    assert_eq!(SecondFactors::find(&*store, alice.id).await.unwrap(), Some(factor));
    assert!(!store.begin(&confirmed, b"third").await.unwrap(), "there is one already");
    assert!(
        !store.begin(&Account { id: Uuid::now_v7(), ..confirmed.clone() }, b"x").await.unwrap(),
        "nobody's"
    );
}

async fn only_the_secret_whose_code_was_shown_is_confirmed(store: Arc<impl Accounts + SecondFactors>) {
    let alice = account(&*store).await;
    store.begin(&alice, b"mine").await.unwrap();
    store.begin(&alice, b"another's").await.unwrap();
    let record = note(AuditEvent::SecondFactorEnabled, "alice");

    assert_eq!(store.confirm(&alice, b"mine", 1, &CODES, now(), &record).await.unwrap(), None);
    assert!(!store.find_by_id(alice.id).await.unwrap().unwrap().has_second_factor);
}

async fn no_step_is_used_twice_nor_one_before_it(store: Arc<impl Accounts + SecondFactors>) {
    let alice = enrolled(&*store).await;

    let mut used = Vec::new();
    for step in [100, 99, 101, 101, 100, 102] {
        used.push(store.use_step(alice.id, step).await.unwrap());
    }

    assert_eq!(used, [false, false, true, false, false, true]);
    assert!(!store.use_step(Uuid::now_v7(), 200).await.unwrap());
}

async fn of_many_who_use_a_step_at_once_one_succeeds(store: Arc<impl Accounts + SecondFactors + 'static>) {
    let alice = enrolled(&*store).await;

    let used = in_parallel(16, |number| {
        let store = store.clone();
        async move {
            match number % 2 {
                0 => (0, store.use_step(alice.id, 101).await.unwrap()),
                _ => (1, store.use_code(alice.id, &CODES[0]).await.unwrap()),
            }
        }
    })
    .await;

    for kind in [0, 1] {
        assert_eq!(used.iter().filter(|used| **used == (kind, true)).count(), 1);
    }
}

async fn recovery_codes_work_once_each_and_are_replaced_all_together(
    store: Arc<impl Accounts + SecondFactors>,
) {
    let alice = enrolled(&*store).await;
    let record = note(AuditEvent::RecoveryCodesRenewed, "alice");

    assert!(store.use_code(alice.id, &CODES[0]).await.unwrap());
    assert!(!store.use_code(alice.id, &CODES[0]).await.unwrap());
    assert!(!store.use_code(alice.id, &[9; 32]).await.unwrap());
    assert!(!store.use_code(Uuid::now_v7(), &CODES[1]).await.unwrap());
    assert!(store.replace_codes(&alice, &[[3; 32], [4; 32], [5; 32]], &record).await.unwrap());

    assert!(!store.use_code(alice.id, &CODES[1]).await.unwrap());
    assert!(store.use_code(alice.id, &[3; 32]).await.unwrap());
    assert_eq!(SecondFactors::find(&*store, alice.id).await.unwrap().unwrap().recovery_codes, 2);
    assert!(!store.replace_codes(&Account { id: Uuid::now_v7(), ..alice }, &CODES, &record).await.unwrap());
}

async fn a_removed_factor_is_gone_and_raises_the_version(store: Arc<impl Accounts + SecondFactors>) {
    let alice = enrolled(&*store).await;
    let record = note(AuditEvent::SecondFactorReset, "alice");
    store.reseal(alice.id, b"other", b"never").await.unwrap();
    store.reseal(alice.id, b"sealed", b"anew").await.unwrap();
    assert_eq!(SecondFactors::find(&*store, alice.id).await.unwrap().unwrap().sealed_secret, b"anew");

    let removed = store.remove(&alice, now(), &record).await.unwrap().expect("there was one");

    assert_eq!((removed.has_second_factor, removed.version), (false, alice.version + 1));
    assert_eq!(removed.credentials, alice.credentials + 1);
    assert_eq!(SecondFactors::find(&*store, alice.id).await.unwrap(), None);
    assert!(!store.use_code(alice.id, &CODES[0]).await.unwrap());
    assert_eq!(store.remove(&removed, now(), &record).await.unwrap(), None);
    assert!(store.begin(&removed, b"next").await.unwrap());
    assert_eq!(store.remove(&removed, now(), &record).await.unwrap(), None, "an unconfirmed one is none");
    assert_eq!(store.find_by_id(alice.id).await.unwrap(), Some(removed));
}

async fn nothing_changes_the_factor_of_an_account_that_changed_meanwhile(
    store: Arc<impl Accounts + SecondFactors>,
) {
    let seen = account(&*store).await;
    let record = note(AuditEvent::PasswordChanged, "alice");
    assert!(store.begin(&seen, b"sealed").await.unwrap());
    let alice = store.set_password(&seen, "$argon2id$new", now(), &record).await.unwrap().unwrap();

    assert!(!store.begin(&seen, b"another's").await.unwrap());
    assert_eq!(store.confirm(&seen, b"sealed", 100, &CODES, now(), &record).await.unwrap(), None);
    assert_eq!(store.find_by_id(seen.id).await.unwrap(), Some(alice.clone()));
    // Begun under the older password, it is never confirmed.
    assert_eq!(store.confirm(&alice, b"sealed", 100, &CODES, now(), &record).await.unwrap(), None);
    assert_eq!(store.find_by_id(seen.id).await.unwrap(), Some(alice.clone()));
    assert!(store.begin(&alice, b"sealed").await.unwrap());
    let alice = store.confirm(&alice, b"sealed", 100, &CODES, now(), &record).await.unwrap().unwrap();
    assert!(!store.replace_codes(&seen, &[[3; 32]], &record).await.unwrap());
    assert_eq!(store.remove(&seen, now(), &record).await.unwrap(), None);

    let factor = SecondFactors::find(&*store, seen.id).await.unwrap().expect("it was confirmed");
    assert_eq!((factor.is_confirmed, factor.recovery_codes), (true, 2));
    assert_eq!(store.find_by_id(seen.id).await.unwrap(), Some(alice));
}

async fn factors_go_with_their_account(store: Arc<impl Accounts + SecondFactors>) {
    let alice = enrolled(&*store).await;

    Accounts::delete(&*store, &alice, &note(AuditEvent::Deleted, "alice")).await.unwrap();

    assert_eq!(SecondFactors::find(&*store, alice.id).await.unwrap(), None);
    assert!(!store.use_code(alice.id, &CODES[0]).await.unwrap());
}

async fn factors_and_their_records_are_written_together_or_not_at_all(
    store: Arc<impl Accounts + SecondFactors + AuditLog>,
) {
    let alice = enrolled(&*store).await;
    let reset = note(AuditEvent::SecondFactorReset, "alice");
    let enabled = note(AuditEvent::SecondFactorEnabled, "alice");
    store.confirm(&alice, b"sealed", 100, &CODES, now(), &enabled).await.unwrap();
    store.remove(&alice, now(), &reset).await.unwrap();
    store.remove(&alice, now(), &reset).await.unwrap();
    store.replace_codes(&alice, &CODES, &note(AuditEvent::RecoveryCodesRenewed, "alice")).await.unwrap();

    let entries = AuditLog::find(&*store, &AuditFilter::default(), 10).await.unwrap();
    let events: Vec<_> = entries.iter().map(|entry| entry.record.event).collect();
    assert_eq!(
        events,
        [AuditEvent::SecondFactorReset, AuditEvent::SecondFactorEnabled, AuditEvent::Registered]
    );
}
