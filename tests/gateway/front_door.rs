//! A client's connection: requests that are answered at the front door and those that are handed to
//! Pingora follow each other on it, however they come in.

use std::time::{Duration, Instant};

use crate::harness::{self, Gateway, Setup, Upstream, Wiretap, eventually};

const PLAIN: &[u8] = b"GET /echo HTTP/1.1\r\nHost: gateway\r\n\r\n";
const CHUNKED: &[u8] = b"POST /echo HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nhello\r\n0\r\n\r\n";

async fn gateway(upstream: &Upstream) -> (Gateway, Wiretap) {
    let tap = Wiretap::before(upstream.address()).await;
    let setup = Setup::from(
        r#"
        upstreams: { example: { servers: ["${BACKEND}"] } }
        routes:
          - { path: "/{*rest}", upstream: example, access: public }
        "#,
    );
    (harness::gateway(setup.env("BACKEND", tap.address().to_string())).await, tap)
}

async fn value(gw: &Gateway, metric: &str) -> f64 {
    gw.metrics().await.value(metric, &[]).expect("it is always there")
}

#[tokio::test]
async fn plain_and_other_requests_share_a_connection() {
    let upstream = Upstream::start().await;
    let (gw, tap) = gateway(&upstream).await;
    let mut client = gw.raw_connection().await;

    for request in [PLAIN, CHUNKED, PLAIN, CHUNKED, PLAIN] {
        assert!(client.send(request).await);
        assert_eq!(client.answer().await.expect("an answer").status, 200);
    }

    let heard = tap.heard().concat();
    assert_eq!(heard.matches("GET /echo").count(), 3);
    assert_eq!(heard.matches("hello").count(), 2, "a body that came with its head: {heard}");
    assert_eq!(value(&gw, "fast_lane_requests_total").await, 3.0);
}

#[tokio::test]
async fn a_head_may_come_in_pieces() {
    let upstream = Upstream::start().await;
    let (gw, _tap) = gateway(&upstream).await;
    let mut client = gw.raw_connection().await;

    for piece in PLAIN.chunks(7) {
        assert!(client.send(piece).await);
    }
    assert_eq!(client.answer().await.expect("an answer").status, 200);
    assert!(client.send(PLAIN).await);
    assert_eq!(client.answer().await.expect("an answer").status, 200);
}

/// RFC 9112 §2.2 lets a reader take a line feed for the end of a line, which Pingora does.
#[tokio::test]
async fn a_head_may_end_with_bare_line_feeds() {
    let upstream = Upstream::start().await;
    let (gw, _tap) = gateway(&upstream).await;

    let (answer, rest) = gw.raw(b"GET /echo HTTP/1.1\nHost: gateway\n\n").await;

    assert_eq!(answer.expect("an answer").status, 200);
    assert!(rest.is_empty());
}

#[tokio::test]
async fn what_is_no_request_gets_a_problem_document_and_the_end_of_the_connection() {
    let upstream = Upstream::start().await;
    let (gw, _tap) = gateway(&upstream).await;
    let unreadable =
        ["GET /echo HTTP/1.1\r\nHost gateway\r\n\r\n", "GET /echo HTTP/3.7\r\nHost: gateway\r\n\r\n"];

    for request in unreadable {
        let mut client = gw.raw_connection().await;
        let (first, second) = request.as_bytes().split_at(9);
        for piece in [first, second] {
            assert!(client.send(piece).await);
        }
        let answer = client.answer().await.expect("an answer");
        assert_eq!(answer.status, 400, "{request:?}");
        assert_eq!(answer.fields("portcullis-reason").collect::<Vec<_>>(), ["bad_request"]);
        assert_eq!(answer.fields("content-type").collect::<Vec<_>>(), ["application/problem+json"]);
        assert!(String::from_utf8_lossy(&answer.body).contains("\"request_id\""));
        assert!(client.rest().await.is_empty());
    }
    let labels = ["method=\"other\"", "status=\"400\""];
    let counted = async || gw.metrics().await.value("http_requests_total", &labels).filter(|n| *n == 2.0);
    eventually("both to be counted", counted).await;
    let logged = eventually("both to be logged", async || {
        let lines: Vec<_> = gw.json_log().into_iter().filter(|line| line["status"] == 400).collect();
        (lines.len() == 2).then_some(lines)
    });
    for line in logged.await {
        assert_eq!(line["reason"], "bad_request");
        assert_eq!((&line["method"], &line["path"]), (&"-".into(), &"-".into()));
        assert_eq!(line["address"], "127.0.0.1");
    }
}

/// Over HTTP/1 in either lane, and over HTTP/2 Pingora's own clock does it.
#[tokio::test]
async fn a_connection_without_a_request_is_closed_after_the_idle_timeout() {
    let upstream = Upstream::start().await;
    for fast_lane in [true, false] {
        let yaml = format!(
            r#"
        listen: {{ proxy: [ {{ address: "${{PROXY}}" }} ], admin: "${{ADMIN}}", idle_timeout: 400ms }}
        upstreams: {{ example: {{ servers: ["${{BACKEND}}"] }} }}
        forwarding: {{ fast_lane: {fast_lane} }}
        routes:
          - {{ path: "/{{*rest}}", upstream: example, access: public }}
        "#
        );
        let setup = Setup::from(yaml.as_str());
        let gw = harness::gateway(setup.env("BACKEND", upstream.address().to_string())).await;
        let mut client = gw.raw_connection().await;
        let asked = Instant::now();
        assert!(client.send(PLAIN).await);
        assert_eq!(client.answer().await.expect("an answer").status, 200);

        assert!(client.is_closed_within(harness::PATIENCE).await);

        assert!(asked.elapsed() >= Duration::from_millis(400), "{:?}", asked.elapsed());
    }
}

/// The end of a head that Pingora sees earlier than a reader of CRLFs would: what follows is a body, and
/// the connection's end, and never a second request for the backend.
#[tokio::test]
async fn what_follows_a_head_is_never_taken_for_a_part_of_it() {
    let upstream = Upstream::start().await;
    let (gw, tap) = gateway(&upstream).await;

    let smuggled = b"GET /echo HTTP/1.1\nHost: gateway\n\nGET /smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let (answer, rest) = gw.raw(smuggled).await;

    assert_eq!(answer.expect("an answer").status, 200);
    assert!(rest.is_empty(), "{rest:?}");
    assert!(!tap.heard().concat().contains("smuggled"));
}

#[tokio::test]
async fn each_request_is_counted_once() {
    let upstream = Upstream::start().await;
    let (gw, _tap) = gateway(&upstream).await;
    let mut client = gw.raw_connection().await;

    for request in [PLAIN, CHUNKED] {
        assert!(client.send(request).await);
        assert_eq!(client.answer().await.expect("an answer").status, 200);
    }

    for method in ["GET", "POST"] {
        let method = format!("method=\"{method}\"");
        let counted = eventually("it to be counted", async || {
            gw.metrics().await.value("http_requests_total", &[&method]).filter(|requests| *requests > 0.0)
        });
        assert_eq!(counted.await, 1.0);
    }
    let none = async || (value(&gw, "http_requests_in_flight").await == 0.0).then_some(());
    eventually("nothing to be in flight", none).await;
}
