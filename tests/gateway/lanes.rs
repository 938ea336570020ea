//! Plain requests take the fast lane, others Pingora's way, and nobody can tell which from the
//! answer or at the backend. (`full_lane.rs` runs every attack class and the promises of
//! forwarding with it closed.)

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::harness::{self, Gateway, RawAnswer, Setup, Upstream, Wiretap, eventually};

const ROUTES: &str = r#"
    upstreams: { example: { servers: ["${BACKEND}"], timeouts: { read: 2s } } }
    routes:
      - { path: "/{*rest}", upstream: example, access: public }
"#;

/// The same gateway twice, before the same backend.
async fn both_lanes(backend: SocketAddr) -> [Gateway; 2] {
    [gateway(backend, true).await, gateway(backend, false).await]
}

async fn gateway(backend: SocketAddr, fast_lane: bool) -> Gateway {
    let setup = Setup::from(ROUTES).with(&format!("forwarding: {{ fast_lane: {fast_lane} }}"));
    harness::gateway(setup.env("BACKEND", backend.to_string())).await
}

async fn by_fast_lane(gw: &Gateway) -> f64 {
    gw.metrics().await.value("fast_lane_requests_total", &[]).expect("it is always there")
}

/// What differs from request to request, whatever the lane, is left out.
fn lines(head: &str) -> Vec<String> {
    let own = ["date:", "x-request-id:", "traceparent:"];
    let is_own = |line: &str| own.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    let mut lines: Vec<_> = head.lines().filter(|line| !is_own(line)).map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

fn comparable(answer: Option<RawAnswer>) -> Option<(Vec<String>, String)> {
    answer.map(|answer| (lines(&answer.head), String::from_utf8_lossy(&answer.body).into_owned()))
}

// --- requests ---

#[tokio::test]
async fn the_backend_gets_the_same_request_by_both_lanes() {
    let upstream = Upstream::start().await;
    let requests = [
        "GET /echo?b=2&a=%C3%A4 HTTP/1.1\r\nHost: Gateway:80\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: gateway\r\nConnection: keep-alive\r\nAccept: a\r\nAccept: b\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nX-Custom_Name: \u{e4}\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n",
        "DELETE /echo HTTP/1.1\r\nHost: gateway\r\n\r\n",
        "OPTIONS /echo HTTP/1.1\r\nHost: gateway\r\nOrigin: http://a\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: gateway\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-User: root\r\n\
         x_forwarded_user: root\r\nForwarded: for=1\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: gateway\r\nCookie: a=1; __Host-portcullis_refresh=x\r\nCookie: b=2\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer x\r\ntraceparent: 00-1-2-00\r\n\r\n",
    ];

    for request in requests {
        let mut heard = Vec::new();
        for fast_lane in [true, false] {
            let tap = Wiretap::before(upstream.address()).await;
            let gw = gateway(tap.address(), fast_lane).await;
            let request: Vec<u8> = request.chars().map(|letter| letter as u8).collect();
            let (answer, rest) = gw.raw(&request).await;
            assert_eq!(answer.expect("an answer").status, 200);
            assert!(rest.is_empty());
            assert_eq!(by_fast_lane(&gw).await, f64::from(u8::from(fast_lane)));
            let [request] = <[String; 1]>::try_from(tap.heard()).expect("one connection");
            let (head, body) = request.split_once("\r\n\r\n").expect("a whole head");
            heard.push((lines(head), body.to_owned()));
        }
        assert_eq!(heard[0], heard[1], "{request}");
    }
}

#[tokio::test]
async fn what_is_not_plain_goes_pingoras_way() {
    let upstream = Upstream::start().await;
    let gw = gateway(upstream.address(), true).await;
    let long = format!("Content-Length: 70000\r\n\r\n{}", "x".repeat(70_000));

    for rest in [
        "Connection: x-a\r\nX-A: 1\r\n\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "TE: trailers\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Keep-Alive: timeout=5\r\n\r\n",
        "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        &long,
    ] {
        let (answer, _) = gw.raw(format!("POST /echo HTTP/1.1\r\nHost: gateway\r\n{rest}").as_bytes()).await;
        assert_eq!(answer.expect("an answer").status, 200, "{}", &rest[..rest.len().min(60)]);
    }

    assert_eq!(by_fast_lane(&gw).await, 0.0);
}

// --- answers ---

/// A backend that says the same bytes to every request, and then closes or waits for the next.
async fn scripted(answer: &'static [u8], closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while read_head(&mut stream).await {
                    if stream.write_all(answer).await.is_err() || closes {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test]
async fn answers_of_every_form_come_out_alike() {
    let answers: [(&[u8], bool); 16] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", true),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", true),
        (b"HTTP/1.1 204 No Content\r\n\r\n", false),
        (b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 7\r\n\r\n", false),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
        (
            b"HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nUpgrade: h2c\r\n\
              Portcullis-Reason: forged\r\nTrailer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
              Content-Length: 2\r\n\r\nok",
            true,
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut", true),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nno size\r\n", true),
        (b"no HTTP at all\r\n\r\n", true),
        (b"", true),
    ];

    for (answer, closes) in answers {
        let gateways = both_lanes(scripted(answer, closes).await).await;
        for method in ["GET", "POST"] {
            let mut received = Vec::new();
            for gw in &gateways {
                let mut connection = gw.raw_connection().await;
                let head = format!("{method} /x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n");
                connection.send(head.as_bytes()).await;
                let mut answer = connection.answer().await;
                if answer.as_ref().is_some_and(|answer| answer.status == 103) {
                    answer = connection.answer().await;
                }
                let says_close =
                    |answer: &RawAnswer| answer.fields("connection").any(|option| option == "close");
                if answer.as_ref().is_none_or(says_close) {
                    assert!(connection.is_closed_within(harness::PATIENCE).await);
                }
                received.push(mask_request_ids(comparable(answer)));
            }
            let answer = String::from_utf8_lossy(answer);
            assert_eq!(received[0], received[1], "{method}, {answer:?}");
        }
    }
}

/// Problem documents name their request.
fn mask_request_ids(received: Option<(Vec<String>, String)>) -> String {
    let text = format!("{received:#?}");
    let mut parts = text.split("\\\"request_id\\\":\\\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + &part[32..])
}

// --- connections ---

/// How many requests came, and how many of them were a connection's second.
#[derive(Default)]
struct Heard {
    requests: AtomicUsize,
    hung_up: AtomicUsize,
}

/// A backend that answers the first request of a connection, reads the second and hangs up.
async fn forgetful() -> (SocketAddr, Arc<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let heard = Arc::new(Heard::default());
    let counted = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                for answer in [&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], b""] {
                    if !read_head(&mut stream).await {
                        return;
                    }
                    counted.requests.fetch_add(1, Ordering::SeqCst);
                    if answer.is_empty() {
                        counted.hung_up.fetch_add(1, Ordering::SeqCst);
                    }
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    (address, heard)
}

/// The status of such a second request, and how many requests the backend got. `None` when it wasn't sent
/// over the first one's connection.
async fn second_request(method: &str, fast_lane: bool) -> Option<(u16, usize)> {
    let (backend, heard) = forgetful().await;
    let gw = gateway(backend, fast_lane).await;
    // One client connection, so that both requests come to the same thread.
    let mut connection = gw.raw_connection().await;
    let request = |method| format!("{method} /x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n");

    connection.send(request("GET").as_bytes()).await;
    assert_eq!(connection.answer().await.expect("an answer").status, 200);
    connection.send(request(method).as_bytes()).await;
    let answer = connection.answer().await.expect("an answer");

    let is_reused = heard.hung_up.load(Ordering::SeqCst) > 0;
    is_reused.then(|| (answer.status, heard.requests.load(Ordering::SeqCst)))
}

#[tokio::test]
async fn a_request_on_a_connection_that_turns_out_closed_is_sent_again_if_it_may_be() {
    for fast_lane in [true, false] {
        for (method, status, sent) in [("GET", 200, 3), ("DELETE", 200, 3), ("POST", 502, 2)] {
            // Pingora takes a connection back only after the client has the answer.
            let second = eventually("the connection to be used again", async || {
                second_request(method, fast_lane).await
            });
            assert_eq!(second.await, (status, sent), "{method}, fast_lane: {fast_lane}");
        }
    }
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let upstream = Upstream::start().await;
    let tap = Wiretap::before(upstream.address()).await;
    let gw = gateway(tap.address(), true).await;
    let mut connection = gw.raw_connection().await;

    for _ in 0..20 {
        connection.send(b"GET /public/hello HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        assert_eq!(connection.answer().await.expect("an answer").status, 200);
    }

    assert_eq!(tap.heard().len(), 1);
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_closed() {
    let upstream = Upstream::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let backend = listener.local_addr().expect("it is bound");
    let setup = Setup::from(ROUTES)
        .with(r#"upstreams: { example: { servers: ["${BACKEND}"], timeouts: { idle: 1s } } }"#)
        .upstream(&Arc::new(upstream));
    let gw = harness::gateway(setup.env("BACKEND", backend.to_string())).await;
    let answered = gw.raw(b"GET /x HTTP/1.1\r\nHost: gateway\r\n\r\n");
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("the gateway comes");
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("it listens");
        stream.read_u8().await
    };

    let (_, end) = tokio::join!(answered, tokio::time::timeout(harness::PATIENCE, serve));

    assert!(end.expect("it was closed in time").is_err());
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_backend() {
    for fast_lane in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let gw = gateway(listener.local_addr().expect("it is bound"), fast_lane).await;
        let arrived = Notify::new();
        let client = async {
            let mut connection = gw.raw_connection().await;
            connection.send(b"GET /x HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
            arrived.notified().await;
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("the gateway comes");
            assert!(read_head(&mut stream).await);
            arrived.notify_one();
            stream.read_u8().await
        };

        let (end, ()) = tokio::join!(tokio::time::timeout(harness::PATIENCE, serve), client);

        assert!(end.expect("the gateway hung up in time").is_err(), "fast_lane: {fast_lane}");
        let line =
            eventually("its log line", async || gw.json_log().into_iter().find(|line| line["path"] == "/x"));
        assert_eq!(line.await["status"], 499, "fast_lane: {fast_lane}");
    }
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_times_out() {
    for (answer, expected) in [("", Some(504)), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", None)] {
        let gateways = both_lanes(scripted(answer.as_bytes(), false).await).await;
        for gw in &gateways {
            let (answer, _) = gw.raw(b"GET /x HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
            assert_eq!(answer.map(|answer| answer.status), expected);
        }
    }
}
