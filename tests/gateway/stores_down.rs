//! DESIGN's table of what is answered while a store or an upstream is down, and that everything
//! heals by itself. Class 103.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Setup, Stores, eventually};
use crate::servers::postgres::{self, Postgres};
use crate::servers::redis::Redis;

const ROUTES: &str = "
    limits:
      local: { rate: 3/1h, by: address, on_store_error: local }
      allow: { rate: 3/1h, by: address, on_store_error: allow }
      deny: { rate: 1000/1h, by: address, on_store_error: deny }
    upstreams:
      example: { servers: [\"${UPSTREAM}\"], timeouts: { connect: 1s, read: 1s } }
    routes:
      - { path: \"/public/{*rest}\", upstream: example, access: public }
      - { path: /protected, upstream: example }
      - { path: \"/status/{code}\", upstream: example, access: public, limits: [local] }
      - { path: /questions/topics, upstream: example, access: public, limits: [allow] }
      - { path: /echo, upstream: example, access: public, limits: [deny] }
      - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: /slow, upstream: example, access: public }
";

/// How long a refusal for a store's sake may take.
const IN_TIME: Duration = Duration::from_secs(5);

async fn with_redis_of_its_own() -> (Gateway, Arc<Redis>) {
    let redis = Arc::new(Redis::start_durable());
    let stores = Stores::Servers { database_url: postgres::database().await, redis: redis.clone() };
    (harness::gateway(Setup::from(ROUTES).stores(&stores)).await, redis)
}

async fn with_postgres_of_its_own() -> (Gateway, Postgres) {
    let postgres = Postgres::start();
    let stores = Stores::Servers { database_url: postgres.database().await, redis: Arc::new(Redis::start()) };
    (harness::gateway(Setup::from(ROUTES).stores(&stores)).await, postgres)
}

/// Asserts the answer that DESIGN states for a store that is down.
fn assert_unavailable(what: &str, answer: &Response, asked: Instant) {
    assert_eq!((answer.status().as_u16(), answer.reason()), (503, Some("store_unavailable")), "{what}");
    assert!(answer.headers().contains_key("retry-after"), "{what}: {answer:?}");
    assert!(asked.elapsed() < IN_TIME, "{what} took {:?}", asked.elapsed());
}

async fn login(client: &Client) -> Response {
    let credentials = json!({ "username": client.username(), "password": PASSWORD });
    client.send(client.request_without_token(Method::POST, "/auth/login").json(&credentials)).await
}

async fn status(client: &Client, path: &str) -> u16 {
    client.get(path).await.status().as_u16()
}

async fn statuses(client: &Client, path: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(status(client, path).await);
    }
    statuses
}

/// The first answer that doesn't blame a store or the upstream: each thread of the gateway has
/// connections of its own and finds out for itself.
async fn once_recovered(client: &Client, path: &str) -> Response {
    eventually("the recovery", async || {
        let answer = client.get(path).await;
        (answer.status().as_u16() < 500).then_some(answer)
    })
    .await
}

async fn until_ready(gw: &Gateway) {
    eventually("/readyz", async || (gw.readiness().await == Some(200)).then_some(())).await;
}

async fn store_errors(gw: &Gateway, store: &str) -> f64 {
    gw.metrics().await.value("store_errors_total", &[&format!("store=\"{store}\"")]).unwrap_or(0.0)
}

/// Until bearers are no longer vouched for by what the gateway has read of the revocations.
async fn until_stale(gw: &Gateway) {
    eventually("the mirror to be stale", async || {
        (gw.metrics().await.value("revocation_mirrored", &[]) == Some(0.0)).then_some(())
    })
    .await;
}

/// All that is answered without Redis, once the mirror is stale.
async fn assert_answers_without_redis(gw: &Gateway, alice: &Client) {
    let anonymous = gw.anonymous();
    let asked = Instant::now();
    assert_unavailable("a bearer", &alice.get("/protected").await, asked);
    for (method, path) in [
        (Method::GET, "/auth/me"),
        (Method::POST, "/auth/logout"),
        (Method::POST, "/auth/logout?all=true"),
        (Method::POST, "/auth/refresh"),
    ] {
        let asked = Instant::now();
        assert_unavailable(path, &alice.send(alice.request(method, path)).await, asked);
    }
    let asked = Instant::now();
    assert_unavailable("a login", &login(alice).await, asked);

    assert_eq!(status(&anonymous, "/public/hello").await, 200);
    assert_eq!(anonymous.get("/protected").await.reason(), Some("no_credentials"));
    assert_eq!(statuses(&anonymous, "/questions/topics", 5).await, [200; 5], "on_store_error: allow");
    let asked = Instant::now();
    assert_unavailable("on_store_error: deny", &anonymous.get("/echo").await, asked);
    for _ in 0..2 {
        let bypassed = anonymous.get("/expensive").await;
        assert_eq!(bypassed.status(), 200);
        assert_eq!(bypassed.headers()["cache-status"], "portcullis; fwd=bypass; detail=store-unavailable");
    }
    assert_eq!(gw.readiness().await, Some(503));
}

#[tokio::test]
async fn class_103_redis_killed_and_started_again() {
    let (gw, redis) = with_redis_of_its_own().await;
    let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
    bob.logout().await;
    assert_eq!(status(&gw.anonymous(), "/expensive").await, 200);
    let errors_before = store_errors(&gw, "redis").await;

    redis.kill();
    until_stale(&gw).await;
    assert_answers_without_redis(&gw, &alice).await;
    assert_eq!(
        statuses(&gw.anonymous(), "/status/200", 4).await,
        [200, 200, 200, 429],
        "on_store_error: local"
    );
    assert!(store_errors(&gw, "redis").await > errors_before);
    redis.restart();

    assert_eq!(once_recovered(&alice, "/protected").await.status(), 200);
    let revoked = once_recovered(&bob, "/protected").await;
    assert_eq!(revoked.reason(), Some("token_revoked"), "a revocation outlives the crash");
    until_ready(&gw).await;
    alice.refresh().await;
    alice.logout().await;
    assert_eq!(once_recovered(&alice, "/protected").await.reason(), Some("token_revoked"));
    bob.login().await;
    assert_eq!(once_recovered(&bob, "/protected").await.status(), 200);
    eventually("a cache hit", async || {
        let answer = gw.anonymous().get("/expensive").await;
        answer.headers()["cache-status"].as_bytes().starts_with(b"portcullis; hit; ttl=").then_some(())
    })
    .await;
}

#[tokio::test]
async fn class_103_redis_that_hangs_holds_nobody_up_for_long() {
    let (gw, redis) = with_redis_of_its_own().await;
    let alice = gw.register("alice").await;

    redis.pause();
    until_stale(&gw).await;
    assert_answers_without_redis(&gw, &alice).await;
    let asked = Instant::now();
    let refused = futures::future::join_all((0..50).map(|_| alice.get("/protected"))).await;
    assert!(refused.iter().all(|answer| answer.reason() == Some("store_unavailable")));
    assert!(asked.elapsed() < IN_TIME, "50 at once took {:?}", asked.elapsed());
    redis.resume();

    assert_eq!(once_recovered(&alice, "/protected").await.status(), 200);
    until_ready(&gw).await;
    alice.refresh().await;
}

#[tokio::test]
async fn bearers_pass_without_redis_where_the_file_says_so() {
    let redis = Arc::new(Redis::start());
    let stores = Stores::Servers { database_url: postgres::database().await, redis: redis.clone() };
    let setup = Setup::from(ROUTES).with("revocation: { on_store_error: allow }").stores(&stores);
    let gw = harness::gateway(setup).await;
    let alice = gw.register("alice").await;

    redis.kill();
    until_stale(&gw).await;

    assert_eq!(status(&alice, "/protected").await, 200);
    alice.set_token(Some(format!("{}x", alice.token())));
    assert_eq!(
        alice.get("/protected").await.reason(),
        Some("token_invalid"),
        "unchecked for revocation only"
    );
}

/// All that is answered without Postgres.
async fn assert_answers_without_postgres(gw: &Gateway, alice: &Client, bob: &Client) {
    assert_eq!(status(alice, "/protected").await, 200);
    assert_eq!(status(&gw.anonymous(), "/public/hello").await, 200);
    let asked = Instant::now();
    assert_unavailable("login", &login(alice).await, asked);
    let asked = Instant::now();
    let account = json!({ "username": "carol", "password": PASSWORD });
    assert_unavailable("register", &gw.anonymous().post("/auth/register", &account).await, asked);
    let asked = Instant::now();
    assert_unavailable("me", &alice.get("/auth/me").await, asked);

    alice.refresh().await;
    assert_eq!(status(alice, "/protected").await, 200);
    bob.logout().await;
    assert_eq!(bob.get("/protected").await.reason(), Some("token_revoked"));
    assert_eq!(gw.readiness().await, Some(200), "tokens work: degraded, but in service");
}

#[tokio::test]
async fn class_103_postgres_killed_and_started_again() {
    let (gw, postgres) = with_postgres_of_its_own().await;
    let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
    let errors_before = store_errors(&gw, "postgres").await;

    postgres.kill();
    assert_answers_without_postgres(&gw, &alice, &bob).await;
    assert!(store_errors(&gw, "postgres").await > errors_before);
    postgres.restart();

    eventually("logins to work again", async || (login(&bob).await.status() == 200).then_some(())).await;
    assert_eq!(status(&alice, "/auth/me").await, 200);
    gw.register("carol").await;
}

#[tokio::test]
async fn class_103_postgres_that_hangs_holds_nobody_up_for_long() {
    let database_url = postgres::database().await;
    let stores = Stores::Servers { database_url: database_url.clone(), redis: Arc::new(Redis::start()) };
    let gw = harness::gateway(Setup::from(ROUTES).stores(&stores)).await;
    let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
    let mut locker = PgConnection::connect(&database_url).await.expect("it runs");

    // Connections stay open and every question waits.
    locker
        .execute("BEGIN; LOCK TABLE users, audit_log IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("nobody else does");
    assert_answers_without_postgres(&gw, &alice, &bob).await;
    locker.execute("ROLLBACK").await.expect("it holds the lock");

    eventually("logins to work again", async || (login(&bob).await.status() == 200).then_some(())).await;
}

#[tokio::test]
async fn an_upstream_that_is_away_is_502_and_one_that_is_slow_504() {
    let gw = harness::gateway(ROUTES).await;
    let client = gw.anonymous();
    let slow = client.get("/slow?ms=60000").await;
    assert_eq!((slow.status().as_u16(), slow.reason()), (504, Some("upstream_timeout")));

    gw.upstream().kill();
    let away = client.get("/public/hello").await;
    assert_eq!((away.status().as_u16(), away.reason()), (502, Some("upstream_unreachable")));
    assert_eq!(gw.readiness().await, Some(200), "the gateway itself is well");
    gw.upstream().restart().await;

    assert_eq!(once_recovered(&client, "/public/hello").await.status(), 200);
}
