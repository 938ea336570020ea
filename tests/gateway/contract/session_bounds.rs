//! What every `Sessions` promises of many sessions of one user: a bound, and pages.

use std::sync::Arc;

use portcullis::store::{Bound, Session, SessionPage, Standing, Start};
use uuid::Uuid;

use super::sessions::{ALL, State, bound, present, session, standing, started};
use super::{MINUTE, contract, in_parallel, now};

contract!([redis_state, strict_redis, mirrored_redis, cluster_state, strict_cluster, mirrored_cluster, sqlite_state] {
    the_least_recently_used_session_makes_room_for_one_more
    of_many_sessions_that_start_at_once_no_more_are_left_than_there_may_be
    sessions_are_listed_page_by_page
});

async fn the_least_recently_used_session_makes_room_for_one_more(state: Arc<impl State>) {
    let first = started(&*state).await;
    let of_the_same = || Session { user_id: first.user_id, ..session() };
    let bound = Bound { most: 3, ..bound() };
    let (second, third, fourth) = (of_the_same(), of_the_same(), of_the_same());
    let other = started(&*state).await;
    for session in [&second, &third] {
        assert_eq!(state.start(session, bound).await.unwrap(), Start::Started { ended: vec![] });
    }
    // The first was used after the second began.
    present(&*state, &first, 1, MINUTE).await;

    let start = state.start(&fourth, bound).await.unwrap();

    assert_eq!(start, Start::Started { ended: vec![second.id] });
    let left: Vec<_> = state.list(first.user_id, ALL, now()).await.unwrap();
    assert_eq!(left.iter().map(|session| session.id).collect::<Vec<_>>(), [fourth.id, third.id, first.id]);
    assert_eq!(standing(&*state, &second).await, Standing::Revoked);
    assert_eq!(standing(&*state, &first).await, Standing::Good);
    assert_eq!(state.find(other.id, now()).await.unwrap(), Some(other));
}

async fn of_many_sessions_that_start_at_once_no_more_are_left_than_there_may_be(state: Arc<impl State>) {
    let user = Uuid::now_v7();
    let bound = Bound { most: 5, ..bound() };

    in_parallel(20, |_| {
        let state = state.clone();
        async move { state.start(&Session { user_id: user, ..session() }, bound).await.unwrap() }
    })
    .await;

    assert_eq!(state.list(user, ALL, now()).await.unwrap().len(), 5);
}

async fn sessions_are_listed_page_by_page(state: Arc<impl State>) {
    let first = started(&*state).await;
    let mut ids = vec![first.id];
    for _ in 0..4 {
        let next = Session { user_id: first.user_id, ..session() };
        state.start(&next, bound()).await.unwrap();
        ids.push(next.id);
    }
    ids.sort_unstable_by(|one, other| other.cmp(one));

    let (mut seen, mut page) = (Vec::new(), SessionPage { after: None, limit: 2 });
    loop {
        let sessions = state.list(first.user_id, page, now()).await.unwrap();
        assert!(sessions.len() <= 2);
        let Some(last) = sessions.last() else { break };
        page.after = Some(last.id);
        seen.extend(sessions.iter().map(|session| session.id));
    }

    assert_eq!(seen, ids);
}
