//! HTTP/2 in, HTTP/1.1 out: what the translation must not lose, add or believe.

use http::{HeaderMap, HeaderValue, Request, Version};

use crate::harness::{self, Echo, Gateway, Http2, Setup, Upstream, Wiretap};

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
      - { path: "/public/{*rest}", upstream: example, access: public }
      - { path: "/admin/{*rest}", upstream: example, access: { roles: [admin] } }
"#;

async fn gateway() -> Gateway {
    harness::gateway(Setup::from(ROUTES).tls()).await
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request<()> {
    let uri = format!("https://localhost{target}");
    let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a legal request")
}

#[tokio::test]
async fn class_22_identity_headers_are_replaced_over_http_2_too() {
    let gw = gateway().await;
    let http2 = Http2::open(&gw).await;
    let forged = [("x-forwarded-user", "forged"), ("x_forwarded_user", "forged"), ("remote-user", "forged")];

    let response = http2.get(request("GET", "/echo", &forged)).await.expect("an answer");

    let echo = Echo::read(response.body());
    assert!(echo.headers().iter().all(|(_, value)| *value != "forged"), "{:?}", echo.headers());
    assert_eq!(echo.fields("x-forwarded-proto"), ["https"]);
    assert_eq!(echo.fields("x-forwarded-host"), ["localhost"]);
}

#[tokio::test]
async fn class_25_trailers_of_http_2_never_become_headers() {
    let gw = gateway().await;
    let http2 = Http2::open(&gw).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-forwarded-user", HeaderValue::from_static("forged"));

    for _ in 0..3 {
        let sent = http2.send(request("POST", "/echo", &[]), &[b"hello"], Some(trailers.clone())).await;

        let echo = Echo::read(sent.expect("an answer").body());
        assert_eq!(echo.0["body"], "hello");
        assert_eq!(echo.fields("x-forwarded-user"), Vec::<&str>::new());
        assert_eq!(echo.0["trailers"], serde_json::json!([]));
    }
}

#[tokio::test]
async fn class_36_ambiguous_targets_are_refused_over_http_2_too() {
    let gw = gateway().await;
    let http2 = Http2::open(&gw).await;
    let targets = [
        "/public/../admin/dashboard",
        "/public/..%2fadmin/dashboard",
        "//admin/dashboard",
        "/admin%2Fdashboard",
        "/public/%2e%2e/admin/dashboard",
        "/public/;/admin",
    ];

    for target in targets {
        let response = http2.get(request("GET", target, &[])).await.expect("an answer");
        assert_eq!(response.status(), 400, "{target}");
        assert_eq!(response.headers()["portcullis-reason"], "bad_path", "{target}");
    }

    assert!(gw.upstream().all_calls().await.is_empty());
}

/// Pingora 0.9.1 by itself ends such a body twice: the second end would be the start of the next
/// request on the same upstream connection.
#[tokio::test]
async fn class_65_an_empty_last_data_frame_leaves_no_stray_bytes_upstream() {
    let backend = Upstream::start().await;
    let tap = Wiretap::before(backend.address()).await;
    let setup = Setup::from(ROUTES).tls().with("upstreams: { example: { servers: [\"${TAP}\"] } }");
    let gw = harness::gateway(setup.env("TAP", tap.address().to_string())).await;
    let http2 = Http2::open(&gw).await;
    let bodies: [(&[&'static [u8]], &str); 5] = [
        (&[b"hello", b""], "hello"),
        (&[b"hel", b"lo", b""], "hello"),
        (&[b"", b"hello", b""], "hello"),
        (&[b"hello"], "hello"),
        (&[b""], ""),
    ];

    for (frames, body) in bodies.iter().cycle().take(15) {
        let sent = http2.send(request("POST", "/echo", &[]), frames, None).await.expect("an answer");
        assert_eq!((sent.status().as_u16(), &Echo::read(sent.body()).0["body"]), (200, &(*body).into()));
        let next = http2.get(request("GET", "/public/hello", &[])).await.expect("an answer");
        assert_eq!(next.status(), 200);
    }

    let heard = tap.heard();
    let is_reused = |sent: &String| sent.matches(" HTTP/1.1\r\n").count() > 2;
    assert!(heard.iter().any(is_reused), "no connection was used again: {heard:?}");
    let begins_a_request =
        |rest: &str| rest.is_empty() || rest.starts_with("GET ") || rest.starts_with("POST ");
    for sent in &heard {
        let stray = sent.split("\r\n0\r\n\r\n").find(|rest| !begins_a_request(rest));
        assert_eq!(stray, None, "{sent}");
    }
}

#[tokio::test]
async fn class_73_host_beside_authority_must_say_the_same() {
    let gw = gateway().await;
    let http2 = Http2::open(&gw).await;

    let same = http2.get(request("GET", "/echo", &[("host", "localhost")])).await.expect("an answer");
    assert_eq!(Echo::read(same.body()).fields("host"), ["localhost"]);
    for fields in [&[("host", "other")][..], &[("host", "localhost"), ("host", "other")]] {
        // Refused with an answer or by a reset.
        let answer = http2.get(request("GET", "/echo", fields)).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 400));
    }

    assert_eq!(gw.upstream_calls("/echo").await, 1);
}

#[tokio::test]
async fn class_74_split_cookies_arrive_as_one_line() {
    let gw = gateway().await;
    let http2 = Http2::open(&gw).await;
    let cookies = [
        ("cookie", "a=1"),
        ("cookie", "__Secure-portcullis_refresh=x"),
        ("cookie", "b=2"),
        ("cookie", "c=3; d=4"),
    ];

    let response = http2.get(request("GET", "/echo", &cookies)).await.expect("an answer");

    assert_eq!(Echo::read(response.body()).fields("cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[tokio::test]
async fn class_62_connect_over_http_2_is_no_tunnel() {
    let gw = gateway().await;
    let http2 = Http2::open(&gw).await;
    let target = gw.upstream().address().to_string();
    let connect = Request::builder().method("CONNECT").uri(target).body(()).expect("a legal request");

    let answer = http2.get(connect).await;

    assert!(answer.is_err() || answer.is_ok_and(|answer| [400, 405].contains(&answer.status().as_u16())));
    let next = Http2::open(&gw).await.get(request("GET", "/echo", &[])).await;
    assert_eq!(next.expect("an answer").status(), 200);
}

#[tokio::test]
async fn class_66_odd_methods_are_refused_over_http_2_too() {
    let gw = gateway().await;
    let http2 = Http2::open(&gw).await;

    for method in ["TRACE", "PURGE", "FOO", "get"] {
        let response = http2.get(request(method, "/echo", &[])).await.expect("an answer");
        assert_eq!(response.status(), 405, "{method}");
    }

    assert_eq!(gw.upstream_calls("/echo").await, 0);
}
