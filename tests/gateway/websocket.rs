//! WebSocket: through where a route says so and the caller may, closed everywhere else.

use crate::harness::{self, Client, Gateway, RawConnection, Reason, Setup, Upstream, Wiretap};

const ROUTES: &str = r#"
    routes:
      - { path: /ws, upstream: example, websocket: true }
      - { path: /echo, upstream: example, access: public, websocket: true }
      - { host: admins.test, path: /ws, upstream: example, websocket: true, access: { roles: [admin] } }
      - { host: closed.test, path: /ws, upstream: example }
"#;

fn handshake(host: &str, target: &str, client: Option<&Client>) -> String {
    let credentials = client.map(|client| format!("Authorization: Bearer {}\r\n", client.token()));
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        credentials.unwrap_or_default()
    )
}

async fn open(gw: &Gateway, host: &str, client: Option<&Client>) -> (RawConnection, harness::RawAnswer) {
    let mut connection = gw.raw_connection().await;
    connection.send(handshake(host, "/ws", client).as_bytes()).await;
    let answer = connection.answer().await.expect("an answer");
    (connection, answer)
}

/// A text frame as a client sends it (RFC 6455 §5.2), masked with zeros.
fn masked(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short texts only");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// The next text frame, of a server that sends short ones only.
async fn text(connection: &mut RawConnection) -> String {
    let head = connection.bytes(2).await.expect("a frame");
    assert_eq!(head[0], 0x81, "not a whole text frame");
    let text = connection.bytes(usize::from(head[1])).await.expect("a whole frame");
    String::from_utf8(text).expect("text frames are UTF-8")
}

#[tokio::test]
async fn a_user_talks_through_a_websocket_and_the_backend_knows_who() {
    let gw = harness::gateway(ROUTES).await;
    let alice = gw.register("alice").await;

    let (mut connection, answer) = open(&gw, "gateway", Some(&alice)).await;

    assert_eq!(answer.status, 101, "{}", answer.head);
    assert_eq!(answer.fields("sec-websocket-accept").collect::<Vec<_>>(), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert_eq!(text(&mut connection).await, "hello, alice");
    for message in ["one", "two", "three"] {
        connection.send(&masked(message)).await;
        assert_eq!(text(&mut connection).await, message);
    }
}

#[tokio::test]
async fn class_61_there_is_no_websocket_without_token_or_role() {
    let gw = harness::gateway(ROUTES).await;
    let alice = gw.register("alice").await;
    let admin = gw.admin("root").await;

    let (mut anonymous, refusal) = open(&gw, "gateway", None).await;
    assert_eq!((refusal.status, refusal.reason()), (401, Some("no_credentials")));
    anonymous.send(&masked("anybody there?")).await;
    assert!(!anonymous.rest().await.windows(5).any(|part| part == b"there"));

    let (_, refusal) = open(&gw, "admins.test", Some(&alice)).await;
    assert_eq!((refusal.status, refusal.reason()), (403, Some("role_missing")));
    let mut connection = gw.raw_connection().await;
    let target = format!("/ws?access_token={}", alice.token());
    connection.send(handshake("gateway", &target, None).as_bytes()).await;
    assert_eq!(connection.answer().await.expect("an answer").status, 401);

    assert_eq!(gw.upstream_calls("/ws").await, 0);
    assert_eq!(open(&gw, "admins.test", Some(&admin)).await.1.status, 101);
}

#[tokio::test]
async fn class_61_a_route_that_does_not_say_websocket_has_none() {
    let gw = harness::gateway(ROUTES).await;
    let alice = gw.register("alice").await;

    let (_, answer) = open(&gw, "closed.test", Some(&alice)).await;

    assert!((400..500).contains(&answer.status), "{}", answer.head);
}

#[tokio::test]
async fn class_59_bytes_behind_an_upgrade_that_is_not_granted_never_reach_the_backend() {
    let backend = Upstream::start().await;
    let tap = Wiretap::before(backend.address()).await;
    let setup = Setup::from(ROUTES).with("upstreams: { example: { servers: [\"${TAP}\"] } }");
    let gw = harness::gateway(setup.env("TAP", tap.address().to_string())).await;
    let alice = gw.register("alice").await;
    let early = "GET /smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let refused_by_backend = handshake("gateway", "/ws", Some(&alice)).replace("Version: 13", "Version: 7");
    let upgrades = [
        handshake("gateway", "/echo", None),
        handshake("closed.test", "/ws", Some(&alice)),
        refused_by_backend,
        handshake("gateway", "/ws", None),
    ];

    for upgrade in upgrades {
        let mut connection = gw.raw_connection().await;
        connection.send((upgrade + early).as_bytes()).await;
        let answer = connection.answer().await.expect("an answer");
        assert_ne!(answer.status, 101, "{}", answer.head);
        connection.rest().await;
    }

    assert_eq!(backend.calls("/smuggled").await, 0);
    assert!(tap.heard().iter().all(|sent| !sent.contains("/smuggled")), "{:?}", tap.heard());
}

/// `max_body` is for request bodies: what goes through a socket is none.
#[tokio::test]
async fn a_websocket_may_carry_more_than_max_body() {
    let routes = r#"
        routes:
          - { path: /ws, upstream: example, websocket: true, access: public, max_body: 1KiB }
    "#;
    let gw = harness::gateway(routes).await;
    let (mut connection, answer) = open(&gw, "gateway", None).await;
    assert_eq!(answer.status, 101, "{}", answer.head);
    text(&mut connection).await;

    let message = "x".repeat(100);
    for _ in 0..100 {
        connection.send(&masked(&message)).await;
        assert_eq!(text(&mut connection).await, message);
    }
}
