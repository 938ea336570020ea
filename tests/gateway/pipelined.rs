//! What a client sends while its request is answered belongs to its next request (RFC 9112 §9.3.2), and an empty
//! line to none (§2.2): neither touches the request that is running.

use tokio::io::AsyncWriteExt;

use crate::harness::{self, ByHand, Gateway, Setup};

const ROUTES: &str = r#"
    upstreams:
      example: { servers: ["${UPSTREAM}"] }
      slow: { servers: ["${SLOW}"] }
    routes:
      - { path: "/slow/{*rest}", upstream: slow, access: public }
      - { path: /protected, upstream: example }
      - path: /public/hello
        methods: [GET]
        upstream: example
        access: public
        cache: { ttl: 60s, vary_by: shared }
      - { path: "/{*rest}", upstream: example, access: public }
"#;

const NEXT: &[u8] = b"GET /public/hello?next HTTP/1.1\r\nHost: gateway\r\n\r\n";

async fn gateway() -> (Gateway, ByHand) {
    let slow = ByHand::start().await;
    let setup = Setup::from(ROUTES).env("SLOW", slow.address().to_string());
    (harness::gateway(setup).await, slow)
}

#[tokio::test]
async fn an_empty_line_behind_a_body_does_not_end_the_request() {
    let (gw, _slow) = gateway().await;
    let mut client = gw.raw_connection().await;

    for _ in 0..3 {
        let request = b"POST /echo HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello\r\n";
        assert!(client.send(request).await);
        let answer = client.answer().await.expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.fields("connection").collect::<Vec<_>>(), ["keep-alive"]);
    }
    assert!(client.send(b"\r\n\r\n").await);
    assert!(client.send(NEXT).await);
    assert_eq!(client.answer().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn what_comes_while_a_request_runs_waits_for_its_turn() {
    let (gw, mut slow) = gateway().await;

    for (head, ahead) in [
        ("GET /slow/a HTTP/1.1\r\nHost: gateway\r\n\r\n", b"\r\n".as_slice()),
        ("GET /slow/b HTTP/1.1\r\nHost: gateway\r\n\r\n", b"".as_slice()),
        ("POST /slow/c HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n", b"\r\n\r\n".as_slice()),
    ] {
        let mut client = gw.raw_connection().await;
        assert!(client.send(head.as_bytes()).await);
        let mut upstream = slow.request().await;
        assert!(client.send(ahead).await);
        assert!(client.send(NEXT).await);
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
        upstream.write_all(answer).await.expect("the gateway reads");
        for piece in [b"01234", b"56789"] {
            upstream.write_all(piece).await.expect("the gateway reads");
        }

        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"0123456789".as_slice()), "{head}");
        let next = client.answer().await.expect("the answer to the next request");
        assert_eq!(next.status, 200, "{head}");
    }
}

/// Requests with and without bodies, allowed and refused, in one piece and cut anywhere.
#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (gw, _slow) = gateway().await;
    let requests = [
        ("GET /echo?1 HTTP/1.1\r\nHost: gateway\r\n\r\n", 200, "/echo?1"),
        ("POST /echo?2 HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello", 200, "/echo?2"),
        ("GET /protected HTTP/1.1\r\nHost: gateway\r\n\r\n", 401, "no_credentials"),
        (
            "POST /echo?3 HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            200,
            "/echo?3",
        ),
        ("GET /public/hello HTTP/1.1\r\nHost: gateway\r\n\r\n", 200, "Hello"),
        ("GET /public/hello HTTP/1.1\r\nHost: gateway\r\n\r\n", 200, "Hello"),
        ("\r\nGET /echo?4 HTTP/1.1\r\nHost: gateway\r\n\r\n", 200, "/echo?4"),
        ("GET /auth/me HTTP/1.1\r\nHost: gateway\r\n\r\n", 401, "no_credentials"),
        ("GET /echo?5 HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n", 200, "/echo?5"),
    ];
    let bytes: String = requests.iter().map(|(request, ..)| *request).collect();

    for piece in [1, 2, 7, 50, 64, 101, bytes.len()] {
        let mut client = gw.raw_connection().await;
        for piece in bytes.as_bytes().chunks(piece) {
            assert!(client.send(piece).await);
        }
        for (request, status, holds) in requests {
            let answer =
                client.answer().await.unwrap_or_else(|| panic!("no answer to {request:?} by {piece}"));
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, status, "{request:?} by {piece}: {body}");
            assert!(body.contains(holds), "{request:?} by {piece}: {body}");
        }
        assert!(client.is_closed_within(harness::PATIENCE).await);
    }
}

/// What is kept has a bound: a client that sends on and on waits.
#[tokio::test]
async fn no_more_is_kept_ahead_than_a_bound() {
    let (gw, mut slow) = gateway().await;
    let mut client = gw.raw_connection().await;
    assert!(client.send(b"GET /slow/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await);
    let _upstream = slow.request().await;

    let flood = NEXT.repeat(600_000);
    let sent = client.send_until_stuck(&flood, std::time::Duration::from_secs(2)).await;

    assert!(sent < flood.len(), "all of {sent} bytes were taken");
}
