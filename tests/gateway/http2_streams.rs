//! Streams of HTTP/2 end as their cause says, and hold up no other: answers that break off, uploads that stall
//! or go on after their answer, cookies in parts, idle connections.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{Request, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

use crate::harness::{self, Echo, Gateway, Http2, PATIENCE, Setup, frames_until_closed, read_http2};

const ROUTES: &str = r#"
    upstreams:
      example: { servers: ["${UPSTREAM}"] }
      scripted: { servers: ["${SCRIPTED}"], timeouts: { read: 60s, write: 60s } }
    routes:
      - { path: /echo, upstream: example, access: public }
      - { path: /scripted, upstream: scripted, access: public }
      - { path: /protected, upstream: example }
"#;
const PART: usize = 16 * 1024;
const GOAWAY: u8 = 7;
/// An upload that gets no room for so long has stalled.
const STALL: Duration = Duration::from_millis(500);

async fn gateway(scripted: SocketAddr, fast_lane: bool) -> Gateway {
    let setup = Setup::from(ROUTES).with(&format!("forwarding: {{ fast_lane: {fast_lane} }}"));
    harness::gateway(setup.tls().env("SCRIPTED", scripted.to_string())).await
}

/// A backend that reads the head of a request and then does as it is told. The system takes little for it.
async fn backend<F: Future<Output = ()> + Send + 'static>(
    script: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("the system may take more");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port is free");
    let listener = socket.listen(64).expect("it is bound");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            tokio::spawn(script(stream));
        }
    });
    address
}

fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("https://localhost{path}");
    Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(()).expect("a legal request")
}

/// Sends a part of the body as soon as there is room; `Err` is the code of a reset.
async fn send_part(upload: &mut SendStream<Bytes>, is_last: bool) -> Result<(), Reason> {
    upload.reserve_capacity(PART);
    while upload.capacity() < PART {
        tokio::select! {
            biased;
            reset = poll_fn(|cx| upload.poll_reset(cx)) => return Err(reset.expect("the connection stays")),
            () = tokio::task::yield_now() => {}
        }
        let more = poll_fn(|cx| match upload.poll_capacity(cx) {
            std::task::Poll::Pending => match upload.poll_reset(cx) {
                std::task::Poll::Ready(reset) => std::task::Poll::Ready(Err(reset.expect("it stays"))),
                std::task::Poll::Pending => std::task::Poll::Pending,
            },
            std::task::Poll::Ready(_) => std::task::Poll::Ready(Ok(())),
        });
        more.await?;
    }
    match upload.send_data(Bytes::from_static(&[b'x'; PART]), is_last) {
        Ok(()) => Ok(()),
        Err(_) => Err(poll_fn(|cx| upload.poll_reset(cx)).await.expect("the connection stays")),
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    let dying = backend(async |mut stream: TcpStream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        stream.write_all(head).await.expect("the gateway reads");
        stream.write_all(&[b'x'; 5000]).await.expect("the same");
    })
    .await;

    for fast_lane in [true, false] {
        let gw = gateway(dying, fast_lane).await;
        let http2 = Http2::open(&gw).await;

        let error = http2.get(request("GET", "/scripted")).await.expect_err("5,000 of 1,000,000 bytes");

        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "fast lane: {fast_lane}");
        // The connection goes on.
        assert_eq!(http2.get(request("GET", "/echo")).await.expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn stalled_uploads_block_no_other_request_of_their_connection() {
    let stalled = backend(async |stream: TcpStream| {
        tokio::time::sleep(PATIENCE * 2).await;
        drop(stream);
    })
    .await;
    let gw = gateway(stalled, true).await;
    let http2 = Http2::open(&gw).await;
    let mut uploads = Vec::new();
    for _ in 0..4 {
        let (answer, mut upload) = http2.begin(request("POST", "/scripted")).await.expect("a stream");
        // As much as there is room for on the way.
        while let Ok(sent) = tokio::time::timeout(STALL, send_part(&mut upload, false)).await {
            sent.expect("no reset");
        }
        uploads.push((answer, upload));
    }

    let posted = http2.send(request("POST", "/echo"), &[b"hello"], None);
    let answer = tokio::time::timeout(PATIENCE, posted).await.expect("in time").expect("an answer");

    assert_eq!(Echo::read(answer.body()).0["body"], "hello");
}

#[tokio::test]
async fn a_refusal_arrives_before_the_upload_that_goes_on_is_reset() {
    let gw = gateway("127.0.0.1:9".parse().expect("an address"), true).await;
    let http2 = Http2::open(&gw).await;
    let (answer, mut upload) = http2.begin(request("POST", "/protected")).await.expect("a stream");
    send_part(&mut upload, false).await.expect("no reset yet");

    let answer = read_http2(answer.await.expect("a head")).await.expect("a whole answer");

    assert_eq!(answer.status(), 401);
    assert!(answer.body().starts_with(b"{"), "{answer:?}");
    // It still reads: more than the stream's window has room for.
    for part in 0..8 {
        send_part(&mut upload, part == 7).await.expect("no reset");
    }
    assert_eq!(http2.get(request("GET", "/echo")).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn an_upload_without_end_is_reset_with_no_error_after_its_refusal() {
    let gw = gateway("127.0.0.1:9".parse().expect("an address"), true).await;
    let http2 = Http2::open(&gw).await;
    let (answer, mut upload) = http2.begin(request("POST", "/protected")).await.expect("a stream");
    let answer = read_http2(answer.await.expect("a head")).await.expect("a whole answer");
    assert_eq!(answer.status(), 401);

    let mut sent = 0;
    let reset = loop {
        match send_part(&mut upload, false).await {
            Ok(()) => sent += PART,
            Err(reset) => break reset,
        }
        assert!(sent < 4 << 20, "{sent} bytes were read after the answer");
    };

    assert_eq!(reset, Reason::NO_ERROR);
    assert_eq!(http2.get(request("GET", "/echo")).await.expect("an answer").status(), 200);
}

/// One that reads on, as servers do that linger, and one that doesn't.
#[tokio::test]
async fn an_upstream_may_answer_before_the_upload_has_ended() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nearly\n";
    let reads_on = backend(async |mut stream: TcpStream| {
        stream.write_all(ANSWER).await.expect("the gateway reads");
        let mut sink = [0; 16 * 1024];
        while let Ok(1..) = stream.read(&mut sink).await {}
    })
    .await;
    let reads_nothing = backend(async |mut stream: TcpStream| {
        stream.write_all(ANSWER).await.expect("the gateway reads");
        tokio::time::sleep(PATIENCE * 2).await;
    })
    .await;

    for scripted in [reads_on, reads_nothing] {
        let gw = gateway(scripted, true).await;
        let http2 = Http2::open(&gw).await;
        let (answer, mut upload) = http2.begin(request("POST", "/scripted")).await.expect("a stream");
        send_part(&mut upload, false).await.expect("no reset yet");

        let answer = async { read_http2(answer.await.expect("a head")).await.expect("a whole answer") };
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("in time");

        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"early\n"[..]));
        let ending = async {
            loop {
                if let Err(reset) = send_part(&mut upload, false).await {
                    return reset;
                }
            }
        };
        let reset = tokio::time::timeout(PATIENCE, ending).await.expect("the upload doesn't go on for ever");
        assert_eq!(reset, Reason::NO_ERROR);
        let line = gw.logged(|line| line["path"] == "/scripted").await;
        assert_eq!((&line["decision"], &line["reason"]), (&"allow".into(), &"ok".into()), "{line}");
    }
}

#[tokio::test]
async fn cookies_in_parts_count_as_one_field() {
    let gw = gateway("127.0.0.1:9".parse().expect("an address"), true).await;
    let http2 = Http2::open(&gw).await;
    let mut with_cookies = request("GET", "/echo");
    for number in 0..300 {
        let crumb = format!("c{number}=1").parse().expect("plain text");
        with_cookies.headers_mut().append("cookie", crumb);
    }

    let answer = http2.get(with_cookies).await.expect("an answer");

    assert_eq!(answer.status(), 200);
    let echo = Echo::read(answer.body());
    let [cookies] = echo.fields("cookie")[..] else { panic!("{:?}", echo.fields("cookie")) };
    assert_eq!(cookies.split("; ").count(), 300);
}

#[tokio::test]
async fn a_head_with_our_own_502_ends_its_stream() {
    let gw = gateway("127.0.0.1:9".parse().expect("an address"), true).await;
    let http2 = Http2::open(&gw).await;

    let answer = http2.get(request("HEAD", "/scripted")).await.expect("an end without a reset");

    assert_eq!((answer.status().as_u16(), answer.body().len()), (502, 0));
}

#[tokio::test]
async fn an_idle_connection_is_told_before_it_is_closed() {
    let setup = Setup::from(ROUTES).tls().env("SCRIPTED", "127.0.0.1:9").with(
        r#"
        listen:
          proxy:
            - { address: "${PROXY}" }
            - { address: "${PROXY_TLS}", tls: { cert: cert.pem, key: key.pem } }
          admin: "${ADMIN}"
          idle_timeout: 1s
        "#,
    );
    let gw = harness::gateway(setup).await;

    let frames = tokio::time::timeout(PATIENCE, frames_until_closed(&gw)).await.expect("it is closed");

    assert!(frames.contains(&GOAWAY), "{frames:?}");
}

#[tokio::test]
async fn a_client_that_leaves_was_refused_nothing() {
    let heard = Arc::new(Notify::new());
    let hears = heard.clone();
    let slow = backend(move |mut stream: TcpStream| {
        let heard = hears.clone();
        async move {
            heard.notify_one();
            // Until the gateway closes the connection.
            while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
        }
    })
    .await;
    let gw = gateway(slow, false).await;
    let http2 = Http2::open(&gw).await;
    let (answer, mut upload) = http2.begin(request("POST", "/scripted")).await.expect("a stream");
    send_part(&mut upload, true).await.expect("no reset");
    heard.notified().await;

    upload.send_reset(Reason::CANCEL);
    drop((answer, upload));

    let line = gw.logged(|line| line["path"] == "/scripted").await;
    assert_eq!((&line["decision"], &line["reason"]), (&"allow".into(), &"client_left".into()), "{line}");
}

#[tokio::test]
async fn too_many_fields_are_431_and_how_many_is_a_setting() {
    let with_bound = |bound: u32| {
        let listen = r#"
            listen:
              proxy:
                - { address: "${PROXY}" }
                - { address: "${PROXY_TLS}", tls: { cert: cert.pem, key: key.pem } }
              admin: "${ADMIN}"
              max_fields: BOUND
        "#;
        let listen = listen.replace("BOUND", &bound.to_string());
        Setup::from(ROUTES).tls().env("SCRIPTED", "127.0.0.1:9").with(&listen)
    };
    let gw = harness::gateway(with_bound(20)).await;
    let http2 = Http2::open(&gw).await;
    let many = || {
        let mut request = request("GET", "/echo");
        for number in 0..30 {
            let name: http::HeaderName = format!("x-{number}").parse().expect("a name");
            request.headers_mut().append(name, "1".parse().expect("plain text"));
        }
        request
    };

    let refused = http2.get(many()).await.expect("an answer");
    assert_eq!(refused.status(), 431);
    assert_eq!(refused.headers()["portcullis-reason"], "headers_too_large");

    assert_eq!(gw.reload(with_bound(200)).await, harness::Reload::InForce);
    assert_eq!(http2.get(many()).await.expect("an answer").status(), 200);
}
