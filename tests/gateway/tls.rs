//! The TLS listener: HTTP/1.1 and HTTP/2 by ALPN, beside the plain one.

use http::Version;
use reqwest::{Method, header};
use serde_json::json;

use crate::harness::{self, Client, Echo, Gateway, PASSWORD, RawConnection, Setup, client_builder};

async fn gateway() -> Gateway {
    let routes = "
        routes:
          - { path: /echo, upstream: example, access: public }
          - { path: /protected, upstream: example }
    ";
    harness::gateway(Setup::from(routes).tls()).await
}

#[tokio::test]
async fn both_versions_are_served_over_tls_and_the_backend_learns_the_scheme() {
    let gw = gateway().await;
    let clients = [
        (gw.anonymous_over_tls_with(client_builder().http1_only()), Version::HTTP_11, "https"),
        (gw.anonymous_over_tls(), Version::HTTP_2, "https"),
        (gw.anonymous(), Version::HTTP_11, "http"),
    ];

    for (client, version, scheme) in clients {
        let response = client.get("/echo").await;

        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        let echo = Echo::of(response).await;
        assert_eq!(echo.fields("x-forwarded-proto"), [scheme]);
        assert_eq!(echo.0["version"], "HTTP/1.1");
    }
}

#[tokio::test]
async fn many_requests_share_one_http_2_connection() {
    let gw = gateway().await;
    let client = gw.anonymous_over_tls();
    let requests = (0..50).map(|n| {
        let request = client.request(Method::POST, "/echo").body(format!("body {n}"));
        async { Echo::of(client.send(request).await).await }
    });

    let echoes = futures::future::join_all(requests).await;

    for (n, echo) in echoes.iter().enumerate() {
        assert_eq!(echo.0["body"], format!("body {n}"));
    }
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let gw = gateway().await;

    for version in [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3] {
        let http = client_builder().tls_version_min(version).tls_version_max(version);
        assert_eq!(gw.anonymous_over_tls_with(http).get("/echo").await.status(), 200, "{version:?}");
    }
}

#[tokio::test]
async fn a_login_over_tls_sets_a_secure_cookie_that_refreshes() {
    let gw = gateway().await;
    gw.register("alice").await;
    let client = gw.anonymous_over_tls();
    let credentials = json!({ "username": "alice", "password": PASSWORD });

    let login = client.post("/auth/login", &credentials).await;

    assert_eq!(login.status(), 200);
    let cookie = login.headers()[header::SET_COOKIE].to_str().expect("ASCII").to_owned();
    assert!(cookie.starts_with("__Secure-portcullis_refresh="), "{cookie}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/auth"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{attribute} isn't in {cookie}");
    }
    client.refresh().await;
    assert_protected(&client).await;
}

async fn assert_protected(client: &Client) {
    assert_eq!(client.get("/protected").await.status(), 200);
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_told_so_and_harms_nothing() {
    let gw = gateway().await;
    let mut connection = RawConnection::open(gw.tls_address()).await;

    connection.send(b"GET /echo HTTP/1.1\r\nHost: gateway\r\n\r\n").await;

    let answer = connection.answer().await.expect("an answer");
    assert_eq!(answer.status, 400);
    assert!(String::from_utf8_lossy(&answer.body).contains("HTTPS"), "{answer:?}");
    assert!(connection.is_closed_within(harness::PATIENCE).await);
    assert_eq!(gw.upstream_calls("/echo").await, 0);
    assert_eq!(gw.anonymous_over_tls().get("/echo").await.status(), 200);
}
