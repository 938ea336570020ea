//! Gateways that reach Postgres by way of a pgbouncer in transaction mode.

use reqwest::Method;
use serde_json::json;

use crate::harness::{self, Gateway, PASSWORD, Setup, Stores};
use crate::servers::pgbouncer::PgBouncer;
use crate::servers::postgres::Postgres;
use crate::servers::redis::Redis;

/// Two that start on an empty database at once.
async fn pair(database_url: String, redis: &Redis) -> (Gateway, Gateway) {
    let stores = Stores::Elsewhere { database_url, redis_url: redis.url() };
    let setup = || Setup::default().stores(&stores);
    tokio::join!(harness::gateway(setup()), harness::gateway(setup()))
}

/// Everything that an owner does with an account, at either gateway in turn.
async fn live(gateways: [&Gateway; 2], name: String) {
    let [one, other] = gateways;
    one.register(&name).await;
    let client = other.client(&name);
    for _ in 0..5 {
        client.login().await;
        assert_eq!(client.get("/auth/me").await.status(), 200, "{name}");
        assert_eq!(client.get("/protected").await.status(), 200, "{name}");
    }
    let key = json!({ "name": "program", "password": PASSWORD });
    let made = client.send(client.request(Method::POST, "/auth/keys").json(&key)).await;
    assert_eq!(made.status(), 201, "{name}");
    let change = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
    assert_eq!(client.send(client.request(Method::PATCH, "/auth/me").json(&change)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_is_expected_on_another_connection_of_pgbouncer() {
    for ignored in ["extra_float_digits", "extra_float_digits, options"] {
        let (postgres, redis) = (Postgres::start(), Redis::start());
        let pgbouncer = PgBouncer::before(&postgres, ignored);
        let (one, other) = pair(pgbouncer.url(&postgres.database().await), &redis).await;

        let lives = (0..8).map(|number| live([&one, &other], format!("owner-{number}")));
        futures::future::join_all(lives).await;

        for gateway in [&one, &other] {
            let errors = gateway.metrics().await.value("store_errors_total", &["store=\"postgres\""]);
            assert_eq!(errors, Some(0.0), "{}", gateway.log());
            let found = gateway.cli(&["audit", "list"]);
            assert!(found.status.success(), "{found:?}");
        }
    }
}
