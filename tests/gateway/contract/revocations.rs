//! What every `Revocations` promises.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::Timestamp;
use portcullis::store::{Bearer, Revocation, Revocations, Standing};
use uuid::Uuid;

use super::{HOUR, contract, eventually, in_parallel, now};

contract!([redis_state, strict_redis, mirrored_redis, cluster_state, strict_cluster, mirrored_cluster, sqlite_state] {
    a_bearer_never_seen_is_good
    a_revoked_token_is_revoked_and_its_siblings_are_not
    a_revoked_session_takes_all_its_tokens_along
    tokens_below_the_users_version_are_stale
    revoked_counts_for_more_than_stale
    the_minimum_version_never_goes_back
    a_shorter_revocation_does_not_shorten_a_longer_one
    a_revocation_is_forgotten_in_time
    an_open_store_answers_pings
});

pub(super) fn bearer() -> Bearer {
    Bearer { token: Uuid::now_v7(), session: Uuid::now_v7(), user: Uuid::now_v7(), version: 5 }
}

async fn standing(revocations: &impl Revocations, bearer: Bearer) -> Standing {
    revocations.standing(bearer, now()).await.unwrap()
}

async fn revoke(revocations: &impl Revocations, what: Revocation, until: Timestamp) {
    revocations.revoke(what, until).await.unwrap();
}

async fn a_bearer_never_seen_is_good(revocations: Arc<impl Revocations>) {
    assert_eq!(standing(&*revocations, bearer()).await, Standing::Good);
}

async fn a_revoked_token_is_revoked_and_its_siblings_are_not(revocations: Arc<impl Revocations>) {
    let bearer = bearer();
    let sibling = Bearer { token: Uuid::now_v7(), ..bearer };

    revoke(&*revocations, Revocation::Token(bearer.token), now() + HOUR).await;

    assert_eq!(standing(&*revocations, bearer).await, Standing::Revoked);
    assert_eq!(standing(&*revocations, sibling).await, Standing::Good);
}

async fn a_revoked_session_takes_all_its_tokens_along(revocations: Arc<impl Revocations>) {
    let bearer = bearer();
    let sibling = Bearer { token: Uuid::now_v7(), ..bearer };
    let other_session = Bearer { session: Uuid::now_v7(), ..bearer };

    revoke(&*revocations, Revocation::Session(bearer.session), now() + HOUR).await;

    assert_eq!(standing(&*revocations, bearer).await, Standing::Revoked);
    assert_eq!(standing(&*revocations, sibling).await, Standing::Revoked);
    assert_eq!(standing(&*revocations, other_session).await, Standing::Good);
}

async fn tokens_below_the_users_version_are_stale(revocations: Arc<impl Revocations>) {
    let bearer = bearer();

    revoke(&*revocations, Revocation::UserBelow(bearer.user, 6), now() + HOUR).await;

    assert_eq!(standing(&*revocations, bearer).await, Standing::Stale);
    assert_eq!(standing(&*revocations, Bearer { version: 6, ..bearer }).await, Standing::Good);
    assert_eq!(standing(&*revocations, Bearer { version: 7, ..bearer }).await, Standing::Good);
    assert_eq!(standing(&*revocations, Bearer { user: Uuid::now_v7(), ..bearer }).await, Standing::Good);
}

async fn revoked_counts_for_more_than_stale(revocations: Arc<impl Revocations>) {
    let bearer = bearer();

    revoke(&*revocations, Revocation::UserBelow(bearer.user, 6), now() + HOUR).await;
    revoke(&*revocations, Revocation::Session(bearer.session), now() + HOUR).await;

    assert_eq!(standing(&*revocations, bearer).await, Standing::Revoked);
}

async fn the_minimum_version_never_goes_back(revocations: Arc<impl Revocations + 'static>) {
    let bearer = bearer();
    let until = now() + HOUR;

    in_parallel(20, |number| {
        let revocations = revocations.clone();
        let what = Revocation::UserBelow(bearer.user, number as u64 + 1);
        async move { revocations.revoke(what, until).await.unwrap() }
    })
    .await;

    assert_eq!(standing(&*revocations, Bearer { version: 19, ..bearer }).await, Standing::Stale);
    assert_eq!(standing(&*revocations, Bearer { version: 20, ..bearer }).await, Standing::Good);
}

async fn a_shorter_revocation_does_not_shorten_a_longer_one(revocations: Arc<impl Revocations>) {
    let (long, short) = (bearer(), bearer());
    let soon = now() + Duration::from_millis(100);

    revoke(&*revocations, Revocation::Token(long.token), now() + HOUR).await;
    revoke(&*revocations, Revocation::Token(long.token), soon).await;
    revoke(&*revocations, Revocation::Token(long.token), now() - HOUR).await;
    revoke(&*revocations, Revocation::Token(short.token), soon).await;

    eventually("the short one expires", async || standing(&*revocations, short).await == Standing::Good)
        .await;
    assert_eq!(standing(&*revocations, long).await, Standing::Revoked);
}

async fn a_revocation_is_forgotten_in_time(revocations: Arc<impl Revocations>) {
    let bearer = bearer();
    let until = now() + Duration::from_secs(1);

    revoke(&*revocations, Revocation::Token(bearer.token), until).await;
    revoke(&*revocations, Revocation::UserBelow(bearer.user, 9), until).await;

    assert_ne!(standing(&*revocations, bearer).await, Standing::Good);
    eventually("both expire", async || standing(&*revocations, bearer).await == Standing::Good).await;
    assert!(now() >= until);
}

async fn an_open_store_answers_pings(revocations: Arc<impl Revocations>) {
    revocations.ping().await.expect("the store is open");
}
