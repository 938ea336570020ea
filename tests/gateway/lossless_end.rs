//! The gateway's end loses nothing that was sent to it, and what it has to cut is on record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::net::TcpStream;

use crate::harness::{self, Gateway, Http2, PATIENCE, RawAnswer, RawConnection, Setup, eventually};

const REQUEST: &[u8] = b"GET /public/hello HTTP/1.1\r\nHost: gateway\r\n\r\n";

async fn gateway(drain: &str, shutdown_timeout: &str) -> Gateway {
    let yaml = format!(
        "
        listen:
          proxy: [{{ address: \"${{PROXY}}\" }}, {{ address: \"${{PROXY_TLS}}\", tls: {{ cert: cert.pem, key: key.pem }} }}]
          admin: \"${{ADMIN}}\"
          drain: {drain}
          shutdown_timeout: {shutdown_timeout}
        routes:
          - {{ path: /slow, upstream: example, access: public }}
          - {{ path: /events, upstream: example, access: public }}
          - {{ path: /ws, upstream: example, access: public, websocket: true }}
          - {{ path: \"/public/{{*rest}}\", upstream: example, access: public }}
        "
    );
    harness::gateway(Setup::default().tls().with(&yaml)).await
}

fn closes(answer: &RawAnswer) -> bool {
    answer.fields("connection").any(|option| option.eq_ignore_ascii_case("close"))
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    lost: AtomicU64,
    is_over: AtomicBool,
}

/// One request after the other on a connection for as long as the gateway keeps it. A request counts as sent once a
/// connection was there to send it on.
async fn keep_asking(address: std::net::SocketAddr, seen: Arc<Seen>) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let Ok(stream) = TcpStream::connect(address).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut connection = RawConnection::on(stream);
        loop {
            let is_sent = connection.send(REQUEST).await;
            match connection.answer().await {
                Some(answer) if is_sent && answer.status == 200 => {
                    seen.answered.fetch_add(1, Ordering::Relaxed);
                    if closes(&answer) || seen.is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
                _ => {
                    seen.lost.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_that_was_sent_is_lost_by_restarts() {
    let gw = gateway("0s", "20s").await;
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(keep_asking(gw.address(), seen.clone()))).collect();

    for _ in 0..5 {
        let before = seen.answered.load(Ordering::Relaxed);
        eventually("requests under way", async || {
            (seen.answered.load(Ordering::Relaxed) > before + 50).then_some(())
        })
        .await;
        gw.signal("TERM");
        assert_eq!(gw.end().await.code(), Some(0));
        assert_eq!(seen.lost.load(Ordering::Relaxed), 0, "of {}", seen.answered.load(Ordering::Relaxed));
        gw.restart().await;
    }
    seen.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no panic");
    }
}

#[tokio::test]
async fn the_end_is_announced_from_the_first_moment_of_the_drain() {
    let gw = gateway("20s", "20s").await;
    let mut connection = gw.raw_connection().await;
    connection.send(REQUEST).await;
    assert!(!closes(&connection.answer().await.expect("an answer")));
    let http2 = Http2::open(&gw).await;
    let ask = || {
        let request =
            http::Request::builder().uri("https://localhost/public/hello").version(http::Version::HTTP_2);
        request.body(()).expect("a legal request")
    };
    assert_eq!(http2.get(ask()).await.expect("an answer").status(), 200);

    gw.signal("TERM");
    eventually("/readyz to say 503", async || (gw.readiness().await == Some(503)).then_some(())).await;

    connection.send(REQUEST).await;
    let answer = connection.answer().await.expect("what arrives is answered");
    assert!(answer.status == 200 && closes(&answer), "{}", answer.head);
    assert!(connection.is_closed_within(PATIENCE).await);
    let mut another = gw.raw_connection().await;
    another.send(REQUEST).await;
    assert!(closes(&another.answer().await.expect("so is what comes on a new connection")));
    eventually("GOAWAY", async || http2.get(ask()).await.is_err().then_some(())).await;
}

#[tokio::test]
async fn sigint_after_sigterm_ends_at_once() {
    let gw = gateway("60s", "60s").await;
    gw.signal("TERM");
    eventually("/readyz to say 503", async || (gw.readiness().await == Some(503)).then_some(())).await;
    let asked = Instant::now();

    gw.signal("INT");

    gw.end().await;
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn sigusr1_and_sigusr2_end_nothing() {
    let gw = gateway("0s", "20s").await;

    for signal in ["USR1", "USR2", "USR1"] {
        gw.signal(signal);
        assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200, "{signal}");
    }
}

#[tokio::test]
async fn a_stream_and_a_socket_that_are_cut_get_their_lines() {
    for signal in ["TERM", "INT"] {
        let gw = gateway("0s", "1s").await;
        let mut events = gw.raw_connection().await;
        events.send(b"GET /events HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        assert!(events.bytes(12).await.expect("a head").starts_with(b"HTTP/1.1 200"));
        let mut socket = gw.raw_connection().await;
        let handshake = b"GET /ws HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.send(handshake).await;
        assert_eq!(socket.answer().await.expect("a handshake").status, 101);
        let slow = tokio::spawn(gw.anonymous().request(Method::GET, "/slow?ms=60000").send());
        eventually("the slow request", async || (gw.upstream_calls("/slow").await > 0).then_some(())).await;

        gw.signal(signal);

        gw.end().await;
        assert!(slow.await.expect("no panic").is_err(), "it was cut off");
        for (path, status) in [("/events", 200), ("/ws", 101), ("/slow", 499)] {
            let line = gw.logged(|line| line["path"] == path).await;
            assert_eq!((&line["status"], &line["decision"]), (&status.into(), &"allow".into()), "{line}");
            assert_eq!(line["cause"], "shutdown", "SIG{signal}: {line}");
        }
    }
}
