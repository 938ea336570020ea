//! Rate limits: whose counter a request is charged to, and what the answer says about it.

use reqwest::{Method, Response};
use serde_json::Value;

use crate::harness::{self, Client, Gateway, Reason, Setup, Stores};

/// Three requests, then nothing for twenty minutes: no test takes that long.
const LIMITED: &str = r#"
    trusted_proxies: [127.0.0.1]
    limits:
      per-address: { rate: 3/1h, by: address }
      per-user: { rate: 3/1h, by: user, roles: { admin: 5/1h } }
      per-role: { rate: 3/1h, by: role }
      per-key: { rate: 3/1h, by: { header: X-Api-Key } }
      per-item: { rate: 3/1h, by: { parameter: id } }
      wide: { rate: 9/1m, by: user }
    routes:
      - { path: /headers, upstream: example, access: public, limits: [per-address] }
      - { path: /protected, upstream: example, limits: [per-user] }
      - { path: /secure/data, upstream: example, limits: [per-role] }
      - { path: /questions/topics, upstream: example, access: public, limits: [per-key] }
      - { path: "/users/{id}/notes", upstream: example, access: public, limits: [per-item] }
      - { path: /admin/dashboard, upstream: example, limits: [wide, per-address] }
      - { path: /echo, upstream: example, limits: [per-user], access: { roles: [admin] } }
"#;

async fn on_every_store() -> [Gateway; 2] {
    let on_redis = Setup::from(LIMITED).stores(&Stores::servers().await);
    [harness::gateway(LIMITED).await, harness::gateway(on_redis).await]
}

/// The answer to a GET with one more header.
async fn get_with(client: &Client, path: &str, name: &str, value: &str) -> Response {
    client.send(client.request(Method::GET, path).header(name, value)).await
}

async fn get_from(client: &Client, path: &str, address: &str) -> u16 {
    get_with(client, path, "X-Forwarded-For", address).await.status().as_u16()
}

async fn statuses(client: &Client, path: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(client.get(path).await.status().as_u16());
    }
    statuses
}

fn field<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

#[tokio::test]
async fn an_answer_says_how_the_limit_stands_and_a_refusal_when_to_come_back() {
    for gw in on_every_store().await {
        let client = gw.anonymous();

        for remaining in [2, 1, 0] {
            let passed = client.get("/headers").await;
            assert_eq!(passed.status(), 200);
            assert_eq!(field(&passed, "ratelimit-policy"), r#""per-address";q=3;w=3600"#);
            let standing = format!(r#""per-address";r={remaining};t={}"#, 1200 * (3 - remaining));
            assert_eq!(field(&passed, "ratelimit"), standing);
            assert_eq!(field(&passed, "retry-after"), "");
        }
        let refused = client.get("/headers").await;

        assert_eq!((refused.status().as_u16(), refused.reason()), (429, Some("rate_limited")));
        assert_eq!(field(&refused, "content-type"), "application/problem+json");
        assert_eq!(field(&refused, "ratelimit-policy"), r#""per-address";q=3;w=3600"#);
        assert!(field(&refused, "ratelimit").starts_with(r#""per-address";r=0;t=3"#));
        let retry_after: u64 = field(&refused, "retry-after").parse().expect("seconds");
        assert!((1190..=1200).contains(&retry_after), "come back in {retry_after} s");
        let problem: Value = refused.json().await.expect("a problem document");
        assert_eq!(problem["code"], "rate_limited");
        assert_eq!(gw.upstream_calls("/headers").await, 3);
    }
}

#[tokio::test]
async fn each_user_has_a_counter_and_the_most_generous_quota_of_its_roles() {
    for gw in on_every_store().await {
        let (alice, bob, root) =
            (gw.register("alice").await, gw.register("bob").await, gw.admin("root").await);

        assert_eq!(statuses(&alice, "/protected", 4).await, [200, 200, 200, 429]);
        assert_eq!(statuses(&bob, "/protected", 4).await, [200, 200, 200, 429]);
        assert_eq!(statuses(&root, "/protected", 6).await, [200, 200, 200, 200, 200, 429]);
        alice.login().await;
        assert_eq!(statuses(&alice, "/protected", 1).await, [429], "a new session is still alice");
    }
}

#[tokio::test]
async fn users_of_one_role_share_a_counter_of_that_role() {
    for gw in on_every_store().await {
        let (alice, bob, root) =
            (gw.register("alice").await, gw.register("bob").await, gw.admin("root").await);

        assert_eq!(statuses(&alice, "/secure/data", 2).await, [200, 200]);
        assert_eq!(statuses(&bob, "/secure/data", 2).await, [200, 429]);
        assert_eq!(statuses(&root, "/secure/data", 1).await, [200]);
    }
}

#[tokio::test]
async fn each_value_of_a_header_or_path_parameter_has_a_counter() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        for key in ["one", "two"] {
            let mut seen = Vec::new();
            for _ in 0..4 {
                let answer = get_with(&client, "/questions/topics", "x-api-KEY", key).await;
                seen.push(answer.status().as_u16());
            }
            assert_eq!(seen, [200, 200, 200, 429], "{key}");
        }

        assert_eq!(statuses(&client, "/users/7/notes", 4).await, [200, 200, 200, 429]);
        assert_eq!(statuses(&client, "/users/%37/notes", 1).await, [400], "another spelling of 7");
        assert_eq!(statuses(&client, "/users/8/notes", 4).await, [200, 200, 200, 429]);
    }
}

#[tokio::test]
async fn what_one_limit_refuses_is_not_charged_to_the_others() {
    for gw in on_every_store().await {
        let alice = gw.register("alice").await;
        let both = alice.get("/admin/dashboard").await;
        assert_eq!(field(&both, "ratelimit-policy"), r#""wide";q=9;w=60, "per-address";q=3;w=3600"#);
        assert_eq!(statuses(&alice, "/admin/dashboard", 5).await, [200, 200, 429, 429, 429]);

        let elsewhere = get_with(&alice, "/admin/dashboard", "x-forwarded-for", "192.0.2.77").await;

        let standing = field(&elsewhere, "ratelimit");
        let remaining = standing.split([';', ',']).nth(1).and_then(|part| part.strip_prefix("r="));
        let remaining: u32 = remaining.and_then(|digits| digits.parse().ok()).expect("what remains");
        assert!(remaining >= 5, "nine, and four of them used up: {standing}");
    }
}

#[tokio::test]
async fn a_revoked_token_uses_up_nothing_of_its_user() {
    for gw in on_every_store().await {
        let alice = gw.register("alice").await;
        alice.logout().await;

        let refused = alice.get("/protected").await;
        assert_eq!(refused.reason(), Some("token_revoked"));
        assert_eq!(field(&refused, "ratelimit"), "", "it says nothing of the user's limits");
        assert_eq!(statuses(&alice, "/protected", 9).await, [401; 9]);
        alice.login().await;

        assert_eq!(statuses(&alice, "/protected", 4).await, [200, 200, 200, 429]);
    }
}

#[tokio::test]
async fn guessing_tokens_is_charged_to_the_address() {
    for gw in on_every_store().await {
        let guesser = gw.anonymous();
        guesser.set_token(Some("a.b.c".to_owned()));

        assert_eq!(statuses(&guesser, "/admin/dashboard", 4).await, [401, 401, 401, 429]);
        let alice = gw.register("alice").await;
        assert_eq!(get_from(&alice, "/admin/dashboard", "192.0.2.5").await, 200, "another address");
    }
}

#[tokio::test]
async fn a_refused_role_is_charged_like_any_request() {
    for gw in on_every_store().await {
        let alice = gw.register("alice").await;

        assert_eq!(statuses(&alice, "/echo", 4).await, [403, 403, 403, 429]);
    }
}

#[tokio::test]
async fn class_100_addresses_of_one_ipv6_network_share_a_counter_and_mapped_ones_are_ipv4() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let mut seen = Vec::new();
        for address in ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff:ffff:ffff:ffff"] {
            seen.push(get_from(&client, "/headers", address).await);
        }
        seen.push(get_from(&client, "/headers", "2001:db8:1:2:abcd::9").await);
        seen.push(get_from(&client, "/headers", "2001:db8:1:3::1").await);
        assert_eq!(seen, [200, 200, 200, 429, 200], "the last is another /64");

        let mut seen = Vec::new();
        for address in ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "192.0.2.1", "192.0.2.2"] {
            seen.push(get_from(&client, "/headers", address).await);
        }
        assert_eq!(seen, [200, 200, 200, 429, 200], "the last is another host");
    }
}

#[tokio::test]
async fn class_99_nothing_a_client_sends_gives_it_a_fresh_counter() {
    let gw = harness::gateway(Setup::from(LIMITED).with("trusted_proxies: []")).await;
    let client = gw.anonymous();
    assert_eq!(statuses(&client, "/headers", 3).await, [200, 200, 200]);

    for (name, value) in [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Real-IP", "192.0.2.2"),
        ("Forwarded", "for=192.0.2.3"),
        ("X-Client-IP", "192.0.2.4"),
        ("CF-Connecting-IP", "192.0.2.5"),
        ("X-Forwarded-Host", "another.example"),
        ("Host", "another.example"),
        ("User-Agent", "another"),
        ("Cookie", "another=one"),
        ("Authorization", "Bearer a.b.c"),
    ] {
        let answer = get_with(&client, "/headers", name, value).await;
        assert_eq!(answer.status(), 429, "{name}: {value}");
    }
    for target in ["/headers?a=1", "/headers?", "/headers?%61"] {
        assert_eq!(client.get(target).await.status(), 429, "{target}");
    }
    for target in ["/HEADERS", "/headers/", "//headers", "/./headers", "/headers;a=1", "/%68eaders"] {
        let (answer, _) =
            gw.raw(format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let status = answer.expect("an answer").status;
        assert!([400, 404, 429].contains(&status), "{target}: {status}");
    }
    assert_eq!(gw.upstream_calls("/headers").await, 3);
}

#[tokio::test]
async fn a_trusted_proxy_speaks_only_for_the_address_nearest_to_it() {
    let gw = harness::gateway(LIMITED).await;
    let client = gw.anonymous();

    let mut seen = Vec::new();
    for forged in ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4, nonsense", "10.0.0.5"] {
        seen.push(get_from(&client, "/headers", &format!("{forged}, 192.0.2.1")).await);
    }

    assert_eq!(seen, [200, 200, 200, 429, 429], "what stands to the left of the peer's word is the client's");
}
