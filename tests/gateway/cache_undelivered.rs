//! What a change made doubtful while its gateway couldn't reach Redis: the gateway serves it to nobody, and the others
//! hear of it as soon as Redis is there again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, Cable, CableState, Client, Setup, Stores, eventually};
use crate::servers::redis::Redis;

const CACHED: &str = "
    routes:
      - { path: \"/users/{id}/{*rest}\", upstream: example, access: { owner: id }, cache: { ttl: 1h, vary_by: user } }
    revocation: { max_staleness: 60s }
";

/// How many notes there are, and whether the cache says so.
async fn notes(client: &Client, path: &str) -> (usize, bool) {
    let answer = client.send(client.request(Method::GET, path).header("host", "shop.example")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let is_hit = answer.headers()["cache-status"].as_bytes().starts_with(b"portcullis; hit");
    let body: Value = answer.json().await.expect("JSON");
    (body["notes"].as_array().expect("a list").len(), is_hit)
}

#[tokio::test]
async fn a_change_that_redis_was_not_told_of_is_told_later_and_served_by_nobody() {
    let redis = Redis::start();
    let cable = Cable::to(redis.address()).await;
    let direct = Stores::on_redis(redis.url()).await;
    let (database_url, redis_url) = direct.urls().expect("servers");
    let redis_url = redis_url.replace(&redis.address().to_string(), &cable.address().to_string());
    let by_cable = Stores::Elsewhere { database_url, redis_url };
    let one = harness::gateway(Setup::from(CACHED).stores(&by_cable)).await;
    let other = harness::gateway(Setup::from(CACHED).stores(&direct).upstream(one.upstream())).await;
    let alice = one.register("alice").await;
    let there = other.client("alice");
    there.set_token(Some(alice.token()));
    let path = format!("/users/{}/notes", alice.id().await);
    notes(&alice, &path).await;
    eventually("hits at both", async || {
        let hits = (notes(&alice, &path).await.1, notes(&there, &path).await.1);
        (hits == (true, true)).then_some(())
    })
    .await;

    cable.set(CableState::Cut);
    let note =
        alice.request(Method::POST, &path).header("host", "shop.example").json(&json!({ "text": "new" }));
    assert_eq!(alice.send(note).await.status(), 201);

    assert_eq!(notes(&alice, &path).await.0, 1, "while Redis is away");
    cable.set(CableState::Whole);
    eventually("hits by the healed gateway", async || {
        let (count, is_hit) = notes(&alice, &path).await;
        assert_eq!(count, 1, "an answer from before the change");
        is_hit.then_some(())
    })
    .await;
    eventually("the other gateway to hear of it", async || (notes(&there, &path).await.0 == 1).then_some(()))
        .await;
    assert_eq!(notes(&there, &path).await.0, 1);
}

#[tokio::test]
async fn a_purge_of_a_route_that_is_not_there_says_so() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from(CACHED).stores(&stores)).await;

        let purged = gw.cli(&["cache", "purge", "--route", "nosuch", "--config", "gateway.yaml"]);

        assert!(!purged.status.success());
        let said = String::from_utf8_lossy(&purged.stderr).into_owned();
        assert!(said.contains("no route is named \"nosuch\""), "{said}");
        let order = gw.control(Method::POST, "/api/cache/purge").json(&json!({ "route": "nosuch" }));
        assert_eq!(order.send().await.expect("it answers").status(), 400);
    }
}
