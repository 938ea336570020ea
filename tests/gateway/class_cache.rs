//! The response cache under attack: whether anybody gets what is somebody else's (classes 75 to
//! 78).

use reqwest::{Method, Response};
use serde_json::Value;

use crate::harness::{self, Gateway, Reason, Reload, Setup, Stores};

const CACHED: &str = "
    limits:
      two: { rate: 2/1h, by: user }
    routes:
      - { path: /protected, upstream: example, cache: { ttl: 1h, vary_by: user } }
      - { path: \"/secure/{*rest}\", upstream: example, cache: { ttl: 1h, vary_by: role } }
      - { path: /echo, upstream: example, access: optional, cache: { ttl: 1h, vary_by: shared } }
      - { path: /admin/dashboard, upstream: example, access: { roles: [admin] }, cache: { ttl: 1h, vary_by: shared } }
      - { path: /questions/topics, upstream: example, limits: [two], cache: { ttl: 1h, vary_by: shared } }
      - { path: \"/users/{*rest}\", upstream: example, cache: { ttl: 1h, vary_by: user } }
";

/// Routes with every parameter in the key.
pub const ANY_QUERY: &str = "
    routes:
      - { path: /headers, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: /echo, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
";

pub async fn on_every_store(yaml: &str) -> [Gateway; 2] {
    let on_redis = Setup::from(yaml).stores(&Stores::servers().await);
    [harness::gateway(yaml).await, harness::gateway(on_redis).await]
}

pub fn is_hit(response: &Response) -> bool {
    response
        .headers()
        .get("cache-status")
        .is_some_and(|status| status.as_bytes().starts_with(b"portcullis; hit; ttl="))
}

pub async fn json(response: Response) -> Value {
    response.json().await.expect("the backend answers in JSON")
}

/// The header names that the upstream was sent, from an answer of /echo.
fn names(echo: &Value) -> Vec<&str> {
    let headers = echo["headers"].as_array().expect("pairs");
    headers.iter().filter_map(|pair| pair[0].as_str()).collect()
}

#[tokio::test]
async fn class_75_host_query_and_method_are_part_of_the_key() {
    for gw in on_every_store(ANY_QUERY).await {
        let client = gw.anonymous();
        let from = |method: Method, host: &'static str, path: &'static str| {
            client.send(client.request(method, path).header("host", host))
        };
        assert!(!is_hit(&from(Method::GET, "a.example", "/echo?q=1").await));
        assert!(is_hit(&from(Method::GET, "A.EXAMPLE", "/echo?q=1").await), "hosts are case-insensitive");

        for (method, host, path) in [
            (Method::GET, "b.example", "/echo?q=1"),
            (Method::GET, "a.example:8080", "/echo?q=1"),
            (Method::GET, "a.example", "/echo?q=2"),
            (Method::GET, "a.example", "/echo"),
            (Method::POST, "a.example", "/echo?q=1"),
            (Method::OPTIONS, "a.example", "/echo?q=1"),
        ] {
            let answer = from(method.clone(), host, path).await;
            assert!(!is_hit(&answer), "{method} {host} {path}");
            let echo = json(answer).await;
            assert_eq!((&echo["method"], &echo["target"]), (&method.as_str().into(), &path.into()));
        }
    }
}

#[tokio::test]
async fn class_75_parts_of_the_key_cannot_be_moved_into_each_other() {
    for gw in on_every_store(ANY_QUERY).await {
        let client = gw.anonymous();
        for path in
            ["/echo?a=1&b=2", "/echo?a=1%26b=2", "/echo?a=1b=2", "/echo?a=1&b=2&", "/echo?b=2&a=1&a=1"]
        {
            let echo = json(client.get(path).await).await;
            let asked: &str = path;
            let told = echo["target"].as_str().expect("a target");
            assert!(told == asked || (asked.ends_with('&') && told == "/echo?a=1&b=2"), "{asked} got {told}");
        }
    }
}

#[tokio::test]
async fn class_76_each_user_gets_the_own_answer() {
    for gw in on_every_store(CACHED).await {
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);

        for round in 0..2 {
            for client in [&alice, &bob] {
                let answer = client.get("/protected").await;
                assert_eq!(is_hit(&answer), round > 0);
                assert_eq!(json(answer).await["caller"]["username"], client.username());
            }
        }
        assert_eq!(gw.upstream_calls("/protected").await, 2);
    }
}

#[tokio::test]
async fn class_76_an_answer_per_role_is_shared_within_it_and_tells_the_upstream_nothing_more() {
    for gw in on_every_store(CACHED).await {
        let (alice, bob, root) =
            (gw.register("alice").await, gw.register("bob").await, gw.admin("root").await);

        assert!(!is_hit(&alice.get("/secure/data").await));
        let shared = bob.get("/secure/data").await;
        let own = root.get("/secure/data").await;

        assert!(is_hit(&shared) && !is_hit(&own));
        assert_eq!(json(shared).await["owner"], Value::Null, "alice isn't named in bob's answer");
    }
}

#[tokio::test]
async fn class_76_on_a_shared_route_nothing_of_the_caller_reaches_the_upstream() {
    for gw in on_every_store(CACHED).await {
        let alice = gw.register("alice").await;
        let request = alice.request(Method::GET, "/echo").header("cookie", "theme=dark; other=1");

        let echo = json(alice.send(request).await).await;

        let told = names(&echo);
        for name in ["authorization", "cookie", "x-forwarded-user", "x-forwarded-groups"] {
            assert!(!told.contains(&name), "{name} in {told:?}");
        }
        let whole = echo.to_string();
        assert!(!whole.contains("alice") && !whole.contains(&alice.token()), "{whole}");
        assert!(is_hit(&gw.anonymous().get("/echo").await), "that's why: it is for everybody");
    }
}

#[tokio::test]
async fn class_76_an_answer_kept_although_its_key_was_bypassed_is_for_nobody_in_particular() {
    let route = |status: u16| {
        format!(
            "routes: [{{ path: /echo, upstream: example, access: optional, \
             cache: {{ ttl: 1h, vary_by: shared, query: [a], statuses: [{status}] }} }}]"
        )
    };
    for gw in on_every_store(&route(404)).await {
        let alice = gw.register("alice").await;
        // Nothing to keep: requests for this key go past the cache from now on.
        alice.get("/echo?a=1").await;
        assert_eq!(gw.reload(&*route(200)).await, Reload::InForce);
        let request = alice.request(Method::GET, "/echo?a=1&b=2").header("cookie", "theme=dark");

        alice.send(request).await;

        let next = gw.anonymous().get("/echo?a=1").await;
        assert!(is_hit(&next), "the answer was kept after all: {next:?}");
        let told = next.text().await.expect("a body");
        for secret in ["alice", "theme", "Bearer", "b=2"] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
}

#[tokio::test]
async fn class_77_a_hit_passes_every_check_that_a_miss_passes() {
    for gw in on_every_store(CACHED).await {
        let (alice, root) = (gw.register("alice").await, gw.admin("root").await);
        assert!(!is_hit(&root.get("/admin/dashboard").await));
        assert!(is_hit(&root.get("/admin/dashboard").await));
        let forger = gw.anonymous();
        forger.set_token(Some(format!("{}x", root.token())));

        for (client, status, reason) in [
            (&gw.anonymous(), 401, "no_credentials"),
            (&forger, 401, "token_invalid"),
            (&alice, 403, "role_missing"),
        ] {
            let refused = client.get("/admin/dashboard").await;
            assert_eq!((refused.status().as_u16(), refused.reason()), (status, Some(reason)));
            assert_eq!(refused.headers().get("cache-status"), None);
        }
        root.logout().await;
        assert_eq!(root.get("/admin/dashboard").await.reason(), Some("token_revoked"));
        assert_eq!(gw.upstream_calls("/admin/dashboard").await, 1);
    }
}

#[tokio::test]
async fn class_77_hits_are_charged_to_limits() {
    for gw in on_every_store(CACHED).await {
        let alice = gw.register("alice").await;

        assert!(!is_hit(&alice.get("/questions/topics").await));
        let hit = alice.get("/questions/topics").await;
        let refused = alice.get("/questions/topics").await;

        assert!(is_hit(&hit));
        assert_eq!(
            hit.headers()["ratelimit"],
            "\"two\";r=0;t=3600",
            "the standing of this request, not a stored one"
        );
        assert_eq!(refused.reason(), Some("rate_limited"));
    }
}

#[tokio::test]
async fn class_78_a_path_that_looks_like_a_file_is_nobody_elses_hit() {
    for gw in on_every_store(CACHED).await {
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let anonymous = gw.anonymous();
        for path in [
            "/protected?x.css",
            "/protected?file=/a.css",
            "/users/alice/notes?a.js",
            "/users/alice/notes/a.css",
            "/users/alice/notes/..%2fa.css",
            "/protected/a.css",
            "/protected;a.css",
        ] {
            let victim = alice.get(path).await;
            let looked = anonymous.get(path).await;
            assert!([400, 401, 404].contains(&looked.status().as_u16()), "{path}: {looked:?}");
            let other = bob.get(path).await;
            assert!(!is_hit(&other), "{path}: {victim:?} {other:?}");
            let text = other.text().await.expect("a body");
            assert!(!text.contains(&alice.id().await), "{path}: {text}");
        }
    }
}
