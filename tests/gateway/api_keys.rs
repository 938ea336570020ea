//! Personal API keys: as good as an access token on proxied routes, and gone at once; on either edition.

use std::sync::Arc;

use http::Method;
use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Setup, Stores};
use crate::servers::postgres::Postgres;
use crate::servers::redis::Redis;

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

pub async fn made(client: &Client, mut wishes: Value) -> Value {
    wishes["password"] = json!(PASSWORD);
    let answer = client.post("/auth/keys", &wishes).await;
    let status = answer.status();
    let made: Value = answer.json().await.expect("it answers in JSON");
    assert_eq!(status, 201, "{made}");
    made
}

pub fn text(key: &Value) -> &str {
    key["key"].as_str().expect("a new key is shown")
}

async fn with_key(gw: &Gateway, path: &str, key: &str) -> Response {
    let nobody = gw.anonymous();
    nobody.send(nobody.request(Method::GET, path).header("x-api-key", key)).await
}

async fn as_bearer(gw: &Gateway, method: Method, path: &str, key: &str) -> Response {
    let nobody = gw.anonymous();
    nobody.send(nobody.request(method, path).bearer_auth(key)).await
}

pub async fn reason(gw: &Gateway, key: &str) -> Option<String> {
    with_key(gw, "/protected", key).await.reason().map(str::to_owned)
}

async fn delete(client: &Client, key: &Value) -> Response {
    let path = format!("/auth/keys/{}", key["id"].as_str().expect("an id"));
    client.send(client.request(Method::DELETE, &path).json(&json!({ "password": PASSWORD }))).await
}

#[tokio::test]
async fn a_key_is_its_owner_at_backends_and_never_reaches_them() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let key = made(&alice, json!({ "name": "nightly report" })).await;
        assert_eq!((&key["roles"], &key["expires_at"]), (&json!(["user"]), &Value::Null));
        assert!(text(&key).starts_with(key["prefix"].as_str().expect("a prefix")));

        for answer in
            [with_key(&gw, "/echo", text(&key)).await, as_bearer(&gw, Method::GET, "/echo", text(&key)).await]
        {
            assert_eq!(answer.status(), 200);
            let seen = answer.text().await.expect("a body");
            assert!(seen.contains(&alice.id().await) && seen.contains("\"alice\""), "{seen}");
            assert!(!seen.contains(text(&key)), "{seen}");
        }
        let listed: Value = alice.get("/auth/keys").await.json().await.expect("JSON");
        assert!(listed["keys"][0]["last_used_at"].is_string(), "{listed}");
        assert!(!listed.to_string().contains(text(&key)) && !listed.to_string().contains("hash"), "{listed}");
        assert!(!gw.log().contains(text(&key)), "no log line tells it");

        let own = gw.anonymous();
        let foreign = own.request(Method::GET, "/public/hello").header("x-api-key", "a backend's own");
        assert_eq!(own.send(foreign).await.status(), 200);
        let echo = alice.request(Method::GET, "/echo").header("x-api-key", "a backend's own");
        assert!(alice.send(echo).await.text().await.expect("a body").contains("a backend's own"));
    }
}

#[tokio::test]
async fn what_is_no_key_of_ours_lets_nobody_in() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let key = made(&alice, json!({ "name": "k" })).await;
        let mut forged = text(&key).to_owned();
        let last = if forged.ends_with('A') { "B" } else { "A" };
        forged.replace_range(74.., last);
        let unchecked = if forged[..67].ends_with('A') { "B" } else { "A" };
        let unchecked = format!("{}{unchecked}", &text(&key)[..66]);

        for forged in [&forged, &unchecked] {
            assert_eq!(reason(&gw, forged).await.as_deref(), Some("token_invalid"), "{forged}");
        }
        for malformed in ["pk_", "pk_x", &text(&key)[..74], &text(&key)[..66]] {
            assert_eq!(reason(&gw, malformed).await.as_deref(), Some("token_malformed"), "{malformed}");
        }
        assert_eq!(reason(&gw, "something else").await.as_deref(), Some("no_credentials"));
        let both = alice.request(Method::GET, "/protected").header("x-api-key", text(&key));
        assert_eq!(alice.send(both).await.reason(), Some("token_malformed"));
        assert_eq!(reason(&gw, text(&key)).await, None, "the key itself is good");
    }
}

#[tokio::test]
async fn a_key_has_a_part_of_its_owners_roles_and_no_more() {
    for gw in both_editions().await {
        let root = gw.admin("root").await;
        assert!(gw.cli(&["user", "set-role", "root", "admin", "user"]).status.success());
        root.login().await;
        let full = made(&root, json!({ "name": "full" })).await;
        let part = made(&root, json!({ "name": "part", "roles": ["user"] })).await;

        assert_eq!(with_key(&gw, "/admin/dashboard", text(&full)).await.status(), 200);
        assert_eq!(with_key(&gw, "/admin/dashboard", text(&part)).await.reason(), Some("role_missing"));
        for (wishes, words) in [
            (json!({ "name": "k", "roles": ["ops"] }), "roles"),
            (json!({ "name": "k", "expires_at": "2001-01-01T00:00:00Z" }), "future"),
            (json!({ "name": "k", "expires_at": "tomorrow" }), "expires_at"),
            (json!({ "name": "" }), "name"),
            (json!({ "name": "a\nb" }), "name"),
            (json!({ "roles": ["user"] }), "name"),
            (json!({ "name": "k", "scopes": ["all"] }), "scopes"),
        ] {
            let refused = root.post("/auth/keys", &wishes).await;
            assert_eq!((refused.status().as_u16(), refused.reason()), (400, Some("bad_request")), "{wishes}");
            assert!(refused.text().await.expect("a body").contains(words), "{wishes}");
        }
        for (method, path) in [
            (Method::GET, "/auth/me"),
            (Method::POST, "/auth/keys"),
            (Method::POST, "/auth/logout"),
            (Method::DELETE, "/auth/me"),
        ] {
            let refused = as_bearer(&gw, method, path, text(&full)).await;
            assert_eq!((refused.status().as_u16(), refused.reason()), (401, Some("token_invalid")), "{path}");
        }

        assert!(gw.cli(&["user", "set-role", "root", "user"]).status.success());
        harness::eventually("the role's end", async || {
            let answer = with_key(&gw, "/admin/dashboard", text(&full)).await;
            (answer.reason() == Some("role_missing")).then_some(())
        })
        .await;
        assert_eq!(reason(&gw, text(&full)).await, None, "the other role it still has");
    }
}

#[tokio::test]
async fn whatever_ends_a_key_ends_it_at_once() {
    for gw in both_editions().await {
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let [first, second] =
            [made(&alice, json!({ "name": "first" })).await, made(&alice, json!({ "name": "second" })).await];
        let of_bob = made(&bob, json!({ "name": "bob's" })).await;
        for key in [&first, &second, &of_bob] {
            assert_eq!(reason(&gw, text(key)).await, None);
        }

        assert_eq!(delete(&bob, &first).await.reason(), Some("not_found"));
        assert_eq!(reason(&gw, text(&first)).await, None);
        assert_eq!(delete(&alice, &first).await.status(), 204);
        assert!(reason(&gw, text(&first)).await.is_some(), "deleted");
        assert_eq!(delete(&alice, &first).await.reason(), Some("not_found"));
        assert_eq!(reason(&gw, text(&second)).await, None);

        assert_eq!(alice.post("/auth/logout", &json!({})).await.status(), 204);
        assert_eq!(reason(&gw, text(&second)).await, None, "it is no session");
        assert!(gw.cli(&["user", "disable", "alice"]).status.success());
        harness::eventually("the key's end", async || reason(&gw, text(&second)).await).await;
        assert!(gw.cli(&["user", "disable", "alice", "--undo"]).status.success());
        harness::eventually("the key's return", async || {
            reason(&gw, text(&second)).await.is_none().then_some(())
        })
        .await;

        let delete = bob.request(Method::DELETE, "/auth/me").json(&json!({ "password": PASSWORD }));
        assert_eq!(bob.send(delete).await.status(), 204);
        assert!(reason(&gw, text(&of_bob)).await.is_some(), "its account is gone");
    }
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let soon = portcullis::clock::now() + std::time::Duration::from_millis(1500);
    let key = made(&alice, json!({ "name": "short", "expires_at": soon })).await;
    assert_eq!(reason(&gw, text(&key)).await, None);

    let refused = harness::eventually("its end", async || reason(&gw, text(&key)).await).await;

    assert_eq!(refused, "token_expired");
}

#[tokio::test]
async fn two_gateways_agree_and_a_known_key_needs_no_account_store() {
    let postgres = Postgres::start();
    let redis = Arc::new(Redis::start());
    let stores = Stores::Servers { database_url: postgres.database().await, redis };
    let one = harness::gateway(Setup::default().stores(&stores)).await;
    let other = harness::gateway(Setup::default().stores(&stores)).await;
    let alice = one.register("alice").await;
    let [kept, deleted] =
        [made(&alice, json!({ "name": "kept" })).await, made(&alice, json!({ "name": "deleted" })).await];
    let unused = made(&alice, json!({ "name": "unused" })).await;
    for key in [&kept, &deleted] {
        assert_eq!(reason(&other, text(key)).await, None);
    }

    assert_eq!(delete(&alice, &deleted).await.status(), 204);
    let code = harness::eventually("the end at the other", async || reason(&other, text(&deleted)).await);
    assert!(["token_revoked", "token_invalid"].contains(&&*code.await));

    postgres.kill();
    for _ in 0..20 {
        assert_eq!(reason(&other, text(&kept)).await, None, "known, so nobody is asked");
    }
    assert_eq!(reason(&other, text(&unused)).await.as_deref(), Some("store_unavailable"));
}

const LIMITED: &str = r#"
    limits:
      by-address: { rate: 3/1h, by: address }
      by-user: { rate: 2/1h, by: user }
    routes:
      - { path: /echo, upstream: example, limits: [by-address, by-user] }
      - { path: /protected, upstream: example, limits: [by-address] }
      - { path: /secure/data, upstream: example }
"#;

/// Of the right form, with a checksum that fits, and nobody's.
fn nobodys() -> String {
    portcullis::identity::api_key::mint().text.to_string()
}

#[tokio::test]
async fn a_made_up_key_asks_no_store_and_an_unknown_one_only_as_often_as_its_address_may() {
    let postgres = Postgres::start();
    let redis = Arc::new(Redis::start());
    let stores = Stores::Servers { database_url: postgres.database().await, redis };
    let gw = harness::gateway(Setup::from(LIMITED).stores(&stores)).await;
    // What asks it shows by the store's being away.
    postgres.kill();

    let mut made_up = nobodys();
    let last = if made_up.ends_with('A') { "B" } else { "A" };
    made_up.replace_range(74.., last);
    for _ in 0..5 {
        let answer = with_key(&gw, "/secure/data", &made_up).await;
        assert_eq!(answer.reason(), Some("token_invalid"), "no store is asked");
    }
    let (with_checksum, without) = (nobodys(), nobodys()[..67].to_owned());
    for key in [&with_checksum, &without] {
        assert_eq!(with_key(&gw, "/secure/data", key).await.reason(), Some("store_unavailable"));
    }
    for key in [&with_checksum, &without, &with_checksum] {
        assert_eq!(reason(&gw, key).await.as_deref(), Some("store_unavailable"));
    }
    for key in [&with_checksum, &without, &made_up] {
        assert_eq!(reason(&gw, key).await.as_deref(), Some("rate_limited"), "its address has had its share");
    }
}

#[tokio::test]
async fn a_good_key_is_charged_once_for_each_request_whether_it_is_known_or_not() {
    let servers = Setup::from(LIMITED).stores(&Stores::servers().await);
    for gw in [harness::gateway(LIMITED).await, harness::gateway(servers).await] {
        let alice = gw.register("alice").await;
        let key = made(&alice, json!({ "name": "k" })).await;

        for left in [(2, 1), (1, 0)] {
            let answer = with_key(&gw, "/echo", text(&key)).await;
            assert_eq!(answer.status(), 200);
            let told = answer.headers()["ratelimit"].to_str().expect("ASCII").to_owned();
            let (address, user) = left;
            assert!(told.contains(&format!("\"by-address\";r={address}")), "{told}");
            assert!(told.contains(&format!("\"by-user\";r={user}")), "{told}");
        }
        assert_eq!(with_key(&gw, "/echo", text(&key)).await.reason(), Some("rate_limited"));
    }
}

#[tokio::test]
async fn a_key_from_before_checksums_still_works() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let key = made(&alice, json!({ "name": "k" })).await;

        // It had the same id and secret, and nothing after them.
        let from_before = &text(&key)[..67];

        assert_eq!(reason(&gw, from_before).await, None);
        assert_eq!(reason(&gw, text(&key)).await, None);
        assert_eq!(delete(&alice, &key).await.status(), 204);
        assert!(reason(&gw, from_before).await.is_some(), "it ends with the key");
    }
}
