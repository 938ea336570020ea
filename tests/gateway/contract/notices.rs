//! What every `Notices` promises.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use portcullis::store::{NoticeBounds, NoticeKind, Notices, QueuedNotice};
use uuid::Uuid;

use super::{HOUR, MINUTE, contract, in_parallel, now};

contract!([postgres_users, sqlite_users] {
    a_notice_is_given_out_whole_and_one_at_a_time
    of_many_who_ask_at_once_each_gets_another_notice
    what_is_put_off_comes_again_unless_somebody_has_it
    what_was_claimed_and_left_behind_comes_again
    no_account_fills_the_queue_of_notices
});

const MOST: NoticeBounds = NoticeBounds { in_all: 100, per_account: 100 };

fn notice(username: &str) -> QueuedNotice {
    QueuedNotice {
        id: Uuid::now_v7(),
        kind: NoticeKind::Owner,
        user_id: Uuid::now_v7(),
        username: username.to_owned(),
        email: format!("{username}@example.org"),
        change: "Your password was changed".to_owned(),
        at: now(),
        actor: Some("cli:root".to_owned()),
        address: Some(IpAddr::from([192, 0, 2, 1])),
        user_agent: Some("curl".to_owned()),
        request_id: Some("r1".to_owned()),
        attempts: 0,
    }
}

async fn added(store: &impl Notices, username: &str) -> QueuedNotice {
    let notice = notice(username);
    assert!(store.add(&notice, MOST).await.unwrap());
    notice
}

async fn a_notice_is_given_out_whole_and_one_at_a_time(store: Arc<impl Notices>) {
    assert_eq!(store.claim(now(), now() + HOUR).await.unwrap(), None);
    let first = added(&*store, "alice").await;
    let plain = QueuedNotice {
        kind: NoticeKind::Operators,
        actor: None,
        address: None,
        user_agent: None,
        request_id: None,
        ..notice("bob")
    };
    assert!(store.add(&plain, MOST).await.unwrap());

    let claimed = store.claim(now(), now() + HOUR).await.unwrap().expect("it is due");
    assert_eq!(claimed, QueuedNotice { attempts: 1, ..first });
    let other = store.claim(now(), now() + HOUR).await.unwrap().expect("it is due");
    assert_eq!(other, QueuedNotice { attempts: 1, ..plain });
    assert_eq!(store.claim(now(), now() + HOUR).await.unwrap(), None);
    assert_eq!(store.waiting().await.unwrap(), 2);

    for id in [claimed.id, other.id, Uuid::nil()] {
        store.remove(id).await.unwrap();
    }
    assert_eq!(store.waiting().await.unwrap(), 0);
    assert_eq!(store.claim(now() + 2 * HOUR, now() + 3 * HOUR).await.unwrap(), None);
}

async fn of_many_who_ask_at_once_each_gets_another_notice(store: Arc<impl Notices + 'static>) {
    for number in 0..12 {
        added(&*store, &format!("user{number}")).await;
    }

    let claimed = in_parallel(16, |_| {
        let store = store.clone();
        async move { store.claim(now(), now() + HOUR).await.unwrap() }
    });

    let claimed: Vec<_> = claimed.await.into_iter().flatten().map(|notice| notice.id).collect();
    let different: HashSet<_> = claimed.iter().collect();
    assert_eq!(different.len(), claimed.len(), "none went to two");
    let mut rest = 0;
    while store.claim(now(), now() + HOUR).await.unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(claimed.len() + rest, 12, "and none went to nobody");
}

async fn what_is_put_off_comes_again_unless_somebody_has_it(store: Arc<impl Notices>) {
    added(&*store, "alice").await;
    let first = store.claim(now(), now() + MINUTE).await.unwrap().expect("it is due");

    store.put_off(first.id, first.attempts, now() + HOUR).await.unwrap();

    assert_eq!(store.claim(now() + MINUTE, now() + HOUR).await.unwrap(), None);
    let second = store.claim(now() + HOUR, now() + 2 * HOUR).await.unwrap().expect("it is due again");
    assert_eq!(second, QueuedNotice { attempts: 2, ..first });
    store.put_off(first.id, 1, now()).await.unwrap();
    assert_eq!(store.claim(now() + HOUR, now() + 3 * HOUR).await.unwrap(), None, "the first attempt is over");
}

async fn what_was_claimed_and_left_behind_comes_again(store: Arc<impl Notices>) {
    added(&*store, "alice").await;
    let left = store.claim(now(), now() + MINUTE).await.unwrap().expect("it is due");

    let again = store.claim(now() + 2 * MINUTE, now() + HOUR).await.unwrap();

    assert_eq!(again, Some(QueuedNotice { attempts: 2, ..left }));
}

async fn no_account_fills_the_queue_of_notices(store: Arc<impl Notices>) {
    let most = NoticeBounds { in_all: 4, per_account: 2 };
    let alice = Uuid::now_v7();
    let of_alice = || QueuedNotice { user_id: alice, ..notice("alice") };

    for expected in [true, true, false] {
        assert_eq!(store.add(&of_alice(), most).await.unwrap(), expected);
    }
    for expected in [true, true, false] {
        assert_eq!(store.add(&notice("somebody"), most).await.unwrap(), expected);
    }
    let sent = store.claim(now(), now() + HOUR).await.unwrap().expect("it is due");
    store.remove(sent.id).await.unwrap();
    assert!(store.add(&notice("somebody"), most).await.unwrap(), "there is room again");
}
