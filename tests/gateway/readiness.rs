//! `/readyz` says whether this gateway would serve, by writing to the store that it would need.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Setup, Stores, eventually};
use crate::servers::postgres;
use crate::servers::redis::Redis;

async fn on_redis(yaml: &str) -> (Gateway, Arc<Redis>) {
    let redis = Arc::new(Redis::start());
    let stores = Stores::Servers { database_url: postgres::database().await, redis: redis.clone() };
    (harness::gateway(Setup::from(yaml).stores(&stores)).await, redis)
}

async fn login(client: &Client) -> (u16, Option<String>) {
    let credentials = json!({ "username": client.username(), "password": PASSWORD });
    let request = client.request_without_token(Method::POST, "/auth/login").json(&credentials);
    let answer = client.send(request).await;
    (answer.status().as_u16(), answer.reason().map(str::to_owned))
}

async fn until(gw: &Gateway, status: u16) {
    eventually("/readyz", async || (gw.readiness().await == Some(status)).then_some(())).await;
}

/// With the state store known to be down; what `/readyz` says then.
async fn once_down(gw: &Gateway) -> (Option<u16>, String) {
    eventually("the store's end to be seen", async || {
        (gw.readiness_report().await["state"] == "down").then_some(())
    })
    .await;
    let report = gw.readiness_report().await;
    (gw.readiness().await, report["status"].as_str().expect("a word").to_owned())
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_makes_the_gateway_not_ready() {
    let (gw, redis) = on_redis("").await;
    let alice = gw.register("alice").await;
    let bob = gw.client("bob");
    let account = json!({ "username": "bob", "password": PASSWORD });
    assert_eq!(bob.post("/auth/register", &account).await.status(), 201);
    let order = |words: &[&str]| assert_eq!(redis.ask::<String>(words).as_deref(), Some("OK"), "{words:?}");
    let cases: [(&[&str], &[&str], &str); 2] = [
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "READONLY"),
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"], "OOM"),
    ];

    for (trouble, end, word) in cases {
        order(trouble);
        assert_eq!(once_down(&gw).await, (Some(503), "not ready".to_owned()), "{word}");
        let cause = gw.readiness_report().await["cause"].as_str().expect("a cause").to_owned();
        assert!(cause.to_uppercase().contains(word), "{cause}");
        // The second one, too, and whether or not anything is counted for the account.
        for client in [&alice, &alice, &bob, &bob, &alice] {
            let answer = login(client).await;
            assert_eq!(answer, (503, Some("store_unavailable".to_owned())), "{word}: {}", client.username());
        }
        order(end);
        until(&gw, 200).await;
        eventually("a login", async || (login(&alice).await.0 == 200).then_some(())).await;
    }
}

#[tokio::test]
async fn redis_away_and_on_store_error_allow_is_ready() {
    let (gw, redis) = on_redis("revocation: { on_store_error: allow }").await;
    let alice = gw.register("alice").await;

    redis.kill();

    assert_eq!(once_down(&gw).await, (Some(200), "degraded".to_owned()));
    eventually("the mirror to be stale", async || {
        (gw.metrics().await.value("revocation_mirrored", &[]) == Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(alice.get("/protected").await.status(), 200, "everything is answered");
    assert_eq!(gw.readiness().await, Some(200));
}

#[tokio::test]
async fn redis_away_makes_not_ready_what_would_refuse_then() {
    let public = r#"routes: [{ path: "/public/{*rest}", upstream: example, access: public }]"#;
    let limited = r#"
        revocation: { on_store_error: allow }
        limits: { strict: { rate: 1000/1h, by: address, on_store_error: deny } }
        routes: [{ path: "/public/{*rest}", upstream: example, access: public, limits: [strict] }]
    "#;
    let mixed = r#"
        routes:
          - { path: "/public/{*rest}", upstream: example, access: public }
          - { path: /protected, upstream: example }
    "#;
    for (yaml, readiness, public_status) in [
        (public, (Some(200), "degraded"), 200),
        (limited, (Some(503), "not ready"), 503),
        (mixed, (Some(503), "not ready"), 200),
    ] {
        let (gw, redis) = on_redis(yaml).await;
        redis.kill();
        let (status, word) = once_down(&gw).await;
        assert_eq!((status, word.as_str()), readiness, "{yaml}");
        let hello = eventually("limits without the store", async || {
            let status = gw.anonymous().get("/public/hello").await.status().as_u16();
            (status == public_status).then_some(status)
        });
        assert_eq!(hello.await, public_status, "{yaml}");
    }
}

#[tokio::test]
async fn an_embedded_store_that_takes_no_writes_makes_the_gateway_not_ready() {
    let gw = harness::gateway("").await;
    let database = format!("sqlite://{}", gw.home().join("data/state.db").display());
    let mut other = SqliteConnection::connect(&database).await.expect("it is there");

    other.execute("BEGIN IMMEDIATE").await.expect("nobody else writes for long");
    assert_eq!(once_down(&gw).await, (Some(503), "not ready".to_owned()));
    other.execute("ROLLBACK").await.expect("it was begun");

    until(&gw, 200).await;
}
