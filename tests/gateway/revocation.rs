//! Revocation across a fleet: what one gateway revokes the others refuse at once, without asking
//! Redis for each request, and for a while without Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{self, Client, Gateway, Reason, Reload, Setup, Stores, eventually};
use crate::servers::postgres;
use crate::servers::redis::Redis;

/// Longer than any test: only Redis' silence for this long would make the mirror stale.
const PATIENT: &str = "
    revocation: { max_staleness: 60s }
    limits:
      local: { rate: 3/1h, by: user }
    routes:
      - { path: /protected, upstream: example }
      - { path: /secure/data, upstream: example, limits: [local] }
      - { path: \"/admin/{*rest}\", upstream: example, access: { roles: [admin] } }
";

async fn two_on(redis: &Arc<Redis>, setup: impl Fn() -> Setup) -> (Gateway, Gateway) {
    let stores = Stores::Servers { database_url: postgres::database().await, redis: redis.clone() };
    let one = harness::gateway(setup().stores(&stores)).await;
    let other = harness::gateway(setup().stores(&stores).upstream(one.upstream())).await;
    (one, other)
}

/// The same account at another gateway, with the same token.
fn at(gw: &Gateway, client: &Client) -> Client {
    let there = gw.client(client.username());
    there.set_token(Some(client.token()));
    there
}

/// How long until the reason is given, with nothing but 200 before.
async fn until_refused(client: &Client, reason: &str) -> Duration {
    let start = Instant::now();
    eventually("the refusal", async || {
        let answer = client.get("/protected").await;
        if answer.status() == 200 {
            return None;
        }
        assert_eq!(answer.reason(), Some(reason));
        Some(())
    })
    .await;
    start.elapsed()
}

async fn gauge(gw: &Gateway, name: &str) -> f64 {
    gw.metrics().await.value(name, &[]).expect("always there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_one_gateway_is_refused_at_another_that_asks_nobody() {
    let redis = Arc::new(Redis::start());
    let (one, other) = two_on(&redis, || Setup::from(PATIENT)).await;
    let alice = one.register("alice").await;
    let asked = redis.admissions();

    let mut took = Vec::new();
    for _ in 0..10 {
        let at_other = at(&other, &alice);
        assert_eq!(at_other.get("/protected").await.status(), 200);
        alice.logout().await;
        assert_eq!(alice.get("/protected").await.reason(), Some("token_revoked"), "here before the answer");
        took.push(until_refused(&at_other, "token_revoked").await);
        alice.login().await;
    }

    assert_eq!(redis.admissions(), asked, "neither gateway asked about a bearer");
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_millis(250), "{took:?}");
    assert_eq!(gauge(&other, "revocation_mirrored").await, 1.0);
    assert!(gauge(&other, "revocation_lag_seconds").await < 60.0);
    assert_eq!(gauge(&other, "rate_limit_store_calls_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_given_by_the_command_line_makes_tokens_stale_everywhere_and_a_refresh_brings_it() {
    let redis = Arc::new(Redis::start());
    let (one, other) = two_on(&redis, || Setup::from(PATIENT)).await;
    one.register("alice").await;
    let alice = other.client("alice");
    alice.login().await;
    let asked = redis.admissions();

    let output = one.cli(&["user", "set-role", "alice", "admin", "--config", "gateway.yaml"]);
    assert!(output.status.success(), "{output:?}");

    until_refused(&alice, "token_stale").await;
    alice.refresh().await;
    assert_eq!(alice.get("/admin/dashboard").await.status(), 200);
    assert_eq!(redis.admissions(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_started_after_the_logout_refuses_from_its_first_request() {
    let redis = Arc::new(Redis::start());
    let stores = Stores::Servers { database_url: postgres::database().await, redis: redis.clone() };
    let one = harness::gateway(Setup::from(PATIENT).stores(&stores)).await;
    let alice = one.register("alice").await;
    alice.logout().await;

    let late = harness::gateway(Setup::from(PATIENT).stores(&stores)).await;

    assert_eq!(at(&late, &alice).get("/protected").await.reason(), Some("token_revoked"));
    assert_eq!(redis.admissions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_bearers_go_on_from_the_mirror_and_limits_are_counted_here() {
    let redis = Arc::new(Redis::start());
    let (one, _other) = two_on(&redis, || Setup::from(PATIENT)).await;
    let (alice, bob) = (one.register("alice").await, one.register("bob").await);
    bob.logout().await;

    redis.kill();

    for _ in 0..20 {
        assert_eq!(alice.get("/protected").await.status(), 200);
        assert_eq!(bob.get("/protected").await.reason(), Some("token_revoked"));
    }
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(alice.get("/secure/data").await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429], "on_store_error: local");
    assert_eq!(one.readiness().await, Some(503));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_without_redis_even_where_unchecked_ones_pass() {
    let redis = Arc::new(Redis::start());
    let setup = || Setup::default().with("revocation: { max_staleness: 200ms, on_store_error: allow }");
    let (one, _other) = two_on(&redis, setup).await;
    let (alice, bob) = (one.register("alice").await, one.register("bob").await);
    bob.logout().await;

    redis.kill();
    eventually("the mirror to be stale", async || {
        (gauge(&one, "revocation_mirrored").await == 0.0).then_some(())
    })
    .await;

    assert_eq!(alice.get("/protected").await.status(), 200);
    assert_eq!(bob.get("/protected").await.reason(), Some("token_revoked"));
}

/// An entry of a later version, or of somebody else's making: what it revokes isn't known, so nobody is
/// vouched for until it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_makes_requests_ask_until_it_is_removed() {
    const STREAM: &str = "portcullis:revocations";
    let redis = Arc::new(Redis::start());
    let (one, other) = two_on(&redis, || Setup::default().with("revocation: { max_staleness: 200ms }")).await;
    let (alice, bob) = (one.register("alice").await, one.register("bob").await);

    let entry: String = redis.ask(&["XADD", STREAM, "*", "kind", "unheard-of"]).expect("it runs");
    for gw in [&one, &other] {
        eventually("the mirror to be stale", async || {
            (gauge(gw, "revocation_mirrored").await == 0.0).then_some(())
        })
        .await;
        gw.logged(|line| line.to_string().contains(&format!("entry {entry} of {STREAM} is unreadable")))
            .await;
        assert_eq!(gw.readiness_report().await["status"], "degraded");
    }
    let asked = redis.admissions();
    assert_eq!(at(&other, &alice).get("/protected").await.status(), 200);
    assert!(redis.admissions() > asked, "it was asked");
    bob.logout().await;
    assert_eq!(at(&other, &bob).get("/protected").await.reason(), Some("token_revoked"));

    redis.ask::<u64>(&["XDEL", STREAM, &entry]).expect("it runs");

    for gw in [&one, &other] {
        eventually("the mirror to be current", async || {
            (gauge(gw, "revocation_mirrored").await == 1.0).then_some(())
        })
        .await;
    }
    assert_eq!(at(&other, &bob).get("/protected").await.reason(), Some("token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_that_mode_and_max_staleness_wait_for_a_restart() {
    const WAITS: &str = "revocation.mode and max_staleness changed; that takes effect at the next start";
    let redis = Arc::new(Redis::start());
    let (gw, _) = two_on(&redis, || Setup::from(PATIENT)).await;

    for changed in ["mode: strict", "max_staleness: 200ms"] {
        let warnings = gw.log().matches(WAITS).count();
        let reload = gw.reload(Setup::from(PATIENT).with(&format!("revocation: {{ {changed} }}"))).await;
        assert_eq!(reload, Reload::InForce, "{changed}");
        assert_eq!(gw.log().matches(WAITS).count(), warnings + 1, "{changed}");
    }
    // Neither asks per request nor has a shorter patience.
    let alice = gw.register("alice").await;
    redis.pause();
    let paused = Instant::now();
    while paused.elapsed() < Duration::from_secs(1) {
        assert_eq!(alice.get("/protected").await.status(), 200);
    }
    redis.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_tells_how_revocations_are_known() {
    let redis = Arc::new(Redis::start());
    let (one, other) = two_on(&redis, || Setup::from(PATIENT)).await;
    let strict = harness::gateway(
        Setup::default().with("revocation: { mode: strict }").stores(one.stores()).upstream(one.upstream()),
    )
    .await;

    for (gw, expected) in [(&one, "mirrored"), (&other, "mirrored"), (&strict, "checked per request")] {
        let readiness: Value = gw.readiness_report().await;
        assert_eq!(readiness["revocations"], expected, "{readiness}");
        assert_eq!(readiness["status"], "ready", "{readiness}");
    }
}
