//! A hit is written by the front door where it can be, and else by Pingora's session: nobody can tell which.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{self, Gateway, Setup, Stores};

const CACHED: &str = r#"
    upstreams: { example: { servers: ["${BACKEND}"] } }
    limits: { many: { rate: 1000/1h, by: address }, few: { rate: 100/24h, by: address } }
    routes:
      - { path: "/counted/{*rest}", upstream: example, access: public, limits: [few], cache: { ttl: 1h, vary_by: shared } }
      - { path: "/closed/{*rest}", upstream: example, access: authenticated, cache: { ttl: 1h, vary_by: user } }
      - { path: "/counted-passed/{*rest}", upstream: example, access: public, limits: [few] }
      - { path: "/limited/{*rest}", upstream: example, access: public, limits: [many], cache: { ttl: 1h, vary_by: shared, statuses: [200, 204, 404] } }
      - { path: "/{*rest}", upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, statuses: [200, 204, 404] } }
"#;

/// Says the same to everybody.
async fn saying(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        stream.write_all(&answer).await.expect("the gateway reads");
                    }
                }
            });
        }
    });
    address
}

async fn gateway(backend: SocketAddr, fast_lane: bool, stores: &Stores) -> Gateway {
    let setup = Setup::from(CACHED).with(&format!("forwarding: {{ fast_lane: {fast_lane} }}"));
    harness::gateway(setup.env("BACKEND", backend.to_string()).stores(stores)).await
}

/// All that comes for a request, its head's fields sorted, without what differs from one moment to the next.
async fn received(gw: &Gateway, request: &str) -> Vec<String> {
    received_after(gw, &[], request).await
}

/// The same on a connection on which others were answered before: after a hit, another is expected.
async fn received_after(gw: &Gateway, before: &[&str], request: &str) -> Vec<String> {
    let mut connection = gw.raw_connection().await;
    for request in before {
        connection.send(request.as_bytes()).await;
        connection.answer().await.expect("an answer");
    }
    connection.send(request.as_bytes()).await;
    let all = String::from_utf8(connection.rest().await).expect("UTF-8");
    let (head, body) = all.split_once("\r\n\r\n").expect("a whole head");
    let mut lines: Vec<String> = head.lines().map(masked).collect();
    lines[1..].sort();
    // Whatever follows the body is an answer, too.
    lines.extend(body.lines().map(masked));
    lines
}

fn masked(line: &str) -> String {
    let changes = ["Date: ", "Age: ", "x-request-id: ", "ratelimit: ", "cache-status: ", "{\"code\":"];
    match changes.iter().find(|name| line.starts_with(*name)) {
        Some(_) => line.chars().filter(|letter| !letter.is_ascii_hexdigit()).collect(),
        None => line.to_owned(),
    }
}

const GET: &str = "GET /PATH HTTP/1.1\r\nHost: gateway\r\n\r\n";
const OTHERS: [&str; 10] = [
    "GET /PATH HTTP/1.1\r\nHost: gateway\r\nConnection: Keep-Alive\r\nAccept: */*\r\n\r\n",
    "GET /PATH HTTP/1.1\nHost: gateway\nConnection: keep-alive\r\n\r\n",
    "HEAD /PATH HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "GET /PATH HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n",
    "GET /PATH HTTP/1.0\r\nHost: gateway\r\nConnection: keep-alive\r\n\r\n",
    // What isn't answered by what is stored, or not as it is.
    "GET /PATH HTTP/1.1\r\nHost: gateway\r\nRange: bytes=0-1\r\n\r\n",
    "POST /another HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n",
    "GET /PATH%2f HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "GET /PATH HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "GET /auth/me HTTP/1.1\r\nHost: gateway\r\n\r\n",
];

#[tokio::test]
async fn a_hit_looks_the_same_whoever_writes_it() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n{}", "long ".repeat(8_000));
    let answers = [
        "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nX-Own: a\r\nx-own: b\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nCache-Status: theirs; hit\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nRateLimit: \"theirs\";r=1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\nX-Own: a\r\n\r\n",
        &long,
    ];

    for answer in answers {
        let redis = Stores::servers().await;
        let backend = saying(answer.into()).await;
        let gateways = [
            gateway(backend, true, &Stores::Embedded).await,
            gateway(backend, false, &Stores::Embedded).await,
            // The same Redis, so that the second finds there what the first one keeps.
            gateway(backend, true, &redis).await,
            gateway(backend, true, &redis).await,
        ];
        for path in ["page", "limited/page"] {
            let get = GET.replace("PATH", path);
            for gw in &gateways[..3] {
                received(gw, &get).await;
            }
            let [first, second, third, fourth] = [0, 1, 2, 3].map(|at| received(&gateways[at], &get));
            let (first, second, third, fourth) = tokio::join!(first, second, third, fourth);
            assert!(first.iter().any(|line| line.contains("hit; ttl=")), "{first:?}");
            assert_eq!(first, second, "{answer:.60}");
            assert_eq!(first, third, "{answer:.60}");
            assert_eq!(received_after(&gateways[0], &[&get], &get).await, first, "{answer:.60}");
            // It comes from another tier.
            assert_eq!(third.len(), fourth.len(), "{third:?} {fourth:?}");
            for request in OTHERS.map(|request| request.replace("PATH", path)) {
                let before = [get.as_str()];
                let (first, second, expected) = tokio::join!(
                    received(&gateways[0], &request),
                    received(&gateways[1], &request),
                    received_after(&gateways[0], &before, &request),
                );
                assert_eq!(first, second, "{request:?} {answer:.60}");
                assert_eq!(first, expected, "{request:?} {answer:.60}");
            }
        }
    }
}

#[tokio::test]
async fn hits_and_others_follow_each_other_on_a_connection_and_are_on_record() {
    let backend = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".into()).await;
    let gw = gateway(backend, true, &Stores::Embedded).await;
    let mut connection = gw.raw_connection().await;

    for path in ["a", "a", "b", "a", "b", "b"] {
        assert!(connection.send(GET.replace("PATH", path).as_bytes()).await);
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    }

    let lines = harness::eventually("its log lines", async || {
        let lines = gw.json_log().into_iter().filter(|line| line["origin"] == "cache").collect::<Vec<_>>();
        (lines.len() == 4).then_some(lines)
    });
    for line in lines.await {
        assert_eq!(
            (&line["status"], &line["bytes"], &line["decision"]),
            (&200.into(), &5.into(), &"allow".into())
        );
    }
    let hits = gw.metrics().await.value("cache_requests_total", &["outcome=\"hit\""]);
    assert_eq!(hits, Some(4.0));
}

#[tokio::test]
async fn a_request_is_charged_once_whether_or_not_a_hit_was_expected() {
    let backend = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".into()).await;
    let gw = gateway(backend, true, &Stores::Embedded).await;
    let mut connection = gw.raw_connection().await;
    let mut left = Vec::new();

    // Missed, hit by a session, hit without one; then what is missed, passed on and refused where a hit is expected.
    for path in
        ["counted/a", "counted/a", "counted/a", "counted/b", "counted-passed/a", "nowhere%2f", "counted/a"]
    {
        assert!(connection.send(GET.replace("PATH", path).as_bytes()).await);
        let answer = connection.answer().await.expect("an answer");
        let line = answer.head.lines().find(|line| line.starts_with("ratelimit: "));
        left.push(line.and_then(|line| line.split(";r=").nth(1)?.split(';').next()?.parse::<u32>().ok()));
    }

    assert_eq!(left, [Some(99), Some(98), Some(97), Some(96), Some(95), None, Some(94)]);
}

#[tokio::test]
async fn the_same_request_again_passes_the_same_checks() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let backend = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".into()).await;
        let gw = gateway(backend, true, &stores).await;
        let alice = gw.register("alice").await;
        let request = format!(
            "GET /closed/a HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {}\r\n\r\n",
            alice.token()
        );
        let mut connection = gw.raw_connection().await;
        let mut ask = async || {
            assert!(connection.send(request.as_bytes()).await);
            connection.answer().await.expect("an answer")
        };

        for is_hit in [false, true, true, true] {
            let answer = ask().await;
            assert_eq!((answer.status, answer.head.contains("portcullis; hit")), (200, is_hit));
        }
        alice.logout().await;
        let answer = ask().await;
        assert_eq!(answer.status, 401);
        assert!(answer.head.contains("token_revoked"), "{}", answer.head);
    }
}
