//! Limits under load: exact however many ask at once and through how many gateways, and cheap: a
//! hot key asks Redis a few times in hundreds of requests, a refused one not at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::harness::{self, Client, Gateway, Setup, Stores};
use crate::servers::redis::Redis;

const TWENTY_A_MINUTE: &str = "
    limits:
      twenty: { rate: 20/1m, by: address }
    routes:
      - { path: /public/hello, upstream: example, access: public, limits: [twenty] }
";

/// One request comes back in this time.
const EMISSION: Duration = Duration::from_secs(3);

/// So many requests at once, dealt out to the gateways in turn: how many passed, and whether that
/// is exactly the limit plus at most what was refilled meanwhile.
async fn assert_exactly_twenty_of_200_pass(gateways: &[&Gateway]) {
    let clients: Vec<Client> = gateways.iter().map(|gw| gw.anonymous()).collect();
    let started = Instant::now();

    let requests = (0..200).map(|number| clients[number % clients.len()].get("/public/hello"));
    let statuses: Vec<u16> =
        join_all(requests).await.into_iter().map(|answer| answer.status().as_u16()).collect();

    let refilled = started.elapsed().as_micros().div_ceil(EMISSION.as_micros());
    let passed = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(passed + refused, 200, "{statuses:?}");
    assert!((20..=20 + refilled as usize).contains(&passed), "{passed} passed, {refilled} were refilled");
    assert_eq!(gateways[0].upstream_calls("/public/hello").await, passed as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn class_99_200_parallel_requests_against_20_per_minute_pass_exactly_20_through_two_gateways() {
    let stores = Stores::servers().await;
    let one = harness::gateway(Setup::from(TWENTY_A_MINUTE).stores(&stores)).await;
    let setup = Setup::from(TWENTY_A_MINUTE).stores(&stores).upstream(one.upstream());
    let other = harness::gateway(setup).await;

    assert_exactly_twenty_of_200_pass(&[&one, &other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_99_200_parallel_requests_against_20_per_minute_pass_exactly_20_embedded() {
    let gw = harness::gateway(TWENTY_A_MINUTE).await;

    assert_exactly_twenty_of_200_pass(&[&gw]).await;
}

/// Every request of a hot user is charged to both.
const ROOMY: &str = "
    limits:
      many: { rate: 1/1h, burst: 100000, by: user }
      also-many: { rate: 1/1h, burst: 100000, by: address }
    routes:
      - { path: /protected, upstream: example, limits: [many, also-many] }
      - { path: /questions/topics, upstream: example, access: public, limits: [] }
";

async fn on_redis(setup: Setup) -> (Gateway, Arc<Redis>) {
    let stores = Stores::servers().await;
    let Stores::Servers { redis, .. } = &stores else { unreachable!("made above") };
    (harness::gateway(setup.stores(&stores)).await, redis.clone())
}

#[tokio::test]
async fn a_hot_user_costs_a_few_round_trips_in_hundreds_of_requests() {
    let (gw, redis) = on_redis(Setup::from(ROOMY)).await;
    let alice = gw.register("alice").await;
    let (asked_before, metric_before) = (redis.admissions(), store_calls(&gw).await);

    for number in 1..=300 {
        let answer = alice.get("/protected").await;
        assert_eq!(answer.status(), 200);
        let standing = answer.headers()["ratelimit"].to_str().expect("ASCII").to_owned();
        let remaining = standing.split(['=', ';']).nth(2).and_then(|digits| digits.parse().ok());
        let expected = 100_000 - number;
        // What was lent and not used within a second, on a very slow machine, is lost.
        assert!((expected - 1000..=expected).contains(&remaining.expect("r=")), "{standing}");
    }

    let asked = || redis.admissions() - asked_before;
    assert!(asked() <= 40, "{} round trips", asked());
    // A lease may be renewed right now.
    harness::eventually("the metric to count what was asked", async || {
        (store_calls(&gw).await - metric_before == asked() as f64).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refused_address_costs_no_round_trip() {
    let (gw, redis) = on_redis(Setup::from(TWENTY_A_MINUTE)).await;
    let client = gw.anonymous();
    while client.get("/public/hello").await.status() == 200 {}
    let (asked_before, started) = (redis.admissions(), Instant::now());

    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(client.get("/public/hello").await.status() == 429);
    }

    // One passes every three seconds, and a question may come a moment too early.
    let returned = started.elapsed().as_micros().div_ceil(EMISSION.as_micros());
    let asked = u128::from(redis.admissions() - asked_before);
    assert!(u128::from(refused) + returned >= 100, "{refused} refused");
    assert!(asked <= 10 * returned, "{asked} round trips");
}

#[tokio::test]
async fn strict_asks_about_every_token_and_all_limits_in_one_round_trip() {
    // A burst too small for leases, so that each counter is written each time.
    let setup = Setup::from(
        "
        revocation: { mode: strict }
        limits:
          many: { rate: 1000/1s, burst: 9, by: user }
          also-many: { rate: 1000/1s, burst: 9, by: address }
        routes:
          - { path: /protected, upstream: example, limits: [many, also-many] }
          - { path: /questions/topics, upstream: example, access: public, limits: [] }
        ",
    );
    let (gw, redis) = on_redis(setup).await;
    let alice = gw.register("alice").await;
    // The script is loaded by the first call.
    alice.get("/protected").await;
    let (calls_before, metric_before) = (redis.calls(), store_calls(&gw).await);

    for _ in 0..10 {
        assert_eq!(alice.get("/protected").await.status(), 200);
        assert_eq!(alice.get("/questions/topics").await.status(), 200, "neither token nor limit");
    }

    let calls_after = redis.calls();
    let made = |command: &str| {
        let before = calls_before.get(command).copied().unwrap_or_default();
        calls_after.get(command).copied().unwrap_or_default() - before
    };
    assert_eq!(store_calls(&gw).await - metric_before, 10.0);
    // Following the log of purges goes on beside it: a script with one EXISTS each.
    assert_eq!(made("evalsha") - made("exists"), 10);
    // What the script itself calls, which is no round trip: the revocation keys and both counters
    // are read at once.
    assert_eq!((made("mget"), made("set"), made("get")), (10, 20, 0));
    let metrics = gw.metrics().await;
    assert_eq!(metrics.value("revocation_mirrored", &[]), Some(0.0));
    assert_eq!(metrics.value("revocation_lag_seconds", &[]), Some(0.0));
}

async fn store_calls(gw: &Gateway) -> f64 {
    gw.metrics().await.value("rate_limit_store_calls_total", &[]).expect("always there")
}
