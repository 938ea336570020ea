//! A client that is refused while it still sends must be able to read why: the connection is closed only when the
//! rest has been taken, or a bound is reached (RFC 9112 §9.6).

use crate::harness::{self, Gateway, RawAnswer, RawConnection, Reason, Setup};

/// More than the buffers of two sockets hold.
const UPLOAD: usize = 24 * 1024 * 1024;

const ROUTES: &str = r#"
    routes:
      - { path: /protected, upstream: example, max_body: 1023GiB }
      - { path: /echo, upstream: example, access: public, max_body: 64KiB }
"#;

/// What a client gets that reads only after it has sent everything, as Python's `http.client` does.
async fn upload(gw: &Gateway, head: &str, body: &[u8]) -> (RawAnswer, RawConnection) {
    let mut client = gw.raw_connection().await;
    assert!(client.send(head.as_bytes()).await);
    for piece in body.chunks(64 * 1024) {
        assert!(client.send(piece).await, "the connection was closed while {head:?} was sent");
    }
    (client.answer().await.expect("an answer"), client)
}

fn chunked(size: usize) -> Vec<u8> {
    let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    [piece.repeat(size / 0x10000).as_slice(), b"0\r\n\r\n"].concat()
}

#[tokio::test]
async fn class_58_a_refused_upload_is_read_before_the_connection_is_closed() {
    let gw = harness::gateway(ROUTES).await;
    let length = format!("Content-Length: {UPLOAD}");

    for (target, framing, status, reason) in [
        ("/protected", length.as_str(), 401, "no_credentials"),
        ("/nowhere", length.as_str(), 404, "route_not_found"),
        ("/echo", length.as_str(), 413, "body_too_large"),
        ("/auth/login", length.as_str(), 413, "body_too_large"),
        ("/protected", "Transfer-Encoding: chunked", 401, "no_credentials"),
        ("/echo", "Transfer-Encoding: chunked", 413, "body_too_large"),
    ] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        );
        let body = if framing == length { vec![b'x'; UPLOAD] } else { chunked(UPLOAD) };

        let (answer, mut client) = upload(&gw, &head, &body).await;

        assert_eq!((answer.status, answer.reason()), (status, Some(reason)), "{head}");
        assert_eq!(answer.fields("connection").collect::<Vec<_>>(), ["close"], "{head}");
        assert!(client.is_closed_within(harness::PATIENCE).await, "{head}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_read_before_the_connection_is_closed() {
    let gw = harness::gateway(Setup::default()).await;

    let (answer, _) = upload(&gw, "GET /echo HTTP/9.9\r\nHost: gateway\r\n\r\n", &vec![b'x'; UPLOAD]).await;

    assert_eq!((answer.status, answer.reason()), (400, Some("bad_request")));
}

#[tokio::test]
async fn a_client_that_never_stops_is_cut_off() {
    let gw = harness::gateway(ROUTES).await;
    let mut client = gw.raw_connection().await;
    let length = 1_u64 << 39;
    let head = format!("POST /protected HTTP/1.1\r\nHost: gateway\r\nContent-Length: {length}\r\n\r\n");
    assert!(client.send(head.as_bytes()).await);

    let piece = vec![b'x'; 1024 * 1024];
    let mut sent = 0;
    while client.send(&piece).await {
        sent += piece.len();
        assert!(sent < 1 << 30, "it reads for ever");
    }
}
