//! How often leases ask Redis: most requests ask nobody.

use std::time::{Duration, Instant};

use portcullis::store::{Charge, Price};

use super::MINUTE;
use super::gatekeeper::{charge, quota};
use super::gateway_on_redis::GatewayOnRedis;
use super::leases::never_refilled;
use super::revocations::bearer;
use crate::servers::redis::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_asks_a_few_times_in_hundreds_of_requests() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::mirrored(&redis).await.in_no_time();
    let charges = [
        charge("hot:user:alice", quota(1, MINUTE, 100_000)),
        charge("hot:role:user", quota(1, MINUTE, 50_000)),
    ];
    let alice = bearer();

    for number in 1..=500u32 {
        let verdicts = gateway.admit(Some(alice), &charges).await;
        for (verdict, burst) in verdicts.iter().zip([100_000, 50_000]) {
            assert_eq!(verdict.remaining, burst - number);
        }
        // Requests come slower than Redis answers.
        gateway.until_renewed().await;
    }

    assert!(redis.admissions() <= 25, "{} round trips", redis.admissions());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_key_is_hot_its_requests_wait_for_nobody() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::strict(&redis).in_no_time();
    let charge = charge("hot:user:alice", quota(1, MINUTE, 100_000));

    let mut waited = 0;
    for _ in 0..1000 {
        if gateway.take_at_once(&charge).is_none() {
            waited += 1;
            gateway.take(&charge).await;
        }
        // Requests come slower than Redis answers.
        gateway.until_renewed().await;
    }

    assert_eq!(waited, 2, "the first alone, the second with one in advance");
    assert!(redis.admissions() <= 20, "{} round trips", redis.admissions());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_once_and_only_for_those_who_use_it() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::strict(&redis).in_no_time();
    let charge = charge("hot:user:alice", never_refilled(10_000));
    for _ in 0..100 {
        gateway.take(&charge).await;
        gateway.until_renewed().await;
    }
    let asked = redis.admissions();

    redis.pause();
    let mut taken = 0;
    while gateway.take_at_once(&charge).is_some() {
        taken += 1;
    }
    redis.resume();

    assert!(taken > 10, "{taken}");
    assert_eq!(gateway.renewals_begun(), 1);
    gateway.until_renewed().await;
    assert_eq!(redis.admissions(), asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_nothing_asks_seldom_and_takes_nothing() {
    let redis = Redis::start();
    let gateway = GatewayOnRedis::strict(&redis).in_no_time();
    let whole = charge("hot:user:alice", never_refilled(100));
    let free = Charge { price: Price::part(0), ..whole.clone() };

    for _ in 0..1000 {
        assert!(gateway.take(&free).await.allowed);
    }

    let asked = redis.admissions();
    assert!(asked <= 2, "{asked} round trips");
    assert_eq!(gateway.take(&whole).await.remaining, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_asks_nobody_until_its_time() {
    let redis = Redis::start();
    let (one, other) = (GatewayOnRedis::strict(&redis), GatewayOnRedis::strict(&redis));
    let every = Duration::from_millis(500);
    let charge = charge("login:address:a", quota(1, every, 1));
    let start = Instant::now();
    assert!(one.take(&charge).await.allowed);
    assert!(!other.take(&charge).await.allowed, "Redis says no");
    let asked = redis.admissions();

    let mut refused = 0;
    while !one.take(&charge).await.allowed {
        refused += 1;
        if start.elapsed() < every / 2 {
            assert!(!other.take(&charge).await.allowed);
        }
    }

    assert!(start.elapsed() >= every);
    assert!(refused > 100);
    // Its clock starts a moment before Redis decides, so the first question may come a little early.
    assert!(redis.admissions() - asked <= 10, "{} round trips", redis.admissions() - asked);
}
