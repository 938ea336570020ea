//! Limits under load: exact however many ask at once and through how many gateways, at one round
//! trip each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::harness::{self, Client, Gateway, Setup, Stores};
use crate::servers::redis::Redis;

const TWENTY_A_MINUTE: &str = "
    limits:
      twenty: { rate: 20/1m, by: address }
      many: { rate: 1000000/1s, by: user }
      also-many: { rate: 1000000/1s, by: address }
    routes:
      - { path: /public/hello, upstream: example, access: public, limits: [twenty] }
      - { path: /protected, upstream: example, limits: [many, also-many] }
      - { path: /questions/topics, upstream: example, access: public, limits: [] }
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

#[tokio::test]
async fn a_token_and_all_limits_cost_one_round_trip() {
    let stores = Stores::servers().await;
    let gw = harness::gateway(Setup::from(TWENTY_A_MINUTE).stores(&stores)).await;
    let Stores::Servers { redis, .. } = &stores else { unreachable!("made above") };
    let alice = gw.register("alice").await;
    // The script is loaded by the first call.
    alice.get("/protected").await;
    let (calls_before, metric_before) = (calls(redis), store_calls(&gw).await);

    for _ in 0..10 {
        assert_eq!(alice.get("/protected").await.status(), 200);
        assert_eq!(alice.get("/questions/topics").await.status(), 200, "neither token nor limit");
    }

    let calls_after = calls(redis);
    let made = |command: &str| {
        let before = calls_before.get(command).copied().unwrap_or_default();
        calls_after.get(command).copied().unwrap_or_default() - before
    };
    assert_eq!(store_calls(&gw).await - metric_before, 10.0);
    assert_eq!(made("evalsha"), 10);
    // What the script itself calls, which is no round trip: the revocation keys and both counters
    // are read at once.
    assert_eq!((made("mget"), made("set"), made("get")), (10, 20, 0));
}

async fn store_calls(gw: &Gateway) -> f64 {
    gw.metrics().await.value("rate_limit_store_calls_total", &[]).expect("always there")
}

/// Calls by command, since this Redis was started.
fn calls(redis: &Arc<Redis>) -> HashMap<String, u64> {
    let client = redis::Client::open(redis.url()).expect("the URL is right");
    let mut connection = client.get_connection().expect("it runs");
    let info: String =
        redis::cmd("INFO").arg("commandstats").query(&mut connection).expect("it answers INFO");
    let stats = info.lines().filter_map(|line| {
        let (command, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = stats.split(',').next()?.parse().ok()?;
        Some((command.to_owned(), calls))
    });
    stats.collect()
}
