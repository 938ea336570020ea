//! Where one message ends and the next begins: over raw sockets, with the backend's own count and
//! the recorded bytes as witnesses that nothing was smuggled.

use crate::harness::{self, Client, Echo, Gateway, RawAnswer, Setup, Wiretap};

/// Never a request of its own, wherever it stands in these tests.
const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n";

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
      - { path: "/public/{*rest}", upstream: example, access: public }
      - { path: /protected, upstream: example }
"#;

/// What comes back for these bytes: every whole answer, until the gateway closes or falls silent.
async fn answers(gw: &Gateway, bytes: &str) -> Vec<RawAnswer> {
    let (first, rest) = gw.raw(bytes.as_bytes()).await;
    let more = String::from_utf8_lossy(&rest).matches("HTTP/1.1 ").count();
    let first = first.into_iter().collect::<Vec<_>>();
    assert_eq!(more, 0, "more than one answer: {first:?} {}", String::from_utf8_lossy(&rest));
    first
}

/// Each of these heads, before a body that reads as a request in some way of framing, gets at
/// most one answer, and that with this status; nothing is smuggled.
async fn refused(heads: &[&str], body: &str, statuses: &[u16]) {
    let gw = harness::gateway(ROUTES).await;

    for head in heads {
        let bytes = format!("POST /echo HTTP/1.1\r\nHost: gateway\r\n{head}\r\n{body}");
        for answer in answers(&gw, &bytes).await {
            assert!(statuses.contains(&answer.status), "{head}: {}", answer.head);
        }
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
    assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200);
}

#[tokio::test]
async fn class_53_content_length_beside_transfer_encoding_has_one_reading() {
    let gw = harness::gateway(ROUTES).await;
    let chunked = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
    let length_last = "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n";

    for head in [chunked, length_last] {
        let bytes = format!("POST /echo HTTP/1.1\r\nHost: gateway\r\n{head}\r\n0\r\n\r\n{SMUGGLED}");
        let mut connection = gw.raw_connection().await;
        connection.send(bytes.as_bytes()).await;

        let answer = connection.answer().await.expect("an answer");
        if answer.status == 200 {
            let echo = Echo::read(&answer.body);
            assert_eq!(echo.0["body_length"], 0);
            let framing = [echo.fields("content-length").len(), echo.fields("transfer-encoding").len()];
            assert_eq!(framing.iter().sum::<usize>(), 1, "{:?}", echo.headers());
        } else {
            assert_eq!(answer.status, 400);
        }
        assert_eq!(connection.rest().await, b"");
        assert!(connection.is_closed_within(harness::PATIENCE).await);
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
}

#[tokio::test]
async fn class_54_obfuscated_transfer_encoding() {
    refused(
        &[
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked;x=1\r\n",
            "Transfer-Encoding: chun ked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\u{b}: chunked\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "X: x\nTransfer-Encoding : chunked\r\n",
        ],
        &format!("0\r\n\r\n{SMUGGLED}"),
        &[200, 400, 501],
    )
    .await;
}

#[tokio::test]
async fn class_55_a_content_length_that_is_not_one_plain_number_is_refused() {
    refused(
        &[
            "Content-Length: +5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 5,5\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 5_0\r\n",
            "Content-Length: 1e1\r\n",
            "Content-Length: five\r\n",
            "Content-Length: 18446744073709551617\r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Content-Length: \r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 0\r\nContent-Length: 50\r\n",
            "Content-Length : 5\r\n",
            "Content-Length:\r\n 5\r\n",
        ],
        &format!("hello{SMUGGLED}"),
        &[400, 413],
    )
    .await;
}

#[tokio::test]
async fn class_56_http_1_0_with_transfer_encoding_or_without_a_length() {
    let gw = harness::gateway(ROUTES).await;
    let heads = [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\nConnection: keep-alive\r\n",
        "Connection: keep-alive\r\n",
        "",
    ];

    for head in heads {
        let bytes = format!("POST /echo HTTP/1.0\r\nHost: gateway\r\n{head}\r\n0\r\n\r\n{SMUGGLED}");
        answers(&gw, &bytes).await;
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
}

#[tokio::test]
async fn class_57_a_malformed_chunk_aborts_the_request() {
    let backend = harness::Upstream::start().await;
    let tap = Wiretap::before(backend.address()).await;
    let gw = tapped(&tap).await;
    let bodies = [
        "x\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
        "3\r\nabcXX0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
    ];

    for body in bodies {
        let bytes = format!(
            "POST /echo HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"
        );
        for answer in answers(&gw, &bytes).await {
            assert!(answer.status >= 400, "{body:?}: {}", answer.head);
        }
    }

    assert_eq!(backend.calls("/public/smuggled").await, 0);
    for sent in tap.heard() {
        assert!(sent.matches("HTTP/1.1\r\n").count() <= 1, "more was sent after an aborted body: {sent}");
        assert!(!sent.ends_with("\r\n0\r\n\r\n"), "an aborted body was ended: {sent}");
    }
}

/// Pingora takes an empty size for the last chunk. That is harmless as long as the upstream is told
/// of an empty body and the connection, with all that follows, is given up.
#[tokio::test]
async fn class_57_an_empty_chunk_size_ends_the_body_and_the_connection() {
    let gw = harness::gateway(ROUTES).await;

    for body in ["\r\nabc\r\n0\r\n\r\n", " \r\nabc\r\n0\r\n\r\n"] {
        let bytes = format!(
            "POST /echo HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"
        );
        let mut connection = gw.raw_connection().await;
        connection.send(bytes.as_bytes()).await;
        if let Some(answer) = connection.answer().await {
            let is_empty = answer.status == 200 && Echo::read(&answer.body).0["body"] == "";
            assert!(is_empty || answer.status == 400, "{body:?}: {}", answer.head);
        }
        assert_eq!(connection.rest().await, b"");
        assert!(connection.is_closed_within(harness::PATIENCE).await);
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
}

#[tokio::test]
async fn class_57_bare_line_ends_and_extensions_in_chunks_have_one_reading() {
    let gw = harness::gateway(ROUTES).await;
    let bodies = [
        "3;a=b\r\nabc\r\n0\r\n\r\n",
        "3;\n\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\rabc\r0\r\r",
        "03\r\nabc\r\n00\r\n\r\n",
        "3;a=\"\r\nabc\r\n0\r\n\r\n\"\r\n",
    ];

    for body in bodies {
        let bytes = format!(
            "POST /echo HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"
        );
        for answer in answers(&gw, &bytes).await {
            let is_whole = answer.status == 200 && Echo::read(&answer.body).0["body"] == "abc";
            assert!(is_whole || answer.status >= 400, "{body:?}: {}", answer.head);
        }
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
}

async fn tapped(tap: &Wiretap) -> Gateway {
    let setup = Setup::from(ROUTES).with("upstreams: { example: { servers: [\"${TAP}\"] } }");
    harness::gateway(setup.env("TAP", tap.address().to_string())).await
}

/// A request whose body reads as another request.
fn with_smuggling_body(request_line: &str, client: Option<&Client>) -> String {
    let credentials = client.map(|client| format!("Authorization: Bearer {}\r\n", client.token()));
    format!(
        "{request_line} HTTP/1.1\r\nHost: gateway\r\n{}Content-Length: {}\r\n\r\n{SMUGGLED}",
        credentials.unwrap_or_default(),
        SMUGGLED.len()
    )
}

#[tokio::test]
async fn class_58_a_body_left_unread_after_a_refusal_is_never_the_next_request() {
    let gw = harness::gateway(ROUTES).await;
    let refusals = ["POST /protected", "POST /nowhere", "POST /echo//", "PURGE /echo"];

    for request_line in refusals {
        let mut connection = gw.raw_connection().await;
        connection.send(with_smuggling_body(request_line, None).as_bytes()).await;
        let refusal = connection.answer().await.expect("an answer");
        assert!(refusal.status >= 400, "{request_line}: {}", refusal.head);

        // Closed, or at the start of the next request.
        if connection.send(b"GET /public/hello HTTP/1.1\r\nHost: gateway\r\n\r\n").await
            && let Some(next) = connection.answer().await
        {
            assert!(String::from_utf8_lossy(&next.body).contains("Hello, world"), "{request_line}: {next:?}");
            assert_eq!(connection.rest().await, b"", "{request_line}");
        }
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
}

#[tokio::test]
async fn class_58_a_body_left_unread_after_a_cache_hit_is_never_the_next_request() {
    let routes = r#"
        routes:
          - { path: "/public/{*rest}", upstream: example, access: public, cache: { ttl: 60s, vary_by: shared } }
    "#;
    let gw = harness::gateway(routes).await;
    gw.anonymous().get("/public/hello").await;
    let bodies = [
        with_smuggling_body("GET /public/hello", None),
        format!(
            "GET /public/hello HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
            SMUGGLED.len()
        ),
    ];

    for request in bodies {
        let mut connection = gw.raw_connection().await;
        connection.send(request.as_bytes()).await;
        assert_eq!(connection.answer().await.expect("an answer").status, 200);
        if connection.send(b"GET /public/hello HTTP/1.1\r\nHost: gateway\r\n\r\n").await
            && let Some(next) = connection.answer().await
        {
            assert!(String::from_utf8_lossy(&next.body).contains("Hello, world"), "{next:?}");
            assert_eq!(connection.rest().await, b"");
        }
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
}

#[tokio::test]
async fn class_64_the_body_of_a_get_is_a_body() {
    let gw = harness::gateway(ROUTES).await;

    for method in ["GET", "OPTIONS", "DELETE"] {
        let mut connection = gw.raw_connection().await;
        connection.send(with_smuggling_body(&format!("{method} /echo"), None).as_bytes()).await;

        let echo = Echo::read(&connection.answer().await.expect("an answer").body);
        assert_eq!((&echo.0["method"], &echo.0["body"]), (&method.into(), &SMUGGLED.into()));
        assert_eq!(connection.rest().await, b"");
    }

    assert_eq!(gw.upstream_calls("/public/smuggled").await, 0);
}

#[tokio::test]
async fn nominating_the_length_smuggles_nothing() {
    let backend = harness::Upstream::start().await;
    let tap = Wiretap::before(backend.address()).await;
    let gw = tapped(&tap).await;

    for nominated in ["content-length", "Transfer-Encoding", "content-length, transfer-encoding"] {
        let head = format!("POST /echo HTTP/1.1\r\nHost: gateway\r\nConnection: {nominated}\r\n");
        let length = format!("{head}Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len());
        let chunks = format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
            SMUGGLED.len()
        );
        for request in [length, chunks] {
            for answer in answers(&gw, &request).await {
                let is_whole = answer.status == 200 && Echo::read(&answer.body).0["body"] == SMUGGLED;
                assert!(is_whole || answer.status == 400, "{nominated}: {}", answer.head);
            }
        }
    }

    assert_eq!(backend.calls("/public/smuggled").await, 0);
}
