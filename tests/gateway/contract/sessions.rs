//! What every `Sessions` promises, and that ending one revokes it.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::Timestamp;
use portcullis::store::{
    Account, Bearer, Bound, Presentation, Presenter, Revocation, Revocations, Rotation, Session, SessionPage,
    Sessions, Standing, Start,
};
use uuid::Uuid;

use super::{HOUR, MINUTE, contract, in_parallel, now};

contract!([redis_state, strict_redis, mirrored_redis, cluster_state, strict_cluster, mirrored_cluster, sqlite_state] {
    a_started_session_is_found_as_it_was
    an_unknown_session_is_none_and_its_tokens_unknown
    an_expired_session_is_unknown
    a_noted_account_shows_in_the_session
    the_living_sessions_of_a_user_are_listed_newest_first
    noting_an_account_does_not_revive_an_ended_session
    a_session_is_never_lifted_to_other_credentials_nor_set_back
    a_session_from_before_credentials_gets_them_while_its_account_is_the_same
    no_session_of_a_revoked_version_starts
    no_session_survives_what_revokes_its_version_at_the_same_time
    ending_revokes_also_what_is_gone
    ending_all_ends_each_session_of_that_user_only
});

pub(super) const WINDOW: Duration = Duration::from_secs(10);
pub(super) const ALL: SessionPage = SessionPage { after: None, limit: 1000 };

/// More than any test has, but those about it.
pub(super) fn bound() -> Bound {
    Bound { most: 100, revoked_until: now() + HOUR }
}

pub(super) trait State: Sessions + Revocations + 'static {}
impl<S: Sessions + Revocations + 'static> State for S {}

pub(super) fn session() -> Session {
    let start = now();
    Session {
        id: Uuid::now_v7(),
        user_id: Uuid::now_v7(),
        username: "Alice".to_owned(),
        email: Some("alice@example.com".to_owned()),
        roles: vec!["user".to_owned(), "audit:read".to_owned()],
        version: 3,
        credentials: 2,
        amr: vec!["pwd".to_owned(), "mfa".to_owned()],
        generation: 1,
        created_at: start,
        rotated_at: start,
        idle_until: start + HOUR,
        ends_at: start + 3 * HOUR,
        address: Some("192.0.2.7".parse().expect("an address")),
        user_agent: Some("curl/8 \"quoted\"\r\n".to_owned()),
        last_address: None,
        last_device: None,
    }
}

pub(super) async fn started(state: &impl Sessions) -> Session {
    let session = session();
    assert_eq!(state.start(&session, bound()).await.unwrap(), Start::Started { ended: vec![] });
    session
}

/// Whose session it is, as it was at the last refresh.
fn account(session: &Session) -> Account {
    Account {
        id: session.user_id,
        username: session.username.clone(),
        email: session.email.clone(),
        email_verified: true,
        pending_email: None,
        must_confirm_email: false,
        has_second_factor: false,
        password_hash: "$argon2id$old".to_owned(),
        roles: session.roles.clone(),
        version: session.version,
        credentials: session.credentials,
        disabled: false,
        created_at: session.created_at,
        updated_at: session.created_at,
    }
}

/// Presents a generation `after` the session's start.
pub(super) async fn present(
    state: &impl Sessions,
    session: &Session,
    generation: u64,
    after: Duration,
) -> Rotation {
    present_by(state, session, generation, after, Presenter::default()).await
}

pub(super) async fn present_by(
    state: &impl Sessions,
    session: &Session,
    generation: u64,
    after: Duration,
    by: Presenter<'_>,
) -> Rotation {
    let now = session.created_at + after;
    let presented = Presentation { by, window: WINDOW, ..presentation(generation, now) };
    state.rotate(session.id, presented).await.unwrap()
}

/// By nobody in particular, without a window.
pub(super) fn presentation(generation: u64, now: Timestamp) -> Presentation<'static> {
    Presentation {
        generation,
        by: Presenter::default(),
        window: Duration::ZERO,
        idle: HOUR,
        revoked_until: now + HOUR,
        now,
    }
}

pub(super) async fn standing(state: &impl Revocations, session: &Session) -> Standing {
    let bearer = Bearer {
        token: Uuid::now_v7(),
        session: session.id,
        user: session.user_id,
        version: session.version,
    };
    state.standing(bearer, now()).await.unwrap()
}

async fn a_started_session_is_found_as_it_was(state: Arc<impl State>) {
    let full = started(&*state).await;
    let bare =
        Session { email: None, roles: vec![], amr: vec![], address: None, user_agent: None, ..session() };
    state.start(&bare, bound()).await.unwrap();

    assert_eq!(state.find(full.id, now()).await.unwrap(), Some(full));
    assert_eq!(state.find(bare.id, now()).await.unwrap(), Some(bare));
}

async fn an_unknown_session_is_none_and_its_tokens_unknown(state: Arc<impl State>) {
    let never_started = session();

    assert_eq!(state.find(never_started.id, now()).await.unwrap(), None);
    assert_eq!(present(&*state, &never_started, 1, MINUTE).await, Rotation::Unknown);
}

async fn an_expired_session_is_unknown(state: Arc<impl State>) {
    let idle = started(&*state).await;
    let over = Session { idle_until: now() + 9 * HOUR, ends_at: now() + HOUR, ..session() };
    state.start(&over, bound()).await.unwrap();

    for session in [idle, over] {
        assert_eq!(state.find(session.id, session.created_at + 2 * HOUR).await.unwrap(), None);
        assert_eq!(present(&*state, &session, 1, 2 * HOUR).await, Rotation::Unknown);
    }
}

async fn a_noted_account_shows_in_the_session(state: Arc<impl State>) {
    let session = started(&*state).await;
    let roles = vec!["admin".to_owned()];
    let username = "Alicia".to_owned();
    let noted = Account {
        roles: roles.clone(),
        email: None,
        username: username.clone(),
        version: 4,
        ..account(&session)
    };

    state.note_account(session.id, &noted).await.unwrap();
    let changed = Session { roles, email: None, username, version: 4, ..session };
    assert_eq!(state.find(changed.id, now()).await.unwrap(), Some(changed.clone()));

    let email = Some("a@example.com".to_owned());
    let confirmed = Account { email: email.clone(), ..noted };
    let unconfirmed = Account { email_verified: false, ..confirmed.clone() };
    state.note_account(changed.id, &unconfirmed).await.unwrap();
    assert_eq!(state.find(changed.id, now()).await.unwrap(), Some(changed.clone()), "nobody confirmed it");
    state.note_account(changed.id, &confirmed).await.unwrap();
    let changed = Session { email, ..changed };
    assert_eq!(state.find(changed.id, now()).await.unwrap(), Some(changed));
}

async fn a_session_is_never_lifted_to_other_credentials_nor_set_back(state: Arc<impl State>) {
    let session = started(&*state).await;
    let same = account(&session);
    let roles = vec!["admin".to_owned()];

    for other in [
        Account { version: 4, credentials: 3, roles: roles.clone(), ..same.clone() },
        Account { version: 4, credentials: 1, roles: roles.clone(), ..same.clone() },
        Account { version: 2, roles: roles.clone(), ..same.clone() },
    ] {
        state.note_account(session.id, &other).await.unwrap();
        assert_eq!(state.find(session.id, now()).await.unwrap(), Some(session.clone()));
    }
}

async fn a_session_from_before_credentials_gets_them_while_its_account_is_the_same(state: Arc<impl State>) {
    let before = Session { credentials: 0, ..session() };
    state.start(&before, bound()).await.unwrap();
    let same = Account { credentials: 5, ..account(&before) };

    state.note_account(before.id, &Account { version: 4, ..same.clone() }).await.unwrap();
    assert_eq!(state.find(before.id, now()).await.unwrap(), Some(before.clone()));
    state.note_account(before.id, &same).await.unwrap();

    let noted = Session { credentials: 5, ..before };
    assert_eq!(state.find(noted.id, now()).await.unwrap(), Some(noted));
}

async fn no_session_of_a_revoked_version_starts(state: Arc<impl State>) {
    let (stale, fresh) = (session(), session());
    for user in [stale.user_id, fresh.user_id] {
        state.revoke(Revocation::UserBelow(user, 3), now() + HOUR).await.unwrap();
    }
    state.revoke(Revocation::UserBelow(stale.user_id, 4), now() + HOUR).await.unwrap();

    assert_eq!(state.revoked_below(stale.user_id, now()).await.unwrap(), Some(4));
    assert_eq!(state.revoked_below(Uuid::now_v7(), now()).await.unwrap(), None);
    assert_eq!(state.start(&stale, bound()).await.unwrap(), Start::Stale { below: 4 });
    assert_eq!(state.start(&fresh, bound()).await.unwrap(), Start::Started { ended: vec![] });

    assert_eq!(state.find(stale.id, now()).await.unwrap(), None);
    assert_eq!(state.list(stale.user_id, ALL, now()).await.unwrap(), []);
}

/// Whichever comes first: the session is refused, or ended.
async fn no_session_survives_what_revokes_its_version_at_the_same_time(state: Arc<impl State>) {
    let user = Uuid::now_v7();

    in_parallel(24, |number| {
        let state = state.clone();
        async move {
            if number == 12 {
                state.revoke(Revocation::UserBelow(user, 4), now() + HOUR).await.unwrap();
                state.end_all(user, now() + HOUR).await.unwrap();
            } else {
                state.start(&Session { user_id: user, ..session() }, bound()).await.unwrap();
            }
        }
    })
    .await;

    assert_eq!(state.list(user, ALL, now()).await.unwrap(), []);
}

async fn noting_an_account_does_not_revive_an_ended_session(state: Arc<impl State>) {
    let session = started(&*state).await;
    state.end(session.id, now() + HOUR).await.unwrap();

    state.note_account(session.id, &Account { version: 4, ..account(&session) }).await.unwrap();

    assert_eq!(state.find(session.id, now()).await.unwrap(), None);
}

async fn ending_revokes_also_what_is_gone(state: Arc<impl State>) {
    let (live, never_started) = (started(&*state).await, session());

    assert!(state.end(live.id, now() + HOUR).await.unwrap());
    assert!(!state.end(live.id, now() + HOUR).await.unwrap());
    assert!(!state.end(never_started.id, now() + HOUR).await.unwrap());

    assert_eq!(state.find(live.id, now()).await.unwrap(), None);
    assert_eq!(present(&*state, &live, 1, MINUTE).await, Rotation::Unknown);
    assert_eq!(standing(&*state, &live).await, Standing::Revoked);
    assert_eq!(standing(&*state, &never_started).await, Standing::Revoked);
}

async fn ending_all_ends_each_session_of_that_user_only(state: Arc<impl State>) {
    let first = started(&*state).await;
    let second = Session { user_id: first.user_id, ..session() };
    let ended = Session { user_id: first.user_id, ..session() };
    let other = started(&*state).await;
    state.start(&second, bound()).await.unwrap();
    state.start(&ended, bound()).await.unwrap();
    state.end(ended.id, now() + HOUR).await.unwrap();

    assert_eq!(state.end_all(first.user_id, now() + HOUR).await.unwrap(), 2);

    for session in [&first, &second] {
        assert_eq!(state.find(session.id, now()).await.unwrap(), None);
        assert_eq!(standing(&*state, session).await, Standing::Revoked);
    }
    assert_eq!(state.find(other.id, now()).await.unwrap(), Some(other.clone()));
    assert_eq!(standing(&*state, &other).await, Standing::Good);
    assert_eq!(state.end_all(first.user_id, now() + HOUR).await.unwrap(), 0);
}

async fn the_living_sessions_of_a_user_are_listed_newest_first(state: Arc<impl State>) {
    let first = started(&*state).await;
    let of_the_same = |created_at| Session { user_id: first.user_id, created_at, ..session() };
    let second = of_the_same(first.created_at + MINUTE);
    let idle = Session { idle_until: first.created_at + MINUTE, ..of_the_same(first.created_at) };
    let ended = of_the_same(first.created_at);
    for session in [&second, &idle, &ended] {
        state.start(session, bound()).await.unwrap();
    }
    started(&*state).await;
    state.end(ended.id, now() + HOUR).await.unwrap();

    let listed = state.list(first.user_id, ALL, first.created_at + 2 * MINUTE).await.unwrap();

    assert_eq!(listed, [second, first]);
    assert_eq!(state.list(Uuid::now_v7(), ALL, now()).await.unwrap(), []);
}
