//! Every 502 and 504 says why, where operators look.

use crate::harness::{self, ByHand, Gateway, Reason, Setup, eventually};

/// Routes and upstreams of the same name, each with one server.
fn setup(servers: &[(&str, String)]) -> Setup {
    let upstream = |(name, server): &(&str, String)| {
        format!("  {name}: {{ servers: [\"{server}\"], timeouts: {{ connect: 2s, read: 400ms }} }}\n")
    };
    let route = |(name, _): &(&str, String)| {
        format!("  - {{ path: \"/{name}\", upstream: {name}, access: public }}\n")
    };
    let upstreams: String = servers.iter().map(upstream).collect();
    let routes: String = servers.iter().map(route).collect();
    Setup::from(&*format!("upstreams:\n{upstreams}routes:\n{routes}"))
}

/// The last request to `name` was let through, and failed for this cause.
async fn assert_cause(gw: &Gateway, name: &str, reason: &str, cause: &str) {
    let path = format!("/{name}");
    let line = gw.logged(|line| line["path"] == path.as_str()).await;
    assert_eq!((&line["decision"], &line["reason"]), (&"allow".into(), &reason.into()), "{line}");
    assert_eq!(line["cause"], cause, "{line}");
    let labels = [format!("upstream=\"{name}\""), format!("cause=\"{cause}\"")];
    let labels = [labels[0].as_str(), labels[1].as_str()];
    let counted = async || gw.metrics().await.value("upstream_failures_total", &labels).filter(|n| *n == 1.0);
    eventually("it to be counted", counted).await;
    let allowed = [&*format!("route=\"{path}\""), "decision=\"allow\"", &*format!("reason=\"{reason}\"")];
    assert_eq!(gw.metrics().await.value("auth_decisions_total", &allowed), Some(1.0));
    assert_eq!(gw.metrics().await.value("auth_decisions_total", &[allowed[0], "decision=\"deny\""]), None);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_from_one_that_is_not_known() {
    let over_tls = harness::gateway(Setup::default().tls()).await;
    let port = over_tls.tls_address().port();
    let gw = harness::gateway(setup(&[
        ("refused", "127.0.0.1:1".to_owned()),
        ("nowhere", "nowhere.invalid:80".to_owned()),
        ("stranger", format!("https://localhost:{port}")),
        ("plain", format!("https://{}", over_tls.upstream().address())),
    ]))
    .await;

    for (name, cause) in [
        ("refused", "refused"),
        ("nowhere", "dns"),
        ("stranger", "tls: unknown issuer"),
        ("plain", "tls: the server doesn't speak it"),
    ] {
        let answer = gw.anonymous().get(&format!("/{name}")).await;
        assert_eq!(
            (answer.status().as_u16(), answer.reason()),
            (502, Some("upstream_unreachable")),
            "{name}"
        );
        assert_cause(&gw, name, "upstream_unreachable", cause).await;
    }
    let before =
        gw.metrics().await.value("upstream_failures_total", &["upstream=\"plain\"", "cause=\"reset\""]);
    assert_eq!(before, Some(0.0), "what hasn't happened yet is there, for alerts");
}

#[tokio::test]
async fn a_server_that_answers_wrongly_or_not_at_all_is_told_from_one_that_cannot_be_reached() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(300));
    let answers: [(&str, &str, &str); 5] = [
        ("name", "HTTP/1.1 200 OK\r\nb@d\x01: x\r\n\r\n", "bad answer: header name"),
        ("many", &many, "bad answer: too many fields"),
        ("line", "HELLO\r\n\r\n", "bad answer: status line"),
        ("silent", "", "closed: no answer"),
        ("begun", "HTTP/1.1 200 OK\r\n", "closed: no answer"),
    ];
    let mut upstreams = Vec::new();
    for (name, ..) in &answers {
        upstreams.push((*name, ByHand::start().await));
    }
    let servers: Vec<_> =
        upstreams.iter().map(|(name, upstream)| (*name, upstream.address().to_string())).collect();
    let gw = harness::gateway(setup(&servers)).await;

    for ((name, bytes, cause), (_, upstream)) in answers.iter().zip(&mut upstreams) {
        let client = gw.anonymous();
        let path = format!("/{name}");
        let (answer, ()) = tokio::join!(client.get(&path), upstream.answer(bytes.as_bytes()));
        assert_eq!(
            (answer.status().as_u16(), answer.reason()),
            (502, Some("upstream_unreachable")),
            "{name}"
        );
        assert_cause(&gw, name, "upstream_unreachable", cause).await;
    }
}

#[tokio::test]
async fn a_reset_and_a_silence_are_told_apart_before_and_within_an_answer() {
    let mut upstreams = Vec::new();
    for name in ["reset", "slow", "stuck", "half"] {
        upstreams.push((name, ByHand::start().await));
    }
    let servers: Vec<_> =
        upstreams.iter().map(|(name, upstream)| (*name, upstream.address().to_string())).collect();
    let gw = harness::gateway(setup(&servers)).await;
    let [(_, reset), (_, slow), (_, stuck), (_, half)] = &mut upstreams[..] else {
        unreachable!("made above")
    };
    let client = gw.anonymous();
    const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

    let cut = async {
        reset.request().await.set_zero_linger().expect("a socket");
    };
    let (answer, ()) = tokio::join!(client.get("/reset"), cut);
    assert_eq!(answer.status(), 502);
    assert_cause(&gw, "reset", "upstream_unreachable", "reset").await;

    let (answer, held) = tokio::join!(client.get("/slow"), slow.request());
    assert_eq!((answer.status().as_u16(), answer.reason()), (504, Some("upstream_timeout")));
    assert_cause(&gw, "slow", "upstream_timeout", "timeout: first byte").await;
    drop(held);

    let begin = async {
        let mut connection = stuck.request().await;
        tokio::io::AsyncWriteExt::write_all(&mut connection, BEGUN).await.expect("the gateway reads");
        connection
    };
    let (answer, held) = tokio::join!(client.get("/stuck"), begin);
    assert!(answer.status() == 200 && answer.bytes().await.is_err(), "half an answer isn't a whole one");
    assert_cause(&gw, "stuck", "upstream_timeout", "timeout: body").await;
    drop(held);

    let (answer, ()) = tokio::join!(client.get("/half"), half.answer(BEGUN));
    assert!(answer.status() == 200 && answer.bytes().await.is_err());
    assert_cause(&gw, "half", "upstream_unreachable", "closed: unfinished body").await;
}

/// What docs/configuration.md says of `timeouts.read`.
#[tokio::test]
async fn a_stream_and_a_socket_without_a_word_for_the_read_timeout_are_ended() {
    let (mut stream, mut socket) = (ByHand::start().await, ByHand::start().await);
    let gw = harness::gateway(Setup::from(&*format!(
        "
        upstreams:
          stream: {{ servers: [\"{}\"], timeouts: {{ read: 700ms }} }}
          socket: {{ servers: [\"{}\"], timeouts: {{ read: 700ms }} }}
        routes:
          - {{ path: /stream, upstream: stream, access: public }}
          - {{ path: /socket, upstream: socket, access: public, websocket: true }}
        ",
        stream.address(),
        socket.address()
    )))
    .await;
    let say = async |connection: &mut tokio::net::TcpStream, words: &[u8]| {
        tokio::io::AsyncWriteExt::write_all(connection, words).await.is_ok()
    };

    let mut client = gw.raw_connection().await;
    client.send(b"GET /stream HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    let mut server = stream.request().await;
    say(&mut server, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: begun\n\n").await;
    assert!(client.is_closed_within(harness::PATIENCE).await);
    assert_cause(&gw, "stream", "upstream_timeout", "timeout: body").await;

    let mut client = gw.raw_connection().await;
    let handshake =
        b"GET /socket HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.send(handshake).await;
    let mut server = socket.request().await;
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    say(&mut server, switch).await;
    assert_eq!(client.answer().await.expect("a handshake").status, 101);
    assert!(client.is_closed_within(harness::PATIENCE).await);
    assert_cause(&gw, "socket", "upstream_timeout", "timeout: body").await;
}
