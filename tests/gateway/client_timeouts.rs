//! How long a client may take, by `listen.timeouts`: attack class 101.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval, timeout};

use crate::harness::{self, ByHand, Gateway, PATIENCE, Reason, Setup, eventually};

fn listen(timeouts: &str) -> String {
    format!(
        r#"listen: {{ proxy: [ {{ address: "${{PROXY}}" }} ], admin: "${{ADMIN}}", timeouts: {{ {timeouts} }} }}"#
    )
}

fn setup(timeouts: &str) -> Setup {
    Setup::from(
        r#"
        upstreams:
          example: { servers: ["${UPSTREAM}"], timeouts: { read: 400ms } }
        routes:
          - { path: "/{*rest}", upstream: example, access: public }
        "#,
    )
    .with(&listen(timeouts))
}

async fn late(gw: &Gateway, timeout: &str) -> f64 {
    let label = format!("timeout=\"{timeout}\"");
    gw.metrics().await.value("client_timeouts_total", &[&label]).expect("it is there from the start")
}

#[tokio::test]
async fn class_101_a_head_has_one_time_limit_in_all() {
    let gw = harness::gateway(setup("header: 600ms")).await;
    assert_eq!(late(&gw, "header").await, 0.0);

    for (reuses, count) in [(false, 1.0), (true, 2.0)] {
        let mut client = gw.raw_connection().await;
        if reuses {
            assert!(client.send(b"GET /echo HTTP/1.1\r\nHost: gateway\r\n\r\n").await);
            assert_eq!(client.answer().await.expect("an answer").status, 200);
        }
        let begun = Instant::now();
        assert!(client.send(b"GET /echo HTTP/1.1\r\nX: ").await);
        let mut pace = interval(Duration::from_millis(50));
        while late(&gw, "header").await < count {
            pace.tick().await;
            client.send(b"y").await;
            assert!(begun.elapsed() < PATIENCE, "a byte now and then holds the connection");
        }
        let answer = client.answer().await.expect("an answer");

        assert_eq!((answer.status, answer.reason()), (408, Some("request_timeout")));
        assert_eq!(answer.fields("connection").collect::<Vec<_>>(), ["close"]);
        assert!(client.is_closed_within(PATIENCE).await);
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
    assert_eq!(late(&gw, "header").await, 2.0);
    gw.logged(|line| line["status"] == 408 && line["reason"] == "request_timeout").await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_closed_without_a_word() {
    let gw = harness::gateway(setup("header: 300ms")).await;
    let mut client = gw.raw_connection().await;

    assert!(client.is_closed_within(PATIENCE).await);

    assert!(client.rest().await.is_empty());
    assert_eq!(late(&gw, "header").await, 0.0);
}

#[tokio::test]
async fn class_101_a_body_that_does_not_come_is_a_408() {
    let gw = harness::gateway(setup("body: 300ms")).await;
    let bodies = ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"];

    for (count, target) in (1..).zip(["/echo", "/auth/login", "/auth/register"]) {
        for body in bodies {
            let mut client = gw.raw_connection().await;
            let fields = "Host: gateway\r\nContent-Type: application/json";
            assert!(client.send(format!("POST {target} HTTP/1.1\r\n{fields}\r\n{body}").as_bytes()).await);

            let answer = client.answer().await.expect("an answer");

            assert_eq!((answer.status, answer.reason()), (408, Some("request_timeout")), "{target} {body:?}");
            assert!(client.is_closed_within(PATIENCE).await);
        }
        let expected = f64::from(2 * count);
        let counted = async || (late(&gw, "body").await == expected).then_some(());
        eventually("both to be counted", counted).await;
    }
}

/// The upstream's `read` is 400 ms.
#[tokio::test]
async fn a_pause_in_an_upload_is_not_the_upstream_that_is_slow() {
    let gw = harness::gateway(setup("body: 20s")).await;
    for framing in ["Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "Content-Length: 100000\r\n\r\n"] {
        let mut client = gw.raw_connection().await;
        let head = format!("POST /echo HTTP/1.1\r\nHost: gateway\r\n{framing}");
        assert!(client.send(head.as_bytes()).await);
        // The pause itself is what is tested.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let rest = if framing.starts_with("Transfer") { b"0\r\n\r\n".to_vec() } else { vec![b'x'; 100_000] };
        assert!(client.send(&rest).await);

        assert_eq!(client.answer().await.expect("an answer").status, 200, "{framing}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_an_upload_is_a_504() {
    let mut silent = ByHand::start().await;
    let setup = Setup::from(
        r#"
        upstreams: { example: { servers: ["${SILENT}"], timeouts: { read: 400ms } } }
        routes: [ { path: "/{*rest}", upstream: example, access: public } ]
        "#,
    );
    let gw = harness::gateway(setup.env("SILENT", silent.address().to_string())).await;
    for begins in [false, true] {
        let mut client = gw.raw_connection().await;
        let request =
            "POST /a HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert!(client.send(request.as_bytes()).await);
        let mut upstream = silent.request().await;
        if begins {
            let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
            upstream.write_all(begun).await.expect("the gateway reads");
            assert!(client.is_closed_within(PATIENCE).await, "an answer that stops is cut");
            continue;
        }
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.reason()), (504, Some("upstream_timeout")));
    }
}

#[tokio::test]
async fn class_101_a_client_that_does_not_read_holds_no_upstream() {
    let mut endless = ByHand::start().await;
    let setup = Setup::from(
        r#"
        upstreams: { example: { servers: ["${ENDLESS}"] } }
        routes: [ { path: "/{*rest}", upstream: example, access: public } ]
        "#,
    );
    let setup = setup.with(&listen("send: 500ms")).env("ENDLESS", endless.address().to_string());
    let gw = harness::gateway(setup).await;
    let mut client = gw.raw_connection().await;
    assert!(client.send(b"GET /a HTTP/1.1\r\nHost: gateway\r\n\r\n").await);
    let mut upstream = endless.request().await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    upstream.write_all(head).await.expect("the gateway reads");

    let piece = vec![b'x'; 1024 * 1024];
    let filling = async { while upstream.write_all(&piece).await.is_ok() {} };
    timeout(PATIENCE, filling).await.expect("the gateway closes its connection to the upstream");

    assert_eq!(upstream.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(late(&gw, "send").await, 1.0);
}

/// A client that reads slowly, but reads, gets all.
#[tokio::test]
async fn a_slow_reader_gets_the_whole_answer() {
    let mut large = ByHand::start().await;
    let setup = Setup::from(
        r#"
        upstreams: { example: { servers: ["${LARGE}"] } }
        routes: [ { path: "/{*rest}", upstream: example, access: public } ]
        "#,
    );
    let gw =
        harness::gateway(setup.with(&listen("send: 5s")).env("LARGE", large.address().to_string())).await;
    let mut client = gw.raw_connection().await;
    assert!(client.send(b"GET /a HTTP/1.1\r\nHost: gateway\r\n\r\n").await);
    let mut upstream = large.request().await;
    const LENGTH: usize = 24 * 1024 * 1024;
    let sending = tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        upstream.write_all(head.as_bytes()).await.expect("the gateway reads");
        upstream.write_all(&vec![b'x'; LENGTH]).await.expect("the gateway reads on");
    });

    let mut pace = interval(Duration::from_millis(100));
    let mut read = 0;
    while read < LENGTH {
        pace.tick().await;
        let piece = (LENGTH - read).min(1024 * 1024);
        read += client.bytes(piece).await.expect("more of the answer").len();
    }
    sending.await.expect("it was sent");
    assert_eq!(late(&gw, "send").await, 0.0);
}
