//! What every `Lockouts` promises.

use std::sync::Arc;
use std::time::Duration;

use portcullis::store::{LockoutRule, Lockouts};

use super::{MINUTE, contract, in_parallel, now};

contract!([redis_state, cluster_state, sqlite_state] {
    the_last_allowed_failure_locks_once
    parallel_failures_all_count_and_one_locks
    failures_while_locked_do_not_prolong_it
    a_lock_is_lifted_by_time_and_counting_starts_anew
    failures_long_ago_are_forgotten
    clearing_lifts_the_lock_and_the_count
    names_are_counted_apart
    a_single_failure_can_lock
});

const RULE: LockoutRule = LockoutRule { failures: 3, for_: Duration::from_secs(900) };
const SECOND: Duration = Duration::from_secs(1);

async fn the_last_allowed_failure_locks_once(lockouts: Arc<impl Lockouts>) {
    let start = now();

    let mut locks = Vec::new();
    for _ in 0..4 {
        locks.push(lockouts.record_failure("alice", RULE, start).await.unwrap());
    }

    assert_eq!(locks, [false, false, true, false]);
    assert_eq!(lockouts.locked_for("alice", start).await.unwrap(), Some(RULE.for_));
}

async fn parallel_failures_all_count_and_one_locks(lockouts: Arc<impl Lockouts + 'static>) {
    let rule = LockoutRule { failures: 40, ..RULE };
    let start = now();
    let fail = |count| {
        let lockouts = lockouts.clone();
        in_parallel(count, move |_| {
            let lockouts = lockouts.clone();
            async move { lockouts.record_failure("alice", rule, start).await.unwrap() }
        })
    };

    let before = fail(39).await;
    let not_yet = lockouts.locked_for("alice", start).await.unwrap();
    let after = fail(10).await;

    assert!(before.iter().all(|locks| !locks));
    assert_eq!(not_yet, None);
    assert_eq!(after.iter().filter(|locks| **locks).count(), 1);
}

async fn failures_while_locked_do_not_prolong_it(lockouts: Arc<impl Lockouts>) {
    let start = now();
    for _ in 0..3 {
        lockouts.record_failure("alice", RULE, start).await.unwrap();
    }

    let locks = lockouts.record_failure("alice", RULE, start + MINUTE).await.unwrap();

    assert!(!locks);
    let left = lockouts.locked_for("alice", start + MINUTE).await.unwrap();
    assert_eq!(left, Some(RULE.for_ - MINUTE));
}

async fn a_lock_is_lifted_by_time_and_counting_starts_anew(lockouts: Arc<impl Lockouts>) {
    let start = now();
    for _ in 0..3 {
        lockouts.record_failure("alice", RULE, start).await.unwrap();
    }
    let end = start + RULE.for_;

    assert_eq!(lockouts.locked_for("alice", end - SECOND).await.unwrap(), Some(SECOND));
    assert_eq!(lockouts.locked_for("alice", end).await.unwrap(), None);
    assert!(!lockouts.record_failure("alice", RULE, end).await.unwrap());
    assert!(!lockouts.record_failure("alice", RULE, end).await.unwrap());
    assert!(lockouts.record_failure("alice", RULE, end).await.unwrap());
}

async fn failures_long_ago_are_forgotten(lockouts: Arc<impl Lockouts>) {
    let start = now();
    lockouts.record_failure("alice", RULE, start).await.unwrap();
    lockouts.record_failure("alice", RULE, start + MINUTE).await.unwrap();

    let at_rest_since = start + MINUTE + RULE.for_;

    assert!(!lockouts.record_failure("alice", RULE, at_rest_since).await.unwrap());
    assert_eq!(lockouts.locked_for("alice", at_rest_since).await.unwrap(), None);
}

async fn clearing_lifts_the_lock_and_the_count(lockouts: Arc<impl Lockouts>) {
    let start = now();
    for _ in 0..3 {
        lockouts.record_failure("alice", RULE, start).await.unwrap();
    }

    assert!(lockouts.clear("alice").await.unwrap());

    assert!(!lockouts.clear("alice").await.unwrap());
    assert_eq!(lockouts.locked_for("alice", start).await.unwrap(), None);
    assert!(!lockouts.record_failure("alice", RULE, start).await.unwrap());
}

async fn names_are_counted_apart(lockouts: Arc<impl Lockouts>) {
    let start = now();
    for _ in 0..3 {
        lockouts.record_failure("alice", RULE, start).await.unwrap();
    }

    for other in ["bob", "", "alice*", "a\0lice\r\n"] {
        assert_eq!(lockouts.locked_for(other, start).await.unwrap(), None, "{other:?}");
        assert!(!lockouts.record_failure(other, RULE, start).await.unwrap(), "{other:?}");
    }
}

async fn a_single_failure_can_lock(lockouts: Arc<impl Lockouts>) {
    let rule = LockoutRule { failures: 1, ..RULE };

    assert!(lockouts.record_failure("alice", rule, now()).await.unwrap());
}
