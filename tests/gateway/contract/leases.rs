//! Leases: no gateway ever lets more through than the limit, however many share it, and what they hold
//! back is no more than what they were lent.

use std::time::{Duration, Instant};

use portcullis::store::{Charge, Gatekeeper, Price, Quota, Revocation, Revocations};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::gatekeeper::{admit, charge, hourly, quota};
use super::gateway_on_redis::GatewayOnRedis;
use super::revocations::bearer;
use super::{HOUR, eventually, in_parallel, now};
use crate::servers::redis::Redis;

/// When a request was decided: between these two.
pub(super) type Decided = (Instant, Instant);

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn gateways(redis: &Redis) -> [GatewayOnRedis; 3] {
    [(); 3].map(|()| GatewayOnRedis::strict(redis))
}

/// A counter that no other case uses.
pub(super) fn fresh(name: &str, quota: Quota) -> Charge {
    charge(&format!("{name}:user:{}", uuid::Uuid::now_v7()), quota)
}

/// `None` when it was refused.
async fn try_once(gateway: &GatewayOnRedis, charge: &Charge) -> Option<Decided> {
    let start = Instant::now();
    gateway.take(charge).await.allowed.then(|| (start, Instant::now()))
}

/// In no window more than the burst and what is refilled in it: the exact meaning of the limit.
pub(super) fn assert_within(quota: &Quota, admitted: &[Decided]) -> Result<(), TestCaseError> {
    for (first, (from, _)) in admitted.iter().enumerate() {
        for (last, (_, to)) in admitted.iter().enumerate().skip(first) {
            let window_us = to.saturating_duration_since(*from).as_micros();
            let uses = (last - first + 1) as u128;
            let most = u128::from(quota.burst) + window_us / u128::from(quota.step_us());
            prop_assert!(uses <= most, "{uses} within {window_us} µs, {most} are allowed by {quota:?}");
        }
    }
    Ok(())
}

/// What a gateway may be lent and not have used: a lease, and what is left of one when the next is asked for.
fn most_lent(burst: u32) -> u32 {
    burst / 10 + burst / 40
}

#[test]
fn no_schedule_over_several_gateways_lets_more_through_than_the_limit() {
    let (redis, runtime) = (Redis::start(), runtime());
    // From one in 50 µs, less than a round trip, to one in 20 ms.
    let quotas = (50..20_000u64, 1..120u32)
        .prop_map(|(step_us, burst)| quota(1, Duration::from_micros(step_us), burst));
    let schedules = prop::collection::vec(0..3usize, 50..250);

    let outcome = TestRunner::new(Config::with_cases(150)).run(&(quotas, schedules), |(quota, schedule)| {
        let charge = fresh("case", quota);
        let gateways = gateways(&redis);
        let mut admitted = Vec::new();
        runtime.block_on(async {
            for turn in schedule {
                admitted.extend(try_once(&gateways[turn], &charge).await);
            }
        });
        assert_within(&quota, &admitted)
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The schedule that a lease which didn't melt would profit from: it is lent, the bucket drains, and
/// then everybody comes.
#[test]
fn what_was_lent_before_a_rest_does_not_come_on_top_of_a_burst() {
    let (redis, runtime) = (Redis::start(), runtime());
    let quotas = (500..1_000u64, 100..200u32)
        .prop_map(|(step_us, burst)| quota(1, Duration::from_micros(step_us), burst));
    let warm_up = prop::collection::vec(0..3usize, 60..90);
    let rush = prop::collection::vec(0..3usize, 300);

    let cases = (quotas, warm_up, rush);
    let outcome = TestRunner::new(Config::with_cases(12)).run(&cases, |(quota, warm_up, rush)| {
        let charge = fresh("rest", quota);
        let key = format!("portcullis:limit:{}", charge.key);
        let gateways = gateways(&redis);
        let mut admitted = Vec::new();
        runtime.block_on(async {
            for turn in warm_up {
                admitted.extend(try_once(&gateways[turn], &charge).await);
            }
            let mut operator = redis.operator();
            let mut is_at_rest = || !redis::Commands::exists::<_, bool>(&mut operator, &key).unwrap();
            eventually("the bucket is empty", async || is_at_rest()).await;
            for turn in rush {
                admitted.extend(try_once(&gateways[turn], &charge).await);
            }
        });
        assert_within(&quota, &admitted)
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_crowd_at_several_gateways_gets_no_more_than_the_limit() {
    let (redis, runtime) = (Redis::start(), runtime());
    let quotas = (200..5_000u64, 1..200u32)
        .prop_map(|(step_us, burst)| quota(1, Duration::from_micros(step_us), burst));

    let outcome = TestRunner::new(Config::with_cases(30)).run(&quotas, |quota| {
        let charge = fresh("crowd", quota);
        let gateways = std::sync::Arc::new(gateways(&redis));
        let mut admitted: Vec<Decided> = runtime
            .block_on(in_parallel(400, |turn| {
                let (gateways, charge) = (gateways.clone(), charge.clone());
                async move { try_once(&gateways[turn % 3], &charge).await }
            }))
            .into_iter()
            .flatten()
            .collect();
        admitted.sort_unstable_by_key(|(from, _)| *from);
        let (Some((from, _)), Some(to)) = (admitted.first(), admitted.iter().map(|(_, to)| to).max()) else {
            return Err(TestCaseError::fail("nobody passed"));
        };
        let refilled = to.duration_since(*from).as_micros() / u128::from(quota.step_us());
        prop_assert!(admitted.len() as u128 <= u128::from(quota.burst) + refilled);
        let lent_at_most = 3 * most_lent(quota.burst) as usize;
        prop_assert!(
            admitted.len() + lent_at_most >= quota.burst as usize,
            "{} of {quota:?}",
            admitted.len()
        );
        Ok(())
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Nothing is refilled within a test, so the sum tells whether anything was lost.
pub(super) fn never_refilled(burst: u32) -> Quota {
    quota(1, HOUR, burst)
}

/// How many pass until the gateway refuses and has nothing to come.
async fn take_all(gateway: &GatewayOnRedis, charge: &Charge) -> u32 {
    let mut passed = 0;
    loop {
        while gateway.take(charge).await.allowed {
            passed += 1;
        }
        if gateway.renewals_begun() == 0 {
            return passed;
        }
        gateway.until_renewed().await;
    }
}

#[test]
fn what_gateways_hold_back_is_what_they_were_lent_and_did_not_use() {
    let (redis, runtime) = (Redis::start(), runtime());
    let cases = (10..400u32, prop::collection::vec(0..3usize, 0..300));

    let outcome = TestRunner::new(Config::with_cases(80)).run(&cases, |(burst, schedule)| {
        let charge = fresh("sum", never_refilled(burst));
        let gateways = gateways(&redis).map(GatewayOnRedis::in_no_time);
        let mut passed = 0;
        runtime.block_on(async {
            for turn in schedule {
                passed += u32::from(gateways[turn].take(&charge).await.allowed);
            }
            // The first goes on until it is refused; what the others were lent stays with them.
            passed += take_all(&gateways[0], &charge).await;
            prop_assert!(passed <= burst, "{passed} of {burst}");
            let held_back = burst - passed;
            prop_assert!(held_back <= 2 * most_lent(burst), "{held_back} of {burst}");
            // Now they use it.
            for gateway in &gateways[1..] {
                passed += take_all(gateway, &charge).await;
            }
            prop_assert_eq!(passed, burst);
            Ok(())
        })
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_requests_add_up_over_gateways_and_their_leases() {
    let redis = Redis::start();
    let gateways = gateways(&redis).map(GatewayOnRedis::in_no_time);
    let quarter = Charge { price: Price::part(250), ..charge("hot:user:alice", never_refilled(100)) };

    let mut passed = 0;
    for gateway in gateways.iter().cycle().take(900) {
        passed += u32::from(gateway.take(&quarter).await.allowed);
    }

    // The last one needs room for a whole request; each may hold back what it was lent.
    assert!((397 - 3 * 40..=397).contains(&passed), "{passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_limit_refuses_goes_back_to_the_leases_of_the_others() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::strict(&redis).in_no_time();
    let wide = charge("wide:user:alice", never_refilled(1000));
    for _ in 0..20 {
        gateway.take(&wide).await;
    }
    let narrow = hourly("narrow:user:alice");
    let both = [wide.clone(), narrow.clone()];

    let verdicts = gateway.admit(None, &both).await;
    assert!(verdicts.iter().all(|verdict| verdict.allowed));
    let other = GatewayOnRedis::strict(&redis).in_no_time();
    for gateway in [&gateway, &other] {
        for _ in 0..100 {
            let verdicts = gateway.admit(None, &both).await;
            assert!(verdicts[0].allowed && !verdicts[1].allowed);
        }
    }

    // What is on its way would count as used.
    gateway.until_renewed().await;
    let remaining = gateway.take(&wide).await.remaining;
    assert_eq!(remaining, 1000 - 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_raised_counts_at_once() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::strict(&redis);
    let narrow = charge("per-user:user:alice", never_refilled(1));
    assert!(gateway.take(&narrow).await.allowed);
    assert!(!gateway.take(&narrow).await.allowed);

    let raised = charge("per-user:user:alice", never_refilled(3));

    assert!(gateway.take(&raised).await.allowed);
    assert!(gateway.take(&raised).await.allowed, "what was used before counts, and no more");
    assert!(!gateway.take(&raised).await.allowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_bearer_takes_nothing_from_its_users_lease() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::strict(&redis).in_no_time();
    let (wide, alice) = (charge("wide:user:alice", never_refilled(1000)), bearer());
    for _ in 0..20 {
        gateway.take(&wide).await;
    }
    gateway.state.revoke(Revocation::Token(alice.token), now() + HOUR).await.unwrap();

    for _ in 0..100 {
        assert_eq!(gateway.admit(Some(alice), std::slice::from_ref(&wide)).await, []);
    }

    // What is on its way would count as used.
    gateway.until_renewed().await;
    let remaining = gateway.take(&wide).await.remaining;
    assert_eq!(remaining, 1000 - 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_what_is_lent_can_still_be_used_and_no_more() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored(&redis).await.in_no_time();
    let (charge, alice) = (charge("hot:user:alice", never_refilled(100_000)), bearer());
    for _ in 0..300 {
        gateway.take(&charge).await;
    }
    // So that something is left, however the sizes of leases are chosen.
    while gateway.gatekeeper.admit_at_once(None, std::slice::from_ref(&charge)).is_none() {
        gateway.take(&charge).await;
    }

    redis.kill();
    let mut passed = 0;
    let end = loop {
        match admit(&*gateway.gatekeeper, Some(alice), std::slice::from_ref(&charge)).await {
            Ok(admission) => {
                assert!(admission.verdicts[0].allowed);
                passed += 1;
            }
            Err(error) => break error,
        }
    };

    assert!(passed <= 10_000, "no lease is larger than a tenth of the burst");
    assert_eq!(end.store, "redis");
    assert_eq!(gateway.known(alice), Some(portcullis::store::Standing::Good));
    redis.restart();
    eventually("limits are counted again", async || {
        admit(&*gateway.gatekeeper, Some(alice), std::slice::from_ref(&charge)).await.is_ok()
    })
    .await;
}
