//! What every `Sessions` promises of refresh tokens: each generation is presented once.

use std::sync::Arc;
use std::time::Duration;

use portcullis::store::{Presenter, Rotation, Session, Standing};

use super::sessions::{State, WINDOW, bound, present, present_by, session, standing, started};
use super::{HOUR, MINUTE, contract, in_parallel, now};

contract!([redis_state, strict_redis, mirrored_redis, cluster_state, strict_cluster, mirrored_cluster, sqlite_state] {
    a_rotation_raises_the_generation_and_the_idle_end
    a_rotation_never_reaches_beyond_the_latest_end
    of_many_parallel_rotations_one_rotates_and_the_others_repeat_it
    the_predecessor_is_repeated_within_the_window_only
    the_predecessor_is_repeated_however_late_for_who_lost_the_answer
    a_late_predecessor_from_elsewhere_ends_the_family
    a_predecessor_whose_successor_was_presented_ends_the_family
    reuse_ends_the_family_and_revokes_it
    a_generation_that_never_was_is_unknown_and_harms_nobody
});

async fn a_rotation_raises_the_generation_and_the_idle_end(state: Arc<impl State>) {
    let session = started(&*state).await;

    let rotation = present(&*state, &session, 1, MINUTE).await;

    let at = session.created_at + MINUTE;
    let rotated = Session { generation: 2, rotated_at: at, idle_until: at + HOUR, ..session.clone() };
    assert_eq!(rotation, Rotation::Rotated(rotated.clone()));
    assert_eq!(state.find(session.id, at).await.unwrap(), Some(rotated));
    assert_eq!(standing(&*state, &session).await, Standing::Good);
}

async fn a_rotation_never_reaches_beyond_the_latest_end(state: Arc<impl State>) {
    let session = Session { ends_at: now() + 90 * MINUTE, ..session() };
    state.start(&session, bound()).await.unwrap();

    let Rotation::Rotated(rotated) = present(&*state, &session, 1, 50 * MINUTE).await else {
        panic!("the newest generation rotates");
    };

    assert_eq!(rotated.idle_until, session.ends_at);
}

async fn of_many_parallel_rotations_one_rotates_and_the_others_repeat_it(state: Arc<impl State>) {
    let session = started(&*state).await;

    let rotations = in_parallel(50, |_| {
        let (state, session) = (state.clone(), session.clone());
        async move { present(&*state, &session, 1, MINUTE).await }
    })
    .await;

    let rotated = rotations.iter().filter(|rotation| matches!(rotation, Rotation::Rotated(_))).count();
    let generations = rotations.iter().filter_map(|rotation| match rotation {
        Rotation::Rotated(session) | Rotation::Repeated(session) => Some(session.generation),
        Rotation::Reused(_) | Rotation::Unknown => None,
    });
    assert_eq!(rotated, 1);
    assert_eq!(generations.collect::<Vec<_>>(), [2; 50]);
    assert_eq!(standing(&*state, &session).await, Standing::Good);
}

async fn the_predecessor_is_repeated_within_the_window_only(state: Arc<impl State>) {
    let session = started(&*state).await;
    let Rotation::Rotated(rotated) = present(&*state, &session, 1, MINUTE).await else {
        panic!("the newest generation rotates");
    };

    let within = present(&*state, &session, 1, MINUTE + WINDOW).await;
    let after = present(&*state, &session, 1, MINUTE + WINDOW + Duration::from_micros(1)).await;

    assert_eq!(within, Rotation::Repeated(rotated.clone()));
    assert_eq!(after, Rotation::Reused(rotated));
}

/// A late one, from the address or the device that has presented it before: its answer was lost.
async fn the_predecessor_is_repeated_however_late_for_who_lost_the_answer(state: Arc<impl State>) {
    let here = Presenter { address: Some("192.0.2.7".parse().expect("an address")), device: Some("Firefox") };
    let elsewhere = "2001:db8::1".parse().expect("an address");
    for again in [
        here,
        Presenter { device: None, ..here },
        Presenter { address: Some(elsewhere), ..here },
        Presenter { address: None, ..here },
    ] {
        let session = started(&*state).await;
        let Rotation::Rotated(rotated) = present_by(&*state, &session, 1, MINUTE, here).await else {
            panic!("the newest generation rotates");
        };
        assert_eq!((rotated.last_address, rotated.last_device.as_deref()), (here.address, here.device));

        for _ in 0..2 {
            let late = present_by(&*state, &session, 1, 50 * MINUTE, again).await;
            assert_eq!(late, Rotation::Repeated(rotated.clone()), "{again:?}");
        }
    }
}

async fn a_late_predecessor_from_elsewhere_ends_the_family(state: Arc<impl State>) {
    let here = Presenter { address: Some("192.0.2.7".parse().expect("an address")), device: Some("Firefox") };
    let elsewhere = Some("192.0.2.8".parse().expect("an address"));
    for other in [
        Presenter::default(),
        Presenter { address: elsewhere, device: None },
        Presenter { address: elsewhere, device: Some("Firefox 2") },
        Presenter { address: None, device: Some("") },
    ] {
        let session = started(&*state).await;
        present_by(&*state, &session, 1, MINUTE, here).await;

        let late = present_by(&*state, &session, 1, 50 * MINUTE, other).await;

        assert!(matches!(late, Rotation::Reused(_)), "{other:?}: {late:?}");
        assert_eq!(standing(&*state, &session).await, Standing::Revoked);
    }
}

/// Whoever asks: the answer wasn't lost.
async fn a_predecessor_whose_successor_was_presented_ends_the_family(state: Arc<impl State>) {
    let here = Presenter { address: Some("192.0.2.7".parse().expect("an address")), device: Some("Firefox") };
    let session = started(&*state).await;
    for generation in [1, 2] {
        present_by(&*state, &session, generation, MINUTE, here).await;
    }

    let reuse = present_by(&*state, &session, 1, MINUTE, here).await;

    assert!(matches!(reuse, Rotation::Reused(_)), "{reuse:?}");
}

async fn reuse_ends_the_family_and_revokes_it(state: Arc<impl State>) {
    let session = started(&*state).await;
    present(&*state, &session, 1, MINUTE).await;
    present(&*state, &session, 2, 2 * MINUTE).await;

    // Older than the predecessor: no window helps.
    let reuse = present(&*state, &session, 1, 2 * MINUTE).await;

    assert!(matches!(reuse, Rotation::Reused(_)), "{reuse:?}");
    assert_eq!(state.find(session.id, now()).await.unwrap(), None);
    assert_eq!(standing(&*state, &session).await, Standing::Revoked);
    assert_eq!(present(&*state, &session, 3, 2 * MINUTE).await, Rotation::Unknown);
}

async fn a_generation_that_never_was_is_unknown_and_harms_nobody(state: Arc<impl State>) {
    let session = started(&*state).await;

    for generation in [0, 2, 99, u64::MAX] {
        let rotation = present(&*state, &session, generation, MINUTE).await;
        assert_eq!(rotation, Rotation::Unknown, "{generation}");
    }
    assert_eq!(state.find(session.id, now()).await.unwrap(), Some(session));
}
