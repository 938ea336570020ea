//! Attack class 72: fields of HTTP/2 that would be lines, or whole requests, in HTTP/1.1.

use std::collections::BTreeMap;

use crate::harness::{self, Gateway, Outcome, Setup, field, raw_http2};

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
      - { path: "/public/{*rest}", upstream: example, access: public }
"#;

type Field<'a> = (&'a [u8], &'a [u8]);

const GOOD: [Field<'static>; 4] =
    [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/echo")];

async fn send(gw: &Gateway, fields: &[Field<'_>]) -> Outcome {
    let fields: Vec<Vec<u8>> = fields.iter().map(|(name, value)| field(name, value)).collect();
    raw_http2(gw, &fields).await
}

/// Neither reaches the backend nor ends the gateway.
async fn assert_refused(requests: &[Vec<Field<'_>>]) {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;

    for fields in requests {
        let outcome = send(&gw, fields).await;
        let said = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (said(name), said(value))).collect();
        assert!(matches!(outcome, Outcome::BadRequest | Outcome::Refused), "{fields:?}: {outcome:?}");
    }

    assert_eq!(gw.upstream().all_calls().await, BTreeMap::new());
    assert!(matches!(send(&gw, &GOOD).await, Outcome::Answered(_)));
    assert_eq!(gw.upstream_calls("/echo").await, 1);
}

/// The good request with another value of one pseudo field.
fn with<'a>(name: &[u8], value: &'a [u8]) -> Vec<Field<'a>> {
    GOOD.iter().map(|(known, good)| (*known, if *known == name { value } else { good })).collect()
}

/// The good request with one field more.
fn and<'a>(name: &'a [u8], value: &'a [u8]) -> Vec<Field<'a>> {
    [GOOD.as_slice(), &[(name, value)]].concat()
}

#[tokio::test]
async fn class_72_a_value_or_name_is_never_several_lines() {
    assert_refused(&[
        and(b"x-a", b"b\r\nx-forwarded-user: admin"),
        and(b"x-a", b"b\nx-forwarded-user: admin"),
        and(b"x-a", b"b\rc"),
        and(b"x-a", b"b\0c"),
        and(b"x-a", b"\r\n\r\nGET /public/hello HTTP/1.1\r\nhost: gateway\r\n\r\n"),
        and(b"x-a: b\r\nx-forwarded-user", b"admin"),
        and(b"x-a\r\n", b"b"),
        and(b"x-a:", b"b"),
        and(b"x a", b"b"),
        and(b"X-A", b"b"),
        and(b"x-\0", b"b"),
        and(b"", b"b"),
    ])
    .await;
}

#[tokio::test]
async fn class_72_pseudo_fields_are_never_more_than_their_part_of_the_request_line() {
    assert_refused(&[
        with(b":path", b"/echo HTTP/1.1\r\nhost: gateway\r\n\r\nGET /public/hello"),
        with(b":path", b"/echo HTTP/1.1"),
        with(b":path", b"/echo\r\nx-forwarded-user: admin"),
        with(b":path", b"/echo\0"),
        with(b":path", b"echo"),
        with(b":path", b""),
        with(b":path", b"*"),
        with(b":path", b"https://localhost/echo"),
        with(b":method", b"GET /public/hello HTTP/1.1\r\nx-a:"),
        with(b":method", b"GET\r\n"),
        with(b":method", b""),
        with(b":authority", b"localhost\r\nx-forwarded-user: admin"),
        with(b":authority", b"localhost /public/hello"),
        with(b":authority", b"admin@localhost"),
        with(b":scheme", b"https://localhost/public/hello?"),
        GOOD[..3].to_vec(),
        and(b":path", b"/public/hello"),
        and(b":evil", b"1"),
        [&[(&b"x-a"[..], &b"b"[..])], GOOD.as_slice()].concat(),
    ])
    .await;
}

#[tokio::test]
async fn class_72_fields_that_frame_an_http_1_message_are_refused() {
    assert_refused(&[
        and(b"transfer-encoding", b"chunked"),
        and(b"connection", b"x-forwarded-user"),
        and(b"connection", b"close"),
        and(b"keep-alive", b"timeout=9"),
        and(b"proxy-connection", b"keep-alive"),
        and(b"upgrade", b"h2c"),
        and(b"te", b"gzip"),
        and(b"content-length", b"5"),
        and(b"content-length", b"0\r\nx-forwarded-user: admin"),
        and(b"content-length", b"-1"),
    ])
    .await;
}
