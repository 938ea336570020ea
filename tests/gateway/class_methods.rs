//! Odd methods, versions, expectations and header blocks, as raw clients send them.

use crate::harness::{self, Echo, Gateway, RawAnswer, Reason};

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
      - { path: "/public/{*rest}", upstream: example, access: public }
      - { path: /protected, upstream: example }
"#;

/// The answer to these bytes; `None` when the gateway closes without one.
async fn send(gw: &Gateway, bytes: &[u8]) -> Option<RawAnswer> {
    let mut connection = gw.raw_connection().await;
    connection.send(bytes).await;
    connection.answer().await
}

/// Closed without an answer, or refused with one of these.
fn is_refused(answer: Option<&RawAnswer>, statuses: &[u16]) -> bool {
    answer.is_none_or(|answer| statuses.contains(&answer.status))
}

#[tokio::test]
async fn class_32_illegal_bytes_in_header_fields_are_refused() {
    let gw = harness::gateway(ROUTES).await;
    let fields: [&[u8]; 17] = [
        b"X-A: a\0b",
        b"X-A: a\x01b",
        b"X-A: a\x1fb",
        b"X-A: a\x7fb",
        b"X-A: a\rb",
        b"X-A: a\r X-Forwarded-User: admin",
        b"X A: 1",
        b"X-A : 1",
        b"X-\0A: 1",
        b"X-\x80A: 1",
        b"X(A): 1",
        b"X-A\t: 1",
        b": 1",
        b" X-A: 1",
        b"X-A: 1\r\n folded",
        b"X-A: 1\r\n\tfolded",
        b"X-A",
    ];

    for field in fields {
        let request = [b"GET /echo HTTP/1.1\r\nHost: gateway\r\n", field, b"\r\n\r\n"].concat();
        let answer = send(&gw, &request).await;
        assert!(is_refused(answer.as_ref(), &[400]), "{}: {answer:?}", field.escape_ascii());
    }

    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn class_33_too_many_and_too_large_headers_are_refused() {
    let gw = harness::gateway(ROUTES).await;
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    let blocks = [
        format!("X-Big: {}\r\n", "a".repeat(1024 * 1024)),
        format!("X-Big: {}\r\n", "a".repeat(65 * 1024)),
        format!("X-{}: 1\r\n", "a".repeat(70 * 1024)),
        format!("Cookie: {}\r\n", "a=b; ".repeat(15 * 1024)),
        many(300),
        many(101),
    ];

    for block in &blocks {
        let request = format!("GET /echo HTTP/1.1\r\nHost: gateway\r\n{block}\r\n");
        let answer = send(&gw, request.as_bytes()).await;
        assert!(is_refused(answer.as_ref(), &[400, 431]), "{}…: {answer:?}", &block[..40]);
    }

    assert_eq!(gw.upstream_calls("/echo").await, 0);
    let request = format!("GET /echo HTTP/1.1\r\nHost: gateway\r\n{}\r\n", many(90));
    assert_eq!(send(&gw, request.as_bytes()).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn class_60_an_h2c_upgrade_is_not_passed_on() {
    let gw = harness::gateway(ROUTES).await;
    let upgrade = b"GET /echo HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";

    let answer = send(&gw, upgrade).await.expect("an answer");

    assert_eq!(answer.status, 200, "{}", answer.head);
    let echo = Echo::read(&answer.body);
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(echo.fields(name), Vec::<&str>::new(), "{name}");
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert!(is_refused(send(&gw, preface).await.as_ref(), &[400, 405, 505]));
}

#[tokio::test]
async fn class_62_connect_is_no_tunnel() {
    let gw = harness::gateway(ROUTES).await;
    let backend = gw.upstream().address();
    let targets = [format!("{backend}"), "/echo".to_owned(), "http://gateway/echo".to_owned()];

    for target in targets {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {backend}\r\n\r\n");
        let answer = send(&gw, request.as_bytes()).await;
        assert!(is_refused(answer.as_ref(), &[400, 405]), "{target}: {answer:?}");
    }

    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn class_63_expect_gets_one_final_answer_and_no_desynchronisation() {
    let gw = harness::gateway(ROUTES).await;
    for (target, status) in [("/echo", 200), ("/protected", 401)] {
        let mut connection = gw.raw_connection().await;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        );
        connection.send(head.as_bytes()).await;

        let mut answer = connection.answer().await.expect("an answer");
        if answer.status == 100 {
            connection.send(b"hello").await;
            answer = connection.answer().await.expect("a final answer");
        }
        assert_eq!(answer.status, status, "{}", answer.head);
        assert_eq!(connection.rest().await, b"");
        if status == 200 {
            assert_eq!(Echo::read(&answer.body).0["body"], "hello");
        }
    }
}

#[tokio::test]
async fn class_66_methods_that_no_backend_needs_are_refused() {
    let gw = harness::gateway(ROUTES).await;
    let long = "A".repeat(20_000);

    for method in ["TRACE", "TRACK", "PURGE", "PROPFIND", "FOO", "get", "Get", "DEBUG", &long] {
        let request = format!("{method} /echo HTTP/1.1\r\nHost: gateway\r\n\r\n");
        let answer = send(&gw, request.as_bytes()).await.expect("an answer");
        assert_eq!((answer.status, answer.reason()), (405, Some("method_not_allowed")), "{}", answer.head);
        let allow: Vec<_> = answer.fields("allow").collect();
        assert_eq!(allow, ["GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"]);
    }

    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn class_66_odd_request_lines_are_refused() {
    let gw = harness::gateway(ROUTES).await;
    let lines = [
        "GET /echo",
        "GET /echo HTTP/0.9",
        "GET /echo HTTP/2.0",
        "GET /echo HTTP/3.0",
        "GET /echo HTTP/1.1 x",
        "GET /echo http/1.1",
        "GET /echo HTTP/11",
        "GET /echo FTP/1.1",
        "GET  /echo HTTP/1.1",
        "GET\t/echo\tHTTP/1.1",
        " GET /echo HTTP/1.1",
        "/echo HTTP/1.1",
        "GET HTTP/1.1",
        "\0GET /echo HTTP/1.1",
    ];

    for line in lines {
        let answer = send(&gw, format!("{line}\r\nHost: gateway\r\n\r\n").as_bytes()).await;
        assert!(is_refused(answer.as_ref(), &[400, 404, 405, 505]), "{line:?}: {answer:?}");
    }

    assert_eq!(gw.upstream_calls("/echo").await, 0);
}
