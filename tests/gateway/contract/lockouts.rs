//! What every `Lockouts` promises.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::Timestamp;
use portcullis::identity::UserId;
use portcullis::store::lockouts::{
    ABANDONED, Begun, Device, Lane, Locks, MOST_ADDRESSES, MOST_IN_A_ROW, Outcome, Remembered, Source, Target,
};
use portcullis::store::{LockoutRule, Lockouts};
use uuid::Uuid;

use super::{MINUTE, contract, in_parallel, now};

contract!([redis_state, cluster_state, sqlite_state] {
    the_last_allowed_failure_locks_once
    attempts_count_before_their_answer_is_known
    an_attempt_that_is_given_back_was_never_made
    failures_while_locked_do_not_prolong_it
    a_lock_is_lifted_by_time_and_counting_starts_anew
    failures_long_ago_are_forgotten
    an_attempt_that_nobody_settles_becomes_a_failure
    clearing_lifts_every_lock_and_count
    targets_are_counted_apart
    a_single_failure_can_lock
    devices_and_addresses_that_signed_in_are_counted_apart_from_strangers
    a_success_ends_the_failures_of_its_own_counter_and_never_those_of_strangers
    an_address_is_known_for_its_time_and_the_newest_ones_only
    a_hundred_failures_in_a_row_lock_everybody_until_a_reset
    a_success_starts_the_failures_in_a_row_anew
    only_the_failures_in_a_row_can_be_forgotten
});

const RULE: LockoutRule = LockoutRule { failures: 3, for_: Duration::from_secs(900) };
const SECOND: Duration = Duration::from_secs(1);
const ALICE: UserId = Uuid::from_u128(0xa);
const RIGHT: Outcome<'static> = Outcome::Right { remember: None };

fn stranger() -> Source {
    at("203.0.113.7")
}

fn at(network: &str) -> Source {
    Source { network: network.to_owned(), device: None }
}

fn on(device: Device) -> Source {
    Source { network: "203.0.113.7".to_owned(), device: Some(device) }
}

async fn begin(lockouts: &impl Lockouts, target: Target<'_>, source: &Source, now: Timestamp) -> Begun {
    lockouts.begin(target, source, RULE, now).await.unwrap()
}

/// An attempt that is settled at once; what it locks.
async fn attempt(
    lockouts: &impl Lockouts,
    target: Target<'_>,
    source: &Source,
    outcome: Outcome<'_>,
    now: Timestamp,
) -> Option<Locks> {
    match begin(lockouts, target, source, now).await {
        Begun::Counted(lane) => lockouts.settle(target, &lane, outcome, RULE, now).await.unwrap(),
        other => panic!("the attempt didn't count: {other:?}"),
    }
}

async fn fail(lockouts: &impl Lockouts, source: &Source, now: Timestamp) -> Option<Locks> {
    attempt(lockouts, Target::Account(ALICE), source, Outcome::Wrong, now).await
}

async fn succeed(lockouts: &impl Lockouts, source: &Source, now: Timestamp) {
    let until = now + MINUTE * (30 * 24 * 60);
    let remember = Some(Remembered { network: &source.network, until });
    attempt(lockouts, Target::Account(ALICE), source, Outcome::Right { remember }, now).await;
}

async fn lock(lockouts: &impl Lockouts, source: &Source, now: Timestamp) {
    for expected in [None, None, Some(Locks::Lane)] {
        assert_eq!(fail(lockouts, source, now).await, expected);
    }
}

async fn the_last_allowed_failure_locks_once(lockouts: Arc<impl Lockouts>) {
    let start = now();

    lock(&*lockouts, &stranger(), start).await;

    let refused = begin(&*lockouts, Target::Account(ALICE), &stranger(), start).await;
    assert_eq!(refused, Begun::Locked(Lane::Strangers, RULE.for_));
    let seen = lockouts.lockouts(&[Uuid::from_u128(1), ALICE], start).await.unwrap();
    assert_eq!((seen[0].strangers, seen[0].owner, seen[0].all), (None, None, false));
    assert_eq!((seen[1].strangers, seen[1].owner, seen[1].all), (Some(start + RULE.for_), None, false));
}

async fn attempts_count_before_their_answer_is_known(lockouts: Arc<impl Lockouts + 'static>) {
    let start = now();
    let counted = lockouts.clone();

    let begun = in_parallel(20, move |_| {
        let lockouts = counted.clone();
        async move { begin(&*lockouts, Target::Account(ALICE), &stranger(), start).await }
    })
    .await;

    let counted = begun.iter().filter(|begun| matches!(begun, Begun::Counted(_))).count();
    assert_eq!(counted, 3, "{begun:?}");
    assert!(begun.iter().all(|begun| !matches!(begun, Begun::Locked(..) | Begun::UntilReset(_))));
    let settled = lockouts.clone();
    let locks = in_parallel(3, move |_| {
        let lockouts = settled.clone();
        async move {
            let target = Target::Account(ALICE);
            lockouts.settle(target, &Lane::Strangers, Outcome::Wrong, RULE, start).await.unwrap()
        }
    })
    .await;
    assert_eq!(locks.iter().filter(|locks| locks.is_some()).count(), 1, "it is told once");
    let refused = begin(&*lockouts, Target::Account(ALICE), &stranger(), start).await;
    assert_eq!(refused, Begun::Locked(Lane::Strangers, RULE.for_));
}

async fn an_attempt_that_is_given_back_was_never_made(lockouts: Arc<impl Lockouts>) {
    let start = now();
    for _ in 0..5 {
        attempt(&*lockouts, Target::Account(ALICE), &stranger(), Outcome::GivenBack, start).await;
    }
    assert!(!lockouts.clear(ALICE).await.unwrap(), "nothing is left of them");
    fail(&*lockouts, &stranger(), start).await;

    attempt(&*lockouts, Target::Account(ALICE), &stranger(), Outcome::GivenBack, start).await;

    assert_eq!(fail(&*lockouts, &stranger(), start).await, None);
    assert_eq!(fail(&*lockouts, &stranger(), start).await, Some(Locks::Lane), "failures stay");
    let target = Target::Account(ALICE);
    let lane = Lane::Strangers;
    assert_eq!(lockouts.settle(target, &lane, Outcome::GivenBack, RULE, start).await.unwrap(), None);
    let refused = begin(&*lockouts, target, &stranger(), start).await;
    assert_eq!(
        refused,
        Begun::Locked(Lane::Strangers, RULE.for_),
        "one that wasn't counted gives nothing back"
    );
}

async fn failures_while_locked_do_not_prolong_it(lockouts: Arc<impl Lockouts>) {
    let start = now();
    lock(&*lockouts, &stranger(), start).await;

    begin(&*lockouts, Target::Account(ALICE), &stranger(), start + MINUTE).await;

    let refused = begin(&*lockouts, Target::Account(ALICE), &stranger(), start + MINUTE).await;
    assert_eq!(refused, Begun::Locked(Lane::Strangers, RULE.for_ - MINUTE));
}

async fn a_lock_is_lifted_by_time_and_counting_starts_anew(lockouts: Arc<impl Lockouts>) {
    let start = now();
    lock(&*lockouts, &stranger(), start).await;
    let end = start + RULE.for_;

    let refused = begin(&*lockouts, Target::Account(ALICE), &stranger(), end - SECOND).await;
    assert_eq!(refused, Begun::Locked(Lane::Strangers, SECOND));
    assert_eq!(lockouts.lockouts(&[ALICE], end).await.unwrap()[0], Default::default());
    lock(&*lockouts, &stranger(), end).await;
}

async fn failures_long_ago_are_forgotten(lockouts: Arc<impl Lockouts>) {
    let start = now();
    fail(&*lockouts, &stranger(), start).await;
    fail(&*lockouts, &stranger(), start + MINUTE).await;

    let at_rest_since = start + MINUTE + RULE.for_;

    assert_eq!(fail(&*lockouts, &stranger(), at_rest_since).await, None);
}

async fn an_attempt_that_nobody_settles_becomes_a_failure(lockouts: Arc<impl Lockouts>) {
    let (start, target) = (now(), Target::Account(ALICE));
    for _ in 0..3 {
        assert_eq!(begin(&*lockouts, target, &stranger(), start).await, Begun::Counted(Lane::Strangers));
    }
    let busy = begin(&*lockouts, target, &stranger(), start + SECOND).await;
    assert_eq!(busy, Begun::Busy(Lane::Strangers, RULE.for_ - SECOND));

    let later = start + ABANDONED + SECOND;

    let left = RULE.for_ - ABANDONED - SECOND;
    assert_eq!(begin(&*lockouts, target, &stranger(), later).await, Begun::Locked(Lane::Strangers, left));
}

async fn clearing_lifts_every_lock_and_count(lockouts: Arc<impl Lockouts>) {
    let (start, device) = (now(), Device::Browser(Uuid::from_u128(1)));
    lock(&*lockouts, &stranger(), start).await;
    lock(&*lockouts, &on(device), start).await;

    assert!(lockouts.clear(ALICE).await.unwrap());

    assert!(!lockouts.clear(ALICE).await.unwrap());
    assert_eq!(lockouts.lockouts(&[ALICE], start).await.unwrap()[0], Default::default());
    lock(&*lockouts, &stranger(), start).await;
    lock(&*lockouts, &on(device), start).await;
}

async fn targets_are_counted_apart(lockouts: Arc<impl Lockouts>) {
    let start = now();
    lock(&*lockouts, &stranger(), start).await;
    let id = ALICE.to_string();

    for other in ["bob", "", "alice*", "a\0lice\r\n", "a}b{c", &id] {
        let target = Target::Unknown(other);
        assert_eq!(attempt(&*lockouts, target, &stranger(), Outcome::Wrong, start).await, None, "{other:?}");
    }
    let bob = Target::Account(Uuid::from_u128(0xb));
    assert_eq!(attempt(&*lockouts, bob, &stranger(), Outcome::Wrong, start).await, None);
}

async fn a_single_failure_can_lock(lockouts: Arc<impl Lockouts>) {
    let (rule, start, target) = (LockoutRule { failures: 1, ..RULE }, now(), Target::Unknown("nobody"));

    let begun = lockouts.begin(target, &stranger(), rule, start).await.unwrap();
    assert_eq!(begun, Begun::Counted(Lane::Strangers));
    let locks = lockouts.settle(target, &Lane::Strangers, Outcome::Wrong, rule, start).await.unwrap();

    assert_eq!(locks, Some(Locks::Lane));
}

async fn devices_and_addresses_that_signed_in_are_counted_apart_from_strangers(lockouts: Arc<impl Lockouts>) {
    let (start, target) = (now(), Target::Account(ALICE));
    let (browser, session) = (Device::Browser(Uuid::from_u128(1)), Device::Session(Uuid::from_u128(1)));
    succeed(&*lockouts, &at("198.51.100.1"), start).await;

    for locked in [stranger(), at("198.51.100.1"), on(browser), on(session)] {
        lock(&*lockouts, &locked, start).await;
    }

    let refused = begin(&*lockouts, target, &at("198.51.100.1"), start).await;
    assert_eq!(refused, Begun::Locked(Lane::Network("198.51.100.1".to_owned()), RULE.for_));
    let refused = begin(&*lockouts, target, &on(session), start).await;
    assert_eq!(refused, Begun::Locked(Lane::Device(session), RULE.for_));
    let seen = lockouts.lockouts(&[ALICE], start).await.unwrap()[0];
    assert_eq!((seen.strangers, seen.owner), (Some(start + RULE.for_), Some(start + RULE.for_)));
    let other = on(Device::Browser(Uuid::from_u128(2)));
    assert_eq!(fail(&*lockouts, &other, start).await, None, "each device on its own");
    let of_bob = begin(&*lockouts, Target::Account(Uuid::from_u128(0xb)), &at("198.51.100.1"), start).await;
    assert_eq!(of_bob, Begun::Counted(Lane::Strangers), "known for one account");
}

async fn a_success_ends_the_failures_of_its_own_counter_and_never_those_of_strangers(
    lockouts: Arc<impl Lockouts>,
) {
    let start = now();
    let home = at("198.51.100.1");
    fail(&*lockouts, &stranger(), start).await;
    succeed(&*lockouts, &home, start).await;
    for _ in 0..2 {
        fail(&*lockouts, &home, start).await;
        fail(&*lockouts, &home, start).await;
        succeed(&*lockouts, &home, start).await;
    }

    assert_eq!(fail(&*lockouts, &stranger(), start).await, None);
    assert_eq!(fail(&*lockouts, &stranger(), start).await, Some(Locks::Lane), "the third of strangers");
}

async fn an_address_is_known_for_its_time_and_the_newest_ones_only(lockouts: Arc<impl Lockouts>) {
    let (start, target) = (now(), Target::Account(ALICE));
    for number in 0..=MOST_ADDRESSES {
        succeed(&*lockouts, &at(&format!("198.51.100.{number}")), start + SECOND * number).await;
    }

    let forgotten = begin(&*lockouts, target, &at("198.51.100.0"), start).await;
    assert_eq!(forgotten, Begun::Counted(Lane::Strangers));
    for number in [1, MOST_ADDRESSES] {
        let network = format!("198.51.100.{number}");
        let known = begin(&*lockouts, target, &at(&network), start).await;
        assert_eq!(known, Begun::Counted(Lane::Network(network)));
    }
    let end = start + SECOND + MINUTE * (30 * 24 * 60);
    assert_eq!(begin(&*lockouts, target, &at("198.51.100.1"), end).await, Begun::Counted(Lane::Strangers));
}

/// Nothing locks before.
async fn fail_in_a_row(lockouts: &impl Lockouts, times: u32, start: Timestamp) -> Timestamp {
    let mut at = start;
    for number in 0..times {
        let source = on(Device::Browser(Uuid::from_u128(u128::from(number / 2))));
        assert_eq!(fail(lockouts, &source, at).await, None, "{number}");
        at += SECOND;
    }
    at
}

async fn a_hundred_failures_in_a_row_lock_everybody_until_a_reset(lockouts: Arc<impl Lockouts>) {
    let at = fail_in_a_row(&*lockouts, MOST_IN_A_ROW - 1, now()).await;
    assert!(!lockouts.lockouts(&[ALICE], at).await.unwrap()[0].all);

    assert_eq!(fail(&*lockouts, &stranger(), at).await, Some(Locks::All));

    let much_later = at + MINUTE * (300 * 24 * 60);
    for (source, lane) in
        [(stranger(), Lane::Strangers), (on(Device::Session(ALICE)), Lane::Device(Device::Session(ALICE)))]
    {
        let refused = begin(&*lockouts, Target::Account(ALICE), &source, much_later).await;
        assert_eq!(refused, Begun::UntilReset(lane));
    }
    assert!(lockouts.lockouts(&[ALICE], much_later).await.unwrap()[0].all);
    assert!(lockouts.clear(ALICE).await.unwrap());
    assert_eq!(fail(&*lockouts, &stranger(), much_later).await, None);
}

async fn a_success_starts_the_failures_in_a_row_anew(lockouts: Arc<impl Lockouts>) {
    let at = fail_in_a_row(&*lockouts, MOST_IN_A_ROW - 1, now()).await;

    attempt(&*lockouts, Target::Account(ALICE), &on(Device::Session(ALICE)), RIGHT, at).await;

    fail_in_a_row(&*lockouts, 1, at + RULE.for_).await;
    assert!(!lockouts.lockouts(&[ALICE], at).await.unwrap()[0].all);
}

async fn only_the_failures_in_a_row_can_be_forgotten(lockouts: Arc<impl Lockouts>) {
    let start = now();
    let at = fail_in_a_row(&*lockouts, MOST_IN_A_ROW - 3, start).await;
    fail(&*lockouts, &stranger(), at).await;
    fail(&*lockouts, &stranger(), at).await;
    assert_eq!(fail(&*lockouts, &stranger(), at).await, Some(Locks::All));

    lockouts.clear_in_a_row(ALICE).await.unwrap();

    let refused = begin(&*lockouts, Target::Account(ALICE), &stranger(), at).await;
    assert_eq!(refused, Begun::Locked(Lane::Strangers, RULE.for_));
    let counted = begin(&*lockouts, Target::Account(ALICE), &on(Device::Session(ALICE)), at).await;
    assert_eq!(counted, Begun::Counted(Lane::Device(Device::Session(ALICE))));
}
