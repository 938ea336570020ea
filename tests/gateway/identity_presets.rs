//! How a backend learns who is calling: one set of header names per preset, and the ids of the
//! request and its trace.

use reqwest::{Method, header};
use serde_json::json;

use crate::harness::{self, Client, Echo, Gateway, PASSWORD};

const ROUTES: &str = r#"
    upstreams:
      forwarded: { servers: ["${UPSTREAM}"] }
      remote: { servers: ["${UPSTREAM}"], identity: remote }
      webauth: { servers: ["${UPSTREAM}"], identity: webauth }
      consumer: { servers: ["${UPSTREAM}"], identity: consumer }
      trusting: { servers: ["${UPSTREAM}"], keep_authorization: true }
    routes:
      - { host: forwarded.test, path: /echo, upstream: forwarded }
      - { host: remote.test, path: /echo, upstream: remote }
      - { host: webauth.test, path: /echo, upstream: webauth }
      - { host: consumer.test, path: /echo, upstream: consumer }
      - { host: trusting.test, path: /echo, upstream: trusting }
      - { host: optional.test, path: /echo, upstream: forwarded, access: optional }
"#;

/// Every header name that some preset sets.
const NAMES: [&str; 14] = [
    "x-forwarded-user",
    "x-forwarded-preferred-username",
    "x-forwarded-email",
    "x-forwarded-groups",
    "remote-user",
    "remote-email",
    "remote-groups",
    "x-webauth-user",
    "x-webauth-email",
    "x-webauth-role",
    "x-consumer-id",
    "x-consumer-username",
    "x-consumer-groups",
    "authorization",
];

async fn alice(gw: &Gateway) -> Client {
    let client = gw.client("alice");
    let account = json!({ "username": "alice", "password": PASSWORD, "email": "alice@example.com" });
    assert_eq!(client.post("/auth/register", &account).await.status(), 201);
    harness::confirm_in_folder(gw, "alice@example.com").await;
    client.login().await;
    client
}

async fn echo(client: &Client, host: &str) -> Echo {
    let response = client.send(client.request(Method::GET, "/echo").header(header::HOST, host)).await;
    assert_eq!(response.status(), 200, "{host}");
    Echo::of(response).await
}

#[tokio::test]
async fn each_preset_tells_the_identity_in_its_own_words_and_no_others() {
    let gw = harness::gateway(ROUTES).await;
    let alice = alice(&gw).await;
    let id = alice.id().await;
    let (email, bearer) = ("alice@example.com", format!("Bearer {}", alice.token()));
    let forwarded = [
        ("x-forwarded-user", id.as_str()),
        ("x-forwarded-preferred-username", "alice"),
        ("x-forwarded-email", email),
        ("x-forwarded-groups", "user"),
    ];
    let presets: [(&str, &[(&str, &str)]); 4] = [
        ("forwarded.test", &forwarded),
        ("remote.test", &[("remote-user", "alice"), ("remote-email", email), ("remote-groups", "user")]),
        (
            "webauth.test",
            &[("x-webauth-user", "alice"), ("x-webauth-email", email), ("x-webauth-role", "user")],
        ),
        (
            "consumer.test",
            &[
                ("x-consumer-id", id.as_str()),
                ("x-consumer-username", "alice"),
                ("x-consumer-groups", "user"),
            ],
        ),
    ];

    for (host, expected) in presets {
        assert_identity(&echo(&alice, host).await, expected);
    }
    let trusting = [&forwarded[..], &[("authorization", bearer.as_str())]].concat();
    assert_identity(&echo(&alice, "trusting.test").await, &trusting);
}

/// These headers, once each, and no other of [`NAMES`].
fn assert_identity(echo: &Echo, expected: &[(&str, &str)]) {
    for name in NAMES {
        let values: Vec<_> =
            expected.iter().filter(|(own, _)| *own == name).map(|(_, value)| *value).collect();
        assert_eq!(echo.fields(name), values, "{name} at {:?}", echo.fields("host"));
    }
}

#[tokio::test]
async fn an_optional_route_tells_the_identity_only_when_there_is_one() {
    let gw = harness::gateway(ROUTES).await;
    let alice = alice(&gw).await;

    assert_eq!(echo(&alice, "optional.test").await.fields("x-forwarded-preferred-username"), ["alice"]);
    assert_identity(&echo(&gw.anonymous(), "optional.test").await, &[]);
}

#[tokio::test]
async fn a_request_has_one_id_everywhere_and_the_client_does_not_choose_it() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();
    let request = anonymous.request(Method::GET, "/echo").header(header::HOST, "optional.test");

    let response = anonymous.send(request.header("x-request-id", "chosen")).await;

    let id = response.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
    let echo = Echo::of(response).await;
    assert_ne!(id, "chosen");
    assert_eq!(echo.fields("x-request-id"), [id.as_str()]);
    let line = gw.logged(|line| line["request_id"] == id.as_str()).await;
    assert_eq!((&line["path"], &line["status"]), (&"/echo".into(), &200.into()));
    let refusal = anonymous.get("/nowhere").await;
    let refused_id = refusal.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
    let problem: serde_json::Value = refusal.json().await.expect("a problem document");
    assert_eq!(problem["request_id"], refused_id);
}

#[tokio::test]
async fn a_trace_is_passed_on_or_begun() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();
    let request = || anonymous.request(Method::GET, "/echo").header(header::HOST, "optional.test");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    let passed_on = request().header("traceparent", trace).header("tracestate", "a=1");
    let passed_on = Echo::of(anonymous.send(passed_on).await).await;
    let begun = Echo::of(anonymous.send(request()).await).await;

    assert_eq!(passed_on.fields("traceparent"), [trace]);
    assert_eq!(passed_on.fields("tracestate"), ["a=1"]);
    let [parent] = begun.fields("traceparent")[..] else { panic!("not one traceparent") };
    let parts: Vec<_> = parent.split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
    assert_eq!(begun.fields("x-request-id"), [parts[1]]);
    assert!(parts[1..3].iter().all(|id| id.bytes().any(|digit| digit != b'0')));
}
