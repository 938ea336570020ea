//! HTTP/1.0 on either side, and answers that say twice where they end: what the client gets has one version and
//! one framing.

use crate::harness::{self, ByHand, Gateway, RawConnection, Reason, Setup};

async fn gateway() -> (Gateway, ByHand) {
    let upstream = ByHand::start().await;
    let setup = Setup::from(
        r#"
        upstreams: { example: { servers: ["${BY_HAND}"] } }
        routes: [ { path: "/{*rest}", upstream: example, access: public, websocket: true } ]
        "#,
    );
    (harness::gateway(setup.env("BY_HAND", upstream.address().to_string())).await, upstream)
}

async fn asked(gw: &Gateway, version: &str, fields: &str) -> RawConnection {
    let mut client = gw.raw_connection().await;
    assert!(client.send(format!("GET /a HTTP/{version}\r\nHost: gateway\r\n{fields}\r\n").as_bytes()).await);
    client
}

const ANSWERS: [&[u8]; 3] = [
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nabcde",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
];

#[tokio::test]
async fn a_client_of_http_1_0_gets_neither_chunks_nor_interim_answers() {
    let (gw, mut upstream) = gateway().await;
    for answer in ANSWERS {
        for fields in ["", "Connection: keep-alive\r\n"] {
            let mut client = asked(&gw, "1.0", fields).await;
            upstream.answer(answer).await;

            let got = client.answer().await.expect("an answer");

            assert_eq!((got.status, got.body.as_slice()), (200, b"abcde".as_slice()), "{}", got.head);
            assert_eq!(got.fields("transfer-encoding").count(), 0, "{}", got.head);
            if got.fields("content-length").next().is_none() {
                assert_eq!(got.fields("connection").collect::<Vec<_>>(), ["close"]);
            }
        }
    }
}

#[tokio::test]
async fn the_version_of_an_answer_is_ours() {
    let (gw, mut upstream) = gateway().await;
    let answers = [
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nabcde".as_slice(),
        b"HTTP/1.0 200 OK\r\n\r\nabcde",
        b"HTTP/1.0 404 Not Found\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nabcde",
    ];
    for answer in answers {
        let mut client = asked(&gw, "1.1", "").await;
        upstream.answer(answer).await;

        let got = client.answer().await.expect("an answer");

        assert!(got.head.starts_with("HTTP/1.1 "), "{}", got.head);
        assert_eq!(got.body, b"abcde");
        assert_eq!(got.fields("connection").collect::<Vec<_>>(), ["keep-alive"]);
    }
}

#[tokio::test]
async fn class_67_an_answer_has_one_framing() {
    let (gw, mut upstream) = gateway().await;
    let chunks = "\r\n5\r\nabcde\r\n0\r\n\r\n";
    let repaired = [
        format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n{chunks}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n{chunks}"),
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde".to_owned(),
        "Content-Length: 5, 5\r\n\r\nabcde".to_owned(),
    ];
    for answer in repaired {
        let mut client = asked(&gw, "1.1", "").await;
        upstream.answer(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes()).await;

        let got = client.answer().await.expect("an answer");

        assert_eq!((got.status, got.body.as_slice()), (200, b"abcde".as_slice()), "{answer}");
        let framings = got.fields("transfer-encoding").chain(got.fields("content-length"));
        let framings: Vec<_> = framings.collect();
        assert!(framings == ["chunked"] || framings == ["5"], "{answer}: {framings:?}");
    }
    let refused = [
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nabcde",
        "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        "Content-Length: -5\r\n\r\nabcde",
    ];
    for answer in refused {
        let mut client = asked(&gw, "1.1", "").await;
        // The connection stays open: the answer must not wait for its end.
        let mut connection = upstream.request().await;
        let answered = format!("HTTP/1.1 200 OK\r\n{answer}");
        tokio::io::AsyncWriteExt::write_all(&mut connection, answered.as_bytes()).await.expect("it reads");

        let got = client.answer().await.expect("an answer");

        assert_eq!((got.status, got.reason()), (502, Some("upstream_unreachable")), "{answer}");
    }
}

#[tokio::test]
async fn a_request_that_nothing_can_read_is_refused_in_our_words() {
    let (gw, _upstream) = gateway().await;
    for bytes in [
        b"GET /a HTTP/1.1\nHost gateway\n\n".as_slice(),
        b"GET /a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5, 6\r\n\r\n",
        b"GET /a HTTP/1.0\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"{}\r\n",
    ] {
        let mut client = gw.raw_connection().await;
        assert!(client.send(bytes).await);

        let got = client.answer().await.expect("an answer");

        assert_eq!((got.status, got.reason()), (400, Some("bad_request")), "{bytes:?}");
        assert_eq!(got.fields("server").count(), 0, "{}", got.head);
        assert_eq!(got.fields("content-type").collect::<Vec<_>>(), ["application/problem+json"]);
    }
    let mut client = gw.raw_connection().await;
    assert!(client.send(b"CONNECT gateway:443 HTTP/1.1\r\nHost: gateway:443\r\n\r\n").await);
    let got = client.answer().await.expect("an answer");
    assert_eq!((got.status, got.reason()), (405, Some("method_not_allowed")));
}
