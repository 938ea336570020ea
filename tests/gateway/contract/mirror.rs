//! The mirror of revocations: every gateway knows all of them without asking, whatever happens to
//! its connection and to Redis; and what nobody needs any more is forgotten.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::store::{Bearer, Gatekeeper, Revocation, Revocations, Sessions, Standing};
use redis::Commands;
use uuid::Uuid;

use super::gatekeeper::admit;
use super::gateway_on_redis::GatewayOnRedis;
use super::revocations::bearer;
use super::sessions::{bound, presentation, session};
use super::{HOUR, eventually, now};
use crate::servers::redis::Redis;

const STREAM: &str = "portcullis:revocations";
/// Short enough that a test sees the mirror grow stale.
const SHORT: Duration = Duration::from_millis(400);

async fn two_gateways(redis: &Redis) -> (GatewayOnRedis, GatewayOnRedis) {
    (GatewayOnRedis::mirrored(redis).await, GatewayOnRedis::mirrored(redis).await)
}

/// Revokes a bearer's token there.
async fn revoke_at(gateway: &GatewayOnRedis) -> Bearer {
    let bearer = bearer();
    gateway.state.revoke(Revocation::Token(bearer.token), now() + HOUR).await.unwrap();
    bearer
}

fn cut_all_connections(redis: &Redis) {
    let mut operator = redis.operator();
    let cut =
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query::<u64>(&mut operator);
    assert!(cut.unwrap() > 0, "somebody was connected");
}

fn entries(redis: &Redis) -> u64 {
    redis::cmd("XLEN").arg(STREAM).query(&mut redis.operator()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_revokes_another_refuses_without_asking() {
    let redis = Redis::start();
    let (one, other) = two_gateways(&redis).await;
    let (by_token, stranger) = (revoke_at(&one).await, bearer());
    let (by_session, by_user) = (bearer(), bearer());
    let of_user = session();
    one.state.start(&of_user, bound()).await.unwrap();

    one.state.end(by_session.session, now() + HOUR).await.unwrap();
    one.state.end_all(of_user.user_id, now() + HOUR).await.unwrap();
    one.state.revoke(Revocation::UserBelow(by_user.user, 6), now() + HOUR).await.unwrap();

    let by_all = Bearer { session: of_user.id, ..bearer() };
    for gateway in [&one, &other] {
        gateway.until_known(by_user, Standing::Stale).await;
        assert_eq!(gateway.known(Bearer { version: 6, ..by_user }), Some(Standing::Good));
        for revoked in [by_token, by_session, by_all] {
            let admission = gateway.gatekeeper.admit_at_once(Some(revoked), &[]).expect("it knows");
            assert_eq!(admission.standing, Standing::Revoked);
        }
        for _ in 0..100 {
            admit(&*gateway.gatekeeper, Some(stranger), &[]).await.unwrap();
        }
    }
    assert_eq!(redis.admissions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_that_revokes_knows_it_before_it_answers() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored(&redis).await;
    let reused = session();
    gateway.state.start(&reused, bound()).await.unwrap();
    for _ in 0..50 {
        let revoked = revoke_at(&gateway).await;
        assert_eq!(gateway.known(revoked), Some(Standing::Revoked));
    }

    for generation in [1, 2, 1] {
        gateway.state.rotate(reused.id, presentation(generation, now())).await.unwrap();
    }

    assert_eq!(gateway.known(Bearer { session: reused.id, ..bearer() }), Some(Standing::Revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_later_reads_everything_first() {
    let redis = Redis::start();
    let early = GatewayOnRedis::mirrored(&redis).await;
    let mut revoked = Vec::new();
    // More than one question brings.
    for _ in 0..1_100 {
        revoked.push(revoke_at(&early).await);
    }

    let late = GatewayOnRedis::mirrored(&redis).await;

    assert!(revoked.iter().all(|bearer| late.known(*bearer) == Some(Standing::Revoked)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_misses_nothing() {
    let redis = Redis::start();
    let (one, other) = two_gateways(&redis).await;

    for _ in 0..5 {
        cut_all_connections(&redis);
        let meanwhile = revoke_at(&one).await;
        other.until_known(meanwhile, Standing::Revoked).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_flushall_it_keeps_what_it_knows_and_learns_what_is_new() {
    let redis = Redis::start();
    let (one, other) = two_gateways(&redis).await;
    let before = revoke_at(&one).await;
    other.until_known(before, Standing::Revoked).await;

    redis::cmd("FLUSHALL").exec(&mut redis.operator()).unwrap();
    let after = revoke_at(&one).await;

    other.until_known(after, Standing::Revoked).await;
    assert_eq!(other.known(before), Some(Standing::Revoked));
}

/// As after a failover to a Redis with an older copy, or whose clock is behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_went_back_is_read_from_its_beginning() {
    let redis = Redis::start();
    let (one, other) = two_gateways(&redis).await;
    let before = revoke_at(&one).await;
    other.until_known(before, Standing::Revoked).await;
    let (token, until) = (Uuid::now_v7(), (now() + HOUR).timestamp_millis());

    let mut replace = redis::pipe();
    replace.atomic().del(STREAM);
    replace.cmd("XADD").arg(STREAM).arg("1-1");
    replace.arg(&["kind", "jti", "id", &token.to_string(), "value", "1", "until", &until.to_string()]);
    replace.exec(&mut redis.operator()).unwrap();

    other.until_known(Bearer { token, ..bearer() }, Standing::Revoked).await;
    assert_eq!(other.known(before), Some(Standing::Revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_makes_the_mirror_stale_until_it_goes_on() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored_for(&redis, SHORT).await;
    let (revoked, good) = (revoke_at(&gateway).await, bearer());
    gateway.until_current().await;

    redis.pause();
    eventually("it vouches for nobody", async || gateway.known(good).is_none()).await;
    assert_eq!(gateway.known(revoked), Some(Standing::Revoked), "that never changes");
    assert!(gateway.gatekeeper.admit_at_once(Some(good), &[]).is_none());
    assert!(gateway.gatekeeper.admit(Some(good), &[]).await.is_err());
    redis.resume();

    gateway.until_known(good, Standing::Good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_mirror_is_stale_each_request_asks_and_limits_go_along() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored_for(&redis, SHORT).await;
    // Its follower stumbles over this, as it would over an entry of a later version.
    redis::cmd("XADD").arg(&[STREAM, "*", "kind", "unheard-of"]).exec(&mut redis.operator()).unwrap();
    eventually("the mirror is stale", async || !gateway.is_current()).await;
    let (other, charge) = (GatewayOnRedis::strict(&redis), super::gatekeeper::hourly("all:address:a"));
    let (revoked, good) = (revoke_at(&other).await, bearer());
    let before = redis.admissions();

    let refused = admit(&*gateway.gatekeeper, Some(revoked), &[]).await.unwrap();
    let passed = admit(&*gateway.gatekeeper, Some(good), std::slice::from_ref(&charge)).await.unwrap();

    assert_eq!((refused.standing, passed.standing), (Standing::Revoked, Standing::Good));
    assert!(passed.verdicts[0].allowed);
    assert_eq!(redis.admissions() - before, 2);
    redis.operator().del::<_, u64>(STREAM).unwrap();
    gateway.until_known(good, Standing::Good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_is_followed_again_after_its_restart() {
    let redis = Redis::start_durable();
    let (one, other) = two_gateways(&redis).await;
    let before = revoke_at(&one).await;
    other.until_known(before, Standing::Revoked).await;

    redis.kill();
    redis.restart();
    let mut after = bearer();
    eventually("a revocation goes through", async || {
        after = bearer();
        one.state.revoke(Revocation::Token(after.token), now() + HOUR).await.is_ok()
    })
    .await;

    other.until_known(after, Standing::Revoked).await;
    assert_eq!(other.known(before), Some(Standing::Revoked));
    let late = GatewayOnRedis::mirrored(&redis).await;
    assert_eq!(late.known(before), Some(Standing::Revoked), "the stream is as durable as the keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_entries_leave_the_stream_and_none_goes_before_its_time() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored(&redis).await;
    let lasting = revoke_at(&gateway).await;
    let until = now() + Duration::from_secs(2);
    for _ in 0..20 {
        gateway.state.revoke(Revocation::Token(Uuid::now_v7()), until).await.unwrap();
    }
    assert_eq!(entries(&redis), 21);

    eventually("the expired ones are gone", async || {
        let (before, started) = (entries(&redis), now());
        revoke_at(&gateway).await;
        let removed = before + 1 - entries(&redis);
        assert!(removed == 0 || now() > until, "removed after {started}, before {until}");
        removed == 0 && started > until
    })
    .await;

    let late = GatewayOnRedis::mirrored(&redis).await;
    assert_eq!(late.known(lasting), Some(Standing::Revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_which_everything_has_expired_vanishes_by_itself() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored(&redis).await;
    let (bearer, until) = (bearer(), now() + Duration::from_secs(1));

    gateway.state.revoke(Revocation::Token(bearer.token), until).await.unwrap();
    assert!(entries(&redis) == 1 || now() >= until);

    eventually("it is gone", async || !redis.operator().exists::<_, bool>(STREAM).unwrap()).await;
    assert!(now() >= until);
    assert_eq!(gateway.known(bearer), Some(Standing::Good));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeating_a_revocation_adds_few_entries() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored(&redis).await;
    let (id, start) = (Uuid::now_v7(), Instant::now());

    for _ in 0..200 {
        gateway.state.end(id, now() + HOUR).await.unwrap();
    }

    let most = 3 + start.elapsed().as_secs() / 10;
    assert!(entries(&redis) <= most, "{} entries", entries(&redis));
}

#[test]
fn a_follower_ends_with_its_state() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();

    runtime.block_on(async {
        let gateway = GatewayOnRedis::mirrored_for(&redis, SHORT).await;
        let state = Arc::downgrade(&gateway.state);
        drop(gateway);
        assert!(state.upgrade().is_none(), "the follower holds the mirror only");
        let tasks = tokio::runtime::Handle::current();
        eventually("it ends", async || tasks.metrics().num_alive_tasks() == 0).await;
    });
}
