//! What tells kept answers apart is what the upstream is sent: neither more nor less (class 79).

use http::Request;
use reqwest::Method;
use serde_json::json;

use super::api_keys::{made, text};
use super::class_cache::{is_hit, json, on_every_store};
use crate::harness::{self, Client, Echo, Http2, Setup, Stores};

const CACHED: &str = "
    routes:
      - path: /echo
        upstream: example
        access: public
        cache: { ttl: 1h, vary_by: shared, headers: [X-Tenant-Id], forward: [X-Correlation-Id] }
      - { path: /headers, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: \"/pages/{name}\", upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, statuses: [200, 404] } }
";

async fn get(client: &Client, path: &str, fields: &[(&str, &str)]) -> reqwest::Response {
    let mut request = client.request(Method::GET, path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    client.send(request).await
}

#[tokio::test]
async fn class_79_a_body_over_http_2_goes_past_the_cache() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from(CACHED).stores(&stores).tls()).await;
        let http2 = Http2::open(&gw).await;
        let asked = |method: &str, path: &str| {
            let uri = format!("https://localhost{path}");
            Request::builder().method(method).uri(uri).body(()).expect("a legal request")
        };
        for method in ["GET", "HEAD"] {
            let path = format!("/echo?fat={method}");

            let attack = http2.send(asked(method, &path), &[b"q=", b"evil"], None).await.expect("an answer");
            assert_eq!(attack.headers()["cache-status"], "portcullis; fwd=bypass", "{method}");

            let victim = http2.get(asked("GET", &path)).await.expect("an answer");
            assert_eq!(victim.headers()["cache-status"], "portcullis; fwd=uri-miss; stored", "{method}");
            assert_eq!(Echo::read(victim.body()).0["body"], "", "{method}");
        }
    }
}

#[tokio::test]
async fn class_79_a_field_that_ends_at_the_gateway_tells_no_answers_apart() {
    for gw in on_every_store(CACHED).await {
        let attack = |path: &str, name: &str, value: &str| {
            format!(
                "GET {path} HTTP/1.1\r\nhost: {}\r\n{name}: {value}\r\nconnection: keep-alive, {name}\r\n\r\n",
                gw.address()
            )
        };
        let (answer, _) = gw.raw(attack("/echo?a", "X-Tenant-Id", "tenant1").as_bytes()).await;
        assert!(!String::from_utf8_lossy(&answer.expect("an answer").body).contains("tenant1"));
        let path = "/headers?vary=accept-language&x-a=1";
        let (answer, _) = gw.raw(attack(path, "Accept-Language", "de").as_bytes()).await;
        assert_eq!(answer.expect("an answer").status, 200);

        let client = gw.anonymous();
        let victim = get(&client, "/echo?a", &[("x-tenant-id", "tenant1")]).await;
        assert!(!is_hit(&victim));
        assert_eq!(Echo::of(victim).await.fields("x-tenant-id"), ["tenant1"]);
        assert!(is_hit(&get(&client, "/echo?a", &[]).await), "it was kept as what it is");
        assert!(!is_hit(&get(&client, path, &[("accept-language", "de")]).await));
        assert!(is_hit(&get(&client, path, &[]).await));
    }
}

#[tokio::test]
async fn class_79_a_shared_answer_is_made_of_known_and_named_fields() {
    for gw in on_every_store(CACHED).await {
        let client = gw.anonymous();
        let fields = [
            ("x-api-key", "evil"),
            ("x_tenant_id", "evil"),
            ("x-own", "evil"),
            ("tracestate", "evil=1"),
            ("referer", "https://evil.example/"),
            ("x-tenant-id", "t"),
            ("x-correlation-id", "c"),
            ("accept-language", "de"),
        ];

        let echo = Echo::of(get(&client, "/echo", &fields).await).await;

        assert!(!echo.0.to_string().contains("evil"), "{}", echo.0);
        let told = |name: &str| echo.fields(name);
        assert_eq!((told("x-tenant-id"), told("x-correlation-id")), (vec!["t"], vec!["c"]));
        assert_eq!(told("accept-language"), ["de"]);
        assert!(is_hit(&get(&client, "/echo", &[("x-tenant-id", "t"), ("x-api-key", "other")]).await));
        let evil = get(&client, "/echo", &[("x-tenant-id", "t"), ("origin", "https://evil.example")]).await;
        assert!(!is_hit(&evil), "another site's answer names that site");
    }
}

#[tokio::test]
async fn class_75_the_target_counts_as_it_is_written() {
    for gw in on_every_store(CACHED).await {
        let client = gw.anonymous();
        for [one, other] in [
            ["/pages/a%2Bb", "/pages/a+b"],
            ["/echo?a=%2B", "/echo?a=+"],
            ["/echo?a=1&b=2", "/echo?b=2&a=1"],
            ["/echo?a", "/echo?a="],
        ] {
            assert!(!is_hit(&client.get(one).await), "{one}");
            let answer = client.get(other).await;
            assert!(!is_hit(&answer), "{other}");
            assert!(other.starts_with("/pages") || json(answer).await["target"] == other, "{other}");
            assert!(is_hit(&client.get(one).await) && is_hit(&client.get(other).await));
        }
    }
}

#[tokio::test]
async fn class_75_the_upstream_is_told_the_host_in_one_case() {
    for gw in on_every_store(CACHED).await {
        let client = gw.anonymous();

        let echo = Echo::of(get(&client, "/echo", &[("host", "Shop.EXAMPLE")]).await).await;

        assert_eq!(echo.fields("host"), ["shop.example"]);
        assert!(is_hit(&get(&client, "/echo", &[("host", "shop.example")]).await));
    }
}

#[tokio::test]
async fn class_76_an_answer_for_a_user_is_for_the_roles_that_the_upstream_was_told() {
    const BY_USER: &str = "
        upstreams: { example: { servers: [\"${UPSTREAM}\"], assertion: true } }
        routes: [{ path: /echo, upstream: example, cache: { ttl: 1h, vary_by: user } }]
    ";
    for gw in on_every_store(BY_USER).await {
        let alice = gw.register("alice").await;
        assert!(gw.cli(&["user", "set-role", "alice", "user", "admin"]).status.success());
        alice.login().await;
        let groups =
            async |answer: reqwest::Response| Echo::of(answer).await.fields("x-forwarded-groups").join(";");
        let whole = groups(alice.get("/echo").await).await;
        assert!(whole.contains("admin") && is_hit(&alice.get("/echo").await), "{whole}");

        let restricted = made(&alice, json!({ "name": "reader", "roles": ["user"] })).await;
        let nobody = gw.anonymous();
        let answer = get(&nobody, "/echo", &[("x-api-key", text(&restricted))]).await;
        assert!(!is_hit(&answer), "the key has fewer roles");
        assert_eq!(groups(answer).await, "user");
        assert!(is_hit(&get(&nobody, "/echo", &[("x-api-key", text(&restricted))]).await));

        assert!(gw.cli(&["user", "set-role", "alice", "user"]).status.success());
        alice.login().await;
        let answer = alice.get("/echo").await;
        assert!(!is_hit(&answer), "after a demotion");
        assert_eq!(groups(answer).await, "user");
    }
}

#[tokio::test]
async fn only_a_route_that_says_so_lets_a_post_drop_what_others_share() {
    let yaml = |invalidate: &str| {
        format!(
            "routes: [{{ path: /echo, upstream: example, access: public, \
             cache: {{ ttl: 1h, vary_by: shared{invalidate} }} }}]"
        )
    };
    for (said, drops) in [("", false), (", invalidate: false", false), (", invalidate: true", true)] {
        for gw in on_every_store(&yaml(said)).await {
            let client = gw.anonymous();
            client.get("/echo").await;

            let posted = client.send(client.request(Method::POST, "/echo").body("x")).await;
            assert_eq!(posted.status(), 200);

            assert_eq!(is_hit(&client.get("/echo").await), !drops, "{said}");
        }
    }
}
