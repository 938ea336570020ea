//! Which server gets a request, and what happens when it can't be reached, is too slow or can't be
//! trusted.

use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{self, Gateway, Reason, Setup, Upstream, Wiretap, eventually};
use crate::servers::ports;

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
      - { path: /slow, upstream: example, access: public }
      - { path: "/public/{*rest}", upstream: example, access: public }
"#;

/// One gateway with two backends, the second beside that of the harness.
async fn with_second_server(servers: &str, second: &Upstream) -> Gateway {
    let setup = Setup::from(ROUTES).with(&format!("upstreams: {{ example: {{ servers: {servers} }} }}"));
    harness::gateway(setup.env("SECOND", second.address().to_string())).await
}

async fn calls(upstream: &Upstream) -> u64 {
    upstream.calls("/public/hello").await
}

#[tokio::test]
async fn each_upstream_gets_what_its_routes_say() {
    let second = Arc::new(Upstream::start().await);
    let setup = Setup::from(
        r#"
        upstreams:
          first: { servers: ["${UPSTREAM}"] }
          second: { servers: ["http://${SECOND}"] }
        routes:
          - { path: "/public/{*rest}", upstream: first, access: public }
          - { path: /echo, upstream: second, access: public }
        "#,
    );
    let gw = harness::gateway(setup.env("SECOND", second.address().to_string())).await;
    let anonymous = gw.anonymous();

    anonymous.get("/public/hello").await;
    anonymous.get("/echo").await;

    assert_eq!((gw.upstream_calls("/public/hello").await, gw.upstream_calls("/echo").await), (1, 0));
    assert_eq!((calls(&second).await, second.calls("/echo").await), (0, 1));
}

#[tokio::test]
async fn servers_share_requests_by_weight() {
    let second = Upstream::start().await;
    let servers = r#"[{ address: "${UPSTREAM}", weight: 3 }, "${SECOND}"]"#;
    let gw = with_second_server(servers, &second).await;
    let anonymous = gw.anonymous();

    for _ in 0..40 {
        assert_eq!(anonymous.get("/public/hello").await.status(), 200);
    }

    assert_eq!((calls(gw.upstream()).await, calls(&second).await), (30, 10));
}

#[tokio::test]
async fn a_dead_server_is_passed_over_for_every_method_until_it_is_back() {
    let second = Upstream::start().await;
    let gw = with_second_server(r#"["${UPSTREAM}", "${SECOND}"]"#, &second).await;
    let anonymous = gw.anonymous();
    second.kill();

    for _ in 0..10 {
        assert_eq!(anonymous.get("/public/hello").await.status(), 200);
        let post = anonymous.request(Method::POST, "/echo").body("x".repeat(100_000));
        let echo: Value = anonymous.send(post).await.json().await.expect("an echo");
        assert_eq!(echo["body_length"], 100_000);
    }

    assert_eq!((calls(gw.upstream()).await, gw.upstream_calls("/echo").await), (10, 10));
    second.restart().await;
    eventually("a request for the server that is back", async || {
        anonymous.get("/public/hello").await;
        (calls(&second).await > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_restarted_server_is_reached_at_once() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();

    for _ in 0..3 {
        assert_eq!(anonymous.get("/public/hello").await.status(), 200);
        gw.upstream().restart().await;
        let post = anonymous.request(Method::POST, "/echo").body("hello");
        assert_eq!(anonymous.send(post).await.status(), 200);
    }
}

#[tokio::test]
async fn without_a_living_server_the_answer_is_upstream_unreachable() {
    let dead = [ports::reserve(), ports::reserve()];
    let setup = Setup::from(ROUTES)
        .tls()
        .with(r#"upstreams: { example: { servers: ["${DEAD}", "${DEAD_TOO}"] } }"#)
        .env("DEAD", dead[0].address().to_string())
        .env("DEAD_TOO", dead[1].address().to_string());
    let gw = harness::gateway(setup).await;

    for client in [gw.anonymous(), gw.anonymous_over_tls()] {
        for method in [Method::GET, Method::POST, Method::GET] {
            let response = client.send(client.request(method, "/echo").body("hello")).await;

            assert_eq!((response.status().as_u16(), response.reason()), (502, Some("upstream_unreachable")));
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            let problem: Value = response.json().await.expect("a problem document");
            assert_eq!(problem["code"], "upstream_unreachable");
            assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
        }
        assert_eq!(client.get("/auth/me").await.status(), 401);
    }
}

/// A connection that closes without having said so breaks the client's next request.
#[tokio::test]
async fn an_answer_after_which_the_connection_closes_says_so() {
    let dead = ports::reserve();
    let setup = Setup::from(ROUTES).with(r#"upstreams: { example: { servers: ["${DEAD}"] } }"#);
    let gw = harness::gateway(setup.env("DEAD", dead.address().to_string())).await;
    let mut connection = gw.raw_connection().await;

    connection.send(b"GET /echo HTTP/1.1\r\nHost: gateway\r\n\r\n").await;

    let answer = connection.answer().await.expect("an answer");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.fields("connection").collect::<Vec<_>>(), ["close"]);
    assert!(connection.is_closed_within(harness::PATIENCE).await);
}

#[tokio::test]
async fn a_server_that_is_too_slow_gives_upstream_timeout() {
    let upstreams = r#"upstreams: { example: { servers: ["${UPSTREAM}"], timeouts: { read: 200ms } } }"#;
    let gw = harness::gateway(Setup::from(ROUTES).with(upstreams)).await;
    let anonymous = gw.anonymous();

    for method in [Method::GET, Method::POST] {
        let response = anonymous.send(anonymous.request(method, "/slow?ms=30000")).await;
        assert_eq!((response.status().as_u16(), response.reason()), (504, Some("upstream_timeout")));
    }

    assert_eq!(gw.upstream_calls("/slow").await, 2, "a request was sent again after it had been sent");
    assert_eq!(anonymous.get("/slow?ms=1").await.status(), 200);
}

/// A gateway before an HTTPS backend whose certificate is for `name`.
async fn before_https(name: &str, trusted: bool) -> (Upstream, Wiretap, Gateway) {
    let backend = Upstream::start().await;
    let tap = Wiretap::with_tls_before(backend.address(), name).await;
    let stranger = Wiretap::with_tls_before(backend.address(), name).await;
    let trusted = if trusted { tap.certificate_file() } else { stranger.certificate_file() };
    let setup = Setup::from(ROUTES)
        .with(r#"upstreams: { example: { servers: ["https://${TAP}"] } }"#)
        .env("TAP", tap.address().to_string())
        .env("SSL_CERT_FILE", trusted.to_str().expect("temporary folders have plain names"));
    let gateway = harness::gateway(setup).await;
    (backend, tap, gateway)
}

#[tokio::test]
async fn an_https_upstream_with_a_trusted_certificate_works() {
    let (backend, tap, gw) = before_https("127.0.0.1", true).await;

    assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200);

    assert_eq!(calls(&backend).await, 1);
    assert!(tap.heard()[0].starts_with("GET /public/hello HTTP/1.1\r\n"), "{:?}", tap.heard());
}

#[tokio::test]
async fn an_https_upstream_that_is_not_trusted_or_another_is_told_nothing() {
    for (name, trusted) in [("127.0.0.1", false), ("other.test", true)] {
        let (backend, tap, gw) = before_https(name, trusted).await;

        let response = gw.anonymous().get("/public/hello").await;

        assert_eq!((response.status().as_u16(), response.reason()), (502, Some("upstream_unreachable")));
        assert_eq!(calls(&backend).await, 0);
        assert!(tap.heard().iter().all(String::is_empty), "{:?}", tap.heard());
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_without_an_answer_gives_upstream_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let rude = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let setup = Setup::from(ROUTES).with(r#"upstreams: { example: { servers: ["${RUDE}"] } }"#);
    let gw = harness::gateway(setup.env("RUDE", address.to_string())).await;

    let response = gw.anonymous().get("/public/hello").await;

    assert_eq!((response.status().as_u16(), response.reason()), (502, Some("upstream_unreachable")));
    rude.abort();
}
