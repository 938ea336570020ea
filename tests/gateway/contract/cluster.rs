//! What is promised of a Redis Cluster beyond the suites: several limits at once, slots without a
//! server, scripts that a server has forgotten, and what an operator sees in it.

use std::time::{Duration, Instant};

use portcullis::store::lockouts::{Lane, Outcome, Remembered, Source, Target};
use portcullis::store::redis::RedisState;
use portcullis::store::{
    Admission, Charge, Gatekeeper, LockoutRule, Lockouts, Revocation, Revocations, Sessions, Standing,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::Commands;

use super::gatekeeper::{admit, charge, hourly, quota, take};
use super::gateway_on_redis::GatewayOnRedis;
use super::leases::{assert_within, fresh, runtime};
use super::revocations::bearer;
use super::sessions::{bound, presentation, session};
use super::{HOUR, now};
use crate::servers::redis_cluster::{BorrowedCluster, RedisCluster};

/// Longer than any test: nobody takes over.
const NEVER: Duration = Duration::from_secs(600);

/// Counters lie in different slots, and what one of them was charged for a request that another
/// refuses stays with the gateway: never more than the limit gets through, of any of them.
#[test]
fn several_limits_at_once_let_no_more_through_than_each_of_them() {
    let (cluster, runtime) = (BorrowedCluster::take(), runtime());
    let quotas = || {
        (200..20_000u64, 1..60u32)
            .prop_map(|(step_us, burst)| quota(1, Duration::from_micros(step_us), burst))
    };
    // Which gateway, and whether the request has the first limit, the second, or both.
    let schedules = prop::collection::vec((0..3usize, 0..3usize), 50..250);

    let cases = (quotas(), quotas(), schedules);
    let outcome = TestRunner::new(Config::with_cases(60)).run(&cases, |(first, second, schedule)| {
        let charges = [fresh("first", first), fresh("second", second)];
        let sets: [&[Charge]; 3] = [&charges[..1], &charges[1..], &charges];
        let gateways: Vec<_> = (0..3).map(|_| GatewayOnRedis::strict_at(&cluster.url())).collect();
        let mut admitted = [Vec::new(), Vec::new()];
        runtime.block_on(async {
            for (gateway, set) in schedule {
                let start = Instant::now();
                let answer = admit(&*gateways[gateway].gatekeeper, None, sets[set]).await.expect("all run");
                if answer.verdicts.iter().all(|verdict| verdict.allowed) {
                    let decided = (start, Instant::now());
                    for (of, charge) in admitted.iter_mut().zip(&charges) {
                        if sets[set].contains(charge) {
                            of.push(decided);
                        }
                    }
                }
            }
        });
        assert_within(&first, &admitted[0])?;
        assert_within(&second, &admitted[1])
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test]
async fn what_one_limit_refuses_is_the_next_request_of_the_others() {
    let cluster = BorrowedCluster::take();
    let gateway = GatewayOnRedis::strict_at(&cluster.url());
    let (full, other) = (fresh("full", quota(1, HOUR, 1)), fresh("other", quota(1, HOUR, 4)));
    assert!(gateway.take(&full).await.allowed);
    assert!(gateway.take(&other).await.allowed);
    // Another gateway, which doesn't know that yet.
    let gateway = GatewayOnRedis::strict_at(&cluster.url());

    let both = admit(&*gateway.gatekeeper, None, &[full, other.clone()]).await.unwrap();

    let allowed = |admission: &Admission| -> Vec<bool> {
        admission.verdicts.iter().map(|verdict| verdict.allowed).collect()
    };
    assert_eq!(allowed(&both), [false, true]);
    for _ in 0..3 {
        assert!(gateway.take(&other).await.allowed);
    }
    assert!(!gateway.take(&other).await.allowed);
}

#[tokio::test]
async fn a_slot_without_a_server_fails_at_once_and_the_others_go_on() {
    let cluster = RedisCluster::start(NEVER);
    let gateway = GatewayOnRedis::mirrored_at(&cluster.url()).await;
    let revoked = bearer();
    gateway.state.revoke(Revocation::Token(revoked.token), now() + HOUR).await.unwrap();
    let at = |charge: &Charge| {
        cluster.primary_of(&format!("portcullis:limit:{}", charge.key)).expect("every slot is served").port()
    };
    let revocations = cluster.primary_of("portcullis:{revoked}:stream").expect("every slot is served").port();
    let charges = || (0..).map(|number| charge(&format!("limit:user:{number}"), quota(1, HOUR, 2)));
    let dead_charge = charges().find(|charge| at(charge) != revocations).expect("there are many");
    let dead = at(&dead_charge);
    let live: Vec<Charge> = charges().filter(|charge| at(charge) != dead).take(2).collect();
    let strict = GatewayOnRedis::strict_at(&cluster.url());
    for _ in 0..2 {
        assert!(take(&*strict.state, &live[0]).await.allowed);
    }

    cluster.nodes().iter().find(|node| node.port() == dead).expect("it is one of six").kill();

    let start = Instant::now();
    for _ in 0..20 {
        admit(&*strict.state, None, std::slice::from_ref(&dead_charge)).await.expect_err("nobody serves it");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "20 refusals took {:?}", start.elapsed());
    assert!(take(&*strict.state, &live[1]).await.allowed, "its server runs");
    let partly = admit(&*strict.state, None, &[live[1].clone(), dead_charge.clone()]).await;
    partly.expect_err("a limit that can't be asked doesn't let pass");
    let full = admit(&*strict.state, None, &[live[0].clone(), dead_charge.clone()]).await.unwrap();
    assert!(!full.verdicts[0].allowed, "what refuses counts");
    let known = admit(&*strict.state, Some(revoked), &[dead_charge]).await.unwrap();
    assert_eq!(known.standing, Standing::Revoked, "what is revoked stays so");
}

#[tokio::test]
async fn without_the_server_of_the_revocations_no_bearer_is_good() {
    let cluster = RedisCluster::start(NEVER);
    let strict = GatewayOnRedis::strict_at(&cluster.url());
    assert_eq!(admit(&*strict.state, Some(bearer()), &[]).await.unwrap().standing, Standing::Good);

    cluster.primary_of("portcullis:{revoked}:stream").expect("every slot is served").kill();

    for _ in 0..3 {
        strict.state.admit(Some(bearer()), &[]).await.expect_err("it may be revoked");
    }
    strict.state.ping().await.expect_err("readiness goes by it");
}

#[tokio::test]
async fn a_script_that_a_server_has_forgotten_is_sent_again() {
    let cluster = BorrowedCluster::take();
    let state = RedisState::open(&cluster.url()).unwrap();
    let ended = session();
    state.start(&ended, bound()).await.unwrap();

    for node in cluster.nodes() {
        node.ask::<()>(&["SCRIPT", "FLUSH"]).expect("it runs");
    }

    assert!(state.end(ended.id, now() + HOUR).await.unwrap());
    assert!(take(&state, &hourly("forgotten:address:a")).await.allowed);
}

#[tokio::test]
async fn every_key_is_ours_and_expires_and_an_operator_sees_the_blacklist() {
    let cluster = BorrowedCluster::take();
    let state = RedisState::open(&cluster.url()).unwrap();
    let (live, ended, bearer) = (session(), session(), bearer());
    let rule = LockoutRule { failures: 3, for_: HOUR };

    state.start(&live, bound()).await.unwrap();
    state.start(&ended, bound()).await.unwrap();
    state.rotate(live.id, presentation(1, now())).await.unwrap();
    state.end(ended.id, now() + HOUR).await.unwrap();
    state.revoke(Revocation::UserBelow(bearer.user, 7), now() + HOUR).await.unwrap();
    let (nobody, from) =
        (Target::Unknown("alice"), Source { network: "203.0.113.7".to_owned(), device: None });
    let account = Target::Account(live.user_id);
    for target in [nobody, account] {
        state.begin(target, &from, rule, now()).await.unwrap();
    }
    let until = now() + HOUR;
    let remember = Some(Remembered { network: &from.network, until });
    state.settle(account, &Lane::Strangers, Outcome::Right { remember }, rule, now()).await.unwrap();
    state.begin(account, &from, rule, now()).await.unwrap();
    state.admit(Some(bearer), &[hourly("all:address:a")]).await.unwrap();

    let mut held = Vec::new();
    for node in cluster.nodes().iter().filter(|node| node.info("role").as_deref() == Some("master")) {
        let mut redis = node.operator();
        let keys: Vec<String> = redis.keys("*").unwrap();
        for key in keys {
            let millis: i64 = redis.pttl(&key).unwrap();
            assert!(millis > 0, "{key} never expires");
            held.push(key);
        }
    }
    held.sort_unstable();
    let mut expected = vec![
        "portcullis:limit:all:address:a".to_owned(),
        "portcullis:lockout:{name:alice}".to_owned(),
        format!("portcullis:lockout:{{{}}}", live.user_id),
        format!("portcullis:known:{{{}}}", live.user_id),
        format!("portcullis:session:{}", live.id),
        format!("portcullis:sessions:{}", live.user_id),
        format!("portcullis:{{revoked}}:sid:{}", ended.id),
        "portcullis:{revoked}:stream".to_owned(),
        format!("portcullis:{{revoked}}:user:{}", bearer.user),
    ];
    expected.sort_unstable();
    assert_eq!(held, expected);
}
