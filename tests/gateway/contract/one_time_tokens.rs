//! What every `OneTimeTokens` promises.

use std::sync::Arc;
use std::time::Duration;

use portcullis::store::{
    Account, Accounts, AuditEvent, AuditFilter, AuditLog, NewAccount, OneTimeToken, OneTimeTokens, Purpose,
};
use uuid::Uuid;

use super::accounts::{new_account, note};
use super::{HOUR, MINUTE, contract, in_parallel, now};

contract!([postgres_users, sqlite_users] {
    a_token_is_good_for_its_purpose_until_it_expires
    of_many_who_redeem_a_token_at_once_one_succeeds
    a_token_is_void_once_the_account_has_changed
    a_verified_address_stays_until_another_is_confirmed
    an_address_is_confirmed_only_while_the_account_has_it
    a_password_is_reset_by_a_confirmed_address_only
    a_password_is_reset_once_and_voids_the_other_tokens
    tokens_and_records_are_written_together_or_not_at_all
    mails_are_counted_by_account_and_by_address
    mails_of_owners_and_for_a_new_password_are_counted_apart
    of_many_mails_at_once_no_more_than_allowed_are_kept
});

const FIVE: (u32, Duration) = (5, HOUR);

async fn account(store: &impl Accounts, username: &str) -> Account {
    let new = NewAccount { email_verified: false, ..new_account(username) };
    store.create(&new, &note(AuditEvent::Registered, username)).await.expect("the name is free")
}

/// With a hash of its own.
fn token_for(account: &Account, purpose: Purpose) -> OneTimeToken {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    let mailed = purpose != Purpose::SecondFactor;
    OneTimeToken {
        hash,
        purpose,
        user_id: account.id,
        address: account.email.clone().filter(|_| mailed),
        version: (purpose != Purpose::VerifyEmail).then_some(account.version),
        created_at: now(),
        expires_at: now() + HOUR,
    }
}

async fn confirm(store: &impl OneTimeTokens, account: &Account) {
    let token = kept(store, account, Purpose::VerifyEmail).await;
    let verified = store.verify_email(&token.hash, now(), &note(AuditEvent::EmailVerified, "x")).await;
    assert!(verified.unwrap().is_some());
}

async fn kept(store: &impl OneTimeTokens, account: &Account, purpose: Purpose) -> OneTimeToken {
    let token = token_for(account, purpose);
    assert!(store.keep(&token, FIVE).await.unwrap());
    token
}

async fn is_good(store: &impl OneTimeTokens, token: &OneTimeToken) -> bool {
    store.owner(&token.hash, token.purpose, now()).await.unwrap().is_some()
}

async fn a_token_is_good_for_its_purpose_until_it_expires(store: Arc<impl Accounts + OneTimeTokens>) {
    let alice = account(&*store, "alice").await;
    let token = kept(&*store, &alice, Purpose::SecondFactor).await;

    assert_eq!(store.owner(&token.hash, Purpose::SecondFactor, now()).await.unwrap(), Some(alice.clone()));
    for (hash, purpose, at) in [
        (&token.hash, Purpose::ResetPassword, now()),
        (&token.hash, Purpose::SecondFactor, token.expires_at),
        (&[7; 32], Purpose::SecondFactor, now()),
    ] {
        assert_eq!(store.owner(hash, purpose, at).await.unwrap(), None);
        assert!(!store.redeem(hash, purpose, at).await.unwrap());
    }
    assert!(store.redeem(&token.hash, Purpose::SecondFactor, now()).await.unwrap());
    assert!(!is_good(&*store, &token).await);
    assert!(!store.redeem(&token.hash, Purpose::SecondFactor, now()).await.unwrap());

    let left = kept(&*store, &alice, Purpose::SecondFactor).await;
    store.delete(&alice, &note(AuditEvent::Deleted, "alice")).await.unwrap();
    assert!(!is_good(&*store, &left).await);
    let late = OneTimeToken { hash: [9; 32], ..left };
    assert!(!store.keep(&late, FIVE).await.unwrap(), "nobody owns it");
}

async fn of_many_who_redeem_a_token_at_once_one_succeeds(
    store: Arc<impl Accounts + OneTimeTokens + 'static>,
) {
    let alice = account(&*store, "alice").await;
    confirm(&*store, &alice).await;
    let login = kept(&*store, &alice, Purpose::SecondFactor).await;
    let reset = kept(&*store, &alice, Purpose::ResetPassword).await;

    let redeemed = in_parallel(16, |_| {
        let (store, hash) = (store.clone(), login.hash);
        async move { store.redeem(&hash, Purpose::SecondFactor, now()).await.unwrap() }
    });
    assert_eq!(redeemed.await.into_iter().filter(|redeemed| *redeemed).count(), 1);
    let changed = in_parallel(16, |number| {
        let (store, hash) = (store.clone(), reset.hash);
        let note = note(AuditEvent::PasswordReset, "alice");
        async move { store.reset_password(&hash, &format!("$argon2id${number}"), now(), &note).await.unwrap() }
    })
    .await;

    let winners: Vec<_> = changed.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.find_by_id(alice.id).await.unwrap(), Some(winners[0].clone()));
}

async fn a_token_is_void_once_the_account_has_changed(store: Arc<impl Accounts + OneTimeTokens>) {
    let alice = account(&*store, "alice").await;
    confirm(&*store, &alice).await;
    let record = note(AuditEvent::RolesChanged, "alice");

    let (reset, verify) = (
        kept(&*store, &alice, Purpose::ResetPassword).await,
        kept(&*store, &alice, Purpose::VerifyEmail).await,
    );
    let alice = store.set_roles(&alice, &["editor".to_owned()], now(), &record).await.unwrap().unwrap();
    assert!(!is_good(&*store, &reset).await, "of another version");
    assert!(is_good(&*store, &verify).await);
    let alice = store.set_disabled(&alice, true, now(), &record).await.unwrap().unwrap();
    assert!(!is_good(&*store, &verify).await, "while it is disabled");
    let alice = store.set_disabled(&alice, false, now(), &record).await.unwrap().unwrap();
    assert!(is_good(&*store, &verify).await);
    store.set_profile(&alice, "alice", None, None, now(), &record).await.unwrap().unwrap();
    assert!(!is_good(&*store, &verify).await, "the address is gone");
    assert!(store.verify_email(&verify.hash, now(), &record).await.unwrap().is_none());
}

async fn a_verified_address_stays_until_another_is_confirmed(store: Arc<impl Accounts + OneTimeTokens>) {
    let alice = account(&*store, "alice").await;
    assert!(!alice.email_verified);
    let record = note(AuditEvent::EmailVerified, "alice");
    let give = async |email: &str| {
        let current = store.find_by_id(alice.id).await.unwrap().expect("it exists");
        let given = store.set_profile(&current, "alice", Some(email), None, now(), &record).await.unwrap();
        given.expect("nobody else changes it")
    };
    // Mail is sent to the address in lower case.
    give("Alice@Example.com").await;
    let token = kept(&*store, &alice, Purpose::VerifyEmail).await;

    let verified = store.verify_email(&token.hash, now(), &record).await.unwrap().expect("it is good");

    assert_eq!(verified.confirmed_email(), Some("Alice@Example.com"));
    assert_eq!(verified.version, 2, "nobody's tokens are void");
    assert!(store.verify_email(&token.hash, now(), &record).await.unwrap().is_none());

    let moving = give("New@Example.com").await;
    assert_eq!(moving.confirmed_email(), Some("Alice@Example.com"));
    let token = OneTimeToken {
        address: Some("new@example.com".to_owned()),
        ..token_for(&moving, Purpose::VerifyEmail)
    };
    assert!(store.keep(&token, FIVE).await.unwrap());
    let moved = store.verify_email(&token.hash, now(), &record).await.unwrap().expect("it is good");
    assert_eq!((moved.confirmed_email(), moved.pending_email.as_deref()), (Some("New@Example.com"), None));
    assert_eq!(moved.version, moving.version + 1, "tokens that tell the former address are void");
    assert_eq!(store.find_by_id(alice.id).await.unwrap(), Some(moved));
}

async fn an_address_is_confirmed_only_while_the_account_has_it(store: Arc<impl Accounts + OneTimeTokens>) {
    let new = NewAccount { must_confirm_email: true, ..new_account("alice") };
    let new = NewAccount { email_verified: false, ..new };
    let record = note(AuditEvent::EmailVerified, "alice");
    let alice = store.create(&new, &record).await.expect("the name is free");
    let first = kept(&*store, &alice, Purpose::VerifyEmail).await;
    let verified = store.verify_email(&first.hash, now(), &record).await.unwrap().expect("it is good");
    assert!(alice.must_confirm_email && !verified.must_confirm_email);

    let mut current = verified;
    for next in ["b@example.com", "c@example.com", "alice@example.com"] {
        let changed = store.set_profile(&current, "alice", Some(next), None, now(), &record).await.unwrap();
        current = changed.expect("nobody else changes it");
    }
    for given_up in ["b@example.com", "c@example.com"] {
        let address = Some(given_up.to_owned());
        let token = OneTimeToken { address, ..token_for(&alice, Purpose::VerifyEmail) };
        assert!(store.keep(&token, FIVE).await.unwrap());
        assert_eq!(store.verify_email(&token.hash, now(), &record).await.unwrap(), None, "{given_up}");
    }
    let account = store.find_by_id(alice.id).await.unwrap().expect("it exists");
    assert_eq!(account.confirmed_email(), Some("alice@example.com"));
}

async fn a_password_is_reset_by_a_confirmed_address_only(store: Arc<impl Accounts + OneTimeTokens>) {
    let alice = account(&*store, "alice").await;
    let record = note(AuditEvent::PasswordReset, "alice");
    let unconfirmed = kept(&*store, &alice, Purpose::ResetPassword).await;
    assert!(!is_good(&*store, &unconfirmed).await);
    assert_eq!(store.reset_password(&unconfirmed.hash, "$new", now(), &record).await.unwrap(), None);

    confirm(&*store, &alice).await;
    let pending =
        store.set_profile(&alice, "alice", Some("b@example.com"), None, now(), &record).await.unwrap();
    let pending = pending.expect("confirming leaves the version");
    let address = Some("b@example.com".to_owned());
    let to_pending = OneTimeToken { address, ..token_for(&pending, Purpose::ResetPassword) };
    assert!(store.keep(&to_pending, FIVE).await.unwrap());
    assert!(!is_good(&*store, &to_pending).await);
    let good = kept(&*store, &pending, Purpose::ResetPassword).await;
    assert!(is_good(&*store, &good).await);
}

async fn a_password_is_reset_once_and_voids_the_other_tokens(store: Arc<impl Accounts + OneTimeTokens>) {
    let alice = account(&*store, "alice").await;
    confirm(&*store, &alice).await;
    let first = kept(&*store, &alice, Purpose::ResetPassword).await;
    let second = kept(&*store, &alice, Purpose::ResetPassword).await;
    let record = note(AuditEvent::PasswordReset, "alice");

    let changed = store.reset_password(&second.hash, "$argon2id$new", now(), &record).await.unwrap();

    let changed = changed.expect("it is good");
    assert_eq!((changed.password_hash.as_str(), changed.version), ("$argon2id$new", alice.version + 1));
    assert_eq!(changed.credentials, alice.credentials + 1);
    for token in [first, second] {
        assert!(!is_good(&*store, &token).await);
        assert!(store.reset_password(&token.hash, "$other", now(), &record).await.unwrap().is_none());
    }
}

async fn tokens_and_records_are_written_together_or_not_at_all(
    store: Arc<impl Accounts + OneTimeTokens + AuditLog>,
) {
    let alice = account(&*store, "alice").await;
    let verify = kept(&*store, &alice, Purpose::VerifyEmail).await;
    let verified = note(AuditEvent::EmailVerified, "alice");

    store.verify_email(&verify.hash, now(), &verified).await.unwrap();
    store.verify_email(&verify.hash, now(), &verified).await.unwrap();
    store.reset_password(&verify.hash, "$x", now(), &note(AuditEvent::PasswordReset, "alice")).await.unwrap();

    let entries = AuditLog::find(&*store, &AuditFilter::default(), 10).await.unwrap();
    let events: Vec<_> = entries.iter().map(|entry| entry.record.event).collect();
    assert_eq!(events, [AuditEvent::EmailVerified, AuditEvent::Registered]);
}

async fn mails_are_counted_by_account_and_by_address(store: Arc<impl Accounts + OneTimeTokens>) {
    let alice = account(&*store, "alice").await;
    let bob = account(&*store, "bob").await;
    let two = (2, HOUR);
    let mail = |account: &Account, address: &str, ago: Duration| OneTimeToken {
        address: Some(address.to_owned()),
        created_at: now() - ago,
        ..token_for(account, Purpose::VerifyEmail)
    };

    for (allowed, mail) in [
        (true, mail(&alice, "a@example.com", HOUR + MINUTE)),
        (true, mail(&alice, "a@example.com", MINUTE)),
        (true, mail(&bob, "a@example.com", Duration::ZERO)),
        (false, mail(&bob, "a@example.com", Duration::ZERO)),
        (false, mail(&alice, "a@example.com", Duration::ZERO)),
        (true, mail(&alice, "b@example.com", Duration::ZERO)),
        (false, mail(&alice, "c@example.com", Duration::ZERO)),
        (true, mail(&bob, "c@example.com", Duration::ZERO)),
    ] {
        assert_eq!(store.keep(&mail, two).await.unwrap(), allowed, "{mail:?}");
    }
    for _ in 0..4 {
        assert!(store.keep(&token_for(&alice, Purpose::SecondFactor), two).await.unwrap(), "not by mail");
    }
}

async fn mails_of_owners_and_for_a_new_password_are_counted_apart(store: Arc<impl Accounts + OneTimeTokens>) {
    let (owner, two) = (account(&*store, "owner").await, (2, HOUR));
    confirm(&*store, &owner).await;
    let mail = |account: &Account, purpose: Purpose| OneTimeToken {
        address: Some("owner@example.com".to_owned()),
        ..token_for(account, purpose)
    };
    for number in 0..3 {
        let stranger = account(&*store, &format!("stranger{number}")).await;
        let kept = store.keep(&mail(&stranger, Purpose::VerifyEmail), two).await.unwrap();
        assert_eq!(kept, number < 2, "{number}");
    }

    for (allowed, purpose) in [
        (true, Purpose::ResetPassword),
        (true, Purpose::ResetPassword),
        (false, Purpose::ResetPassword),
        (true, Purpose::VerifyEmail),
        (false, Purpose::VerifyEmail),
    ] {
        assert_eq!(store.keep(&mail(&owner, purpose), two).await.unwrap(), allowed, "{purpose:?}");
    }
}

async fn of_many_mails_at_once_no_more_than_allowed_are_kept(
    store: Arc<impl Accounts + OneTimeTokens + 'static>,
) {
    let accounts = [account(&*store, "alice").await, account(&*store, "bob").await];

    let kept = in_parallel(16, |number| {
        let address = Some("shared@example.com".to_owned());
        let token = OneTimeToken { address, ..token_for(&accounts[number % 2], Purpose::VerifyEmail) };
        let store = store.clone();
        async move { store.keep(&token, (3, HOUR)).await.unwrap() }
    })
    .await;

    assert_eq!(kept.into_iter().filter(|kept| *kept).count(), 3);
}
