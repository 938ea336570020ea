//! One reading of a request's target and host: what is the same is taken for the same, and what isn't plain is
//! refused and never mended.

use http::{Request, Version};

use crate::harness::{
    self, ByHand, Echo, Gateway, Http2, Outcome, RawAnswer, Reason, Setup, field, raw_http2,
};

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
      - { host: admin.test, path: "/{*rest}", upstream: example, access: { roles: [admin] } }
"#;

async fn send(gw: &Gateway, line: &str, fields: &str) -> RawAnswer {
    let mut connection = gw.raw_connection().await;
    connection.send(format!("{line} HTTP/1.1\r\n{fields}\r\n").as_bytes()).await;
    connection.answer().await.expect("an answer")
}

fn over_http2(method: &str, uri: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
    request.body(()).expect("a legal request")
}

#[tokio::test]
async fn an_absolute_target_of_the_own_host_is_read_and_forwarded_in_origin_form() {
    let gw = harness::gateway(ROUTES).await;

    for (line, host) in [
        ("GET http://shop.test/echo?a=b", "shop.test"),
        ("GET HTTPS://shop.test:8443/echo?a=b", "shop.test:8443"),
        ("GET http://Shop.Test./echo?a=b", "Shop.Test."),
    ] {
        let answer = send(&gw, line, &format!("Host: {host}\r\n")).await;

        assert_eq!(answer.status, 200, "{line}: {}", answer.head);
        assert_eq!(Echo::read(&answer.body).0["target"], "/echo?a=b", "{line}");
    }
    for line in ["GET http://shop.test", "GET http://shop.test?a", "GET http://shop.test/"] {
        let answer = send(&gw, line, "Host: shop.test\r\n").await;
        assert_eq!(answer.reason(), Some("route_not_found"), "{line}");
    }
    let answer = send(&gw, "GET http://admin.test/echo", "Host: admin.test\r\n").await;
    assert_eq!(answer.reason(), Some("no_credentials"), "the rules of its host");
}

#[tokio::test]
async fn an_absolute_target_of_another_host_or_with_more_than_a_path_is_refused() {
    let gw = harness::gateway(ROUTES).await;

    for line in [
        "GET http://other.test/echo",
        "GET http://shop.test:80/echo",
        "GET http://shop.test@other.test/echo",
        "GET http:///echo",
        "GET http:/echo",
        "GET ftp://shop.test/echo",
        "GET http://shop.test/echo#a",
        "GET http://shop.test#/echo",
        "GET http://shop.test?a#b",
        "GET http://shop.test/../echo",
        "GET http://shop.test\\/echo",
    ] {
        let answer = send(&gw, line, "Host: shop.test\r\n").await;
        assert_eq!(answer.status, 400, "{line}: {}", answer.head);
    }
    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn a_host_with_a_final_dot_is_the_host_without_it() {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;

    for (host, plain) in [("shop.test.", "shop.test"), ("Shop.test.:8080", "shop.test:8080")] {
        let answer = send(&gw, "GET /echo", &format!("Host: {host}\r\n")).await;
        let echo = Echo::read(&answer.body);
        assert_eq!((echo.fields("host"), echo.fields("x-forwarded-host")), (vec![plain], vec![plain]));
    }
    for host in ["admin.test.", "ADMIN.test.:8080"] {
        let answer = send(&gw, "GET /echo", &format!("Host: {host}\r\n")).await;
        assert_eq!(answer.reason(), Some("no_credentials"), "{host}");
    }
    let http2 = Http2::open(&gw).await;
    let answer = http2.get(over_http2("GET", "https://localhost./echo")).await.expect("an answer");
    assert_eq!(Echo::read(answer.body()).fields("host"), ["localhost"]);
}

#[tokio::test]
async fn what_no_target_may_hold_is_refused_and_not_encoded() {
    let gw = harness::gateway(ROUTES).await;

    for target in [
        &b"/echo?a b"[..],
        b"/echo?a\x01",
        b"/echo?a\x7f",
        b"/echo?a\tb",
        b"/echo ",
        b" /echo",
        b"/echo?a#b",
        b"/echo?\xc3\xa9",
        b"/ec ho",
    ] {
        for begin in [&b""[..], b"\r\n"] {
            let request = [begin, b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            let mut connection = gw.raw_connection().await;
            connection.send(&request).await;
            let answer = connection.answer().await.expect("an answer");
            assert_eq!(answer.status, 400, "{}: {}", target.escape_ascii(), answer.head);
        }
    }
    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn a_post_without_a_body_tells_the_upstream_its_length() {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;
    let http2 = Http2::open(&gw).await;

    for method in ["POST", "PUT", "PATCH"] {
        let answer = http2.get(over_http2(method, "https://localhost/echo")).await.expect("an answer");
        assert_eq!(Echo::read(answer.body()).fields("content-length"), ["0"], "{method} over HTTP/2");
        let answer = send(&gw, &format!("{method} /echo"), "Host: a\r\n").await;
        assert_eq!(Echo::read(&answer.body).fields("content-length"), ["0"], "{method}");
    }
    let answer = http2.get(over_http2("GET", "https://localhost/echo")).await.expect("an answer");
    assert_eq!(Echo::read(answer.body()).fields("content-length"), Vec::<&str>::new());
}

/// Node's and curl's HTTP/2 clients take a reset for a failure, whatever came before it.
#[tokio::test]
async fn a_head_over_http2_gets_our_502_whole() {
    let upstream = ByHand::start().await;
    let address = upstream.address().to_string();
    drop(upstream);
    let setup = Setup::from(
        r#"
        upstreams: { example: { servers: ["127.0.0.1:1"] } }
        routes: [{ path: /echo, upstream: example, access: public }]
        "#,
    );
    let gw = harness::gateway(setup.env("BACKEND", address).tls()).await;
    let http2 = Http2::open(&gw).await;

    for method in ["HEAD", "GET", "HEAD"] {
        let answer = http2.get(over_http2(method, "https://localhost/echo")).await.expect("no reset");

        assert_eq!(answer.status(), 502, "{method}");
        assert_eq!(answer.headers()["portcullis-reason"], "upstream_unreachable");
        assert_eq!(answer.body().is_empty(), method == "HEAD");
    }
}

/// The HTTP/2 library cuts the fragment off before anything sees the target.
#[tokio::test]
async fn class_44_a_fragment_over_http2_is_neither_decided_on_nor_forwarded() {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;
    let ask = async |authority: &str, path: &str| {
        let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", path)];
        let fields: Vec<_> =
            pseudo.iter().map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect();
        raw_http2(&gw, &fields).await
    };

    assert!(matches!(ask("admin.test", "/x#/../echo").await, Outcome::Answered(_)));
    assert!(gw.logged(|line| line["path"] == "/x").await["reason"] == "no_credentials");
    assert_eq!(gw.upstream_calls("/x").await, 0);

    assert!(matches!(ask("localhost", "/echo#/x").await, Outcome::Answered(_)));
    assert_eq!(gw.upstream_calls("/echo").await, 1);
}
