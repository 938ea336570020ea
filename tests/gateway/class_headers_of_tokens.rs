//! Attack classes 7 to 9, 14 and 16: what a token's header says selects, fetches and inflates
//! nothing.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::forge::{self, PrivateKey, claims, encode, header, with, without};
use crate::harness;
use crate::refusal::{Refusal, assert_refused};

fn good() -> String {
    forge::token(&header(), &claims())
}

#[tokio::test]
async fn class_7_a_kid_is_a_name_and_nothing_else() {
    let gw = harness::gateway("").await;
    let by_kid = |kid: Value| ("a good signature", forge::token(&with(header(), "kid", kid), &claims()));
    let mut cases: Vec<_> = [
        json!("K1"),
        json!("k1 "),
        json!("k1\u{0}"),
        json!("k1' OR '1'='1"),
        json!("k1; DROP TABLE users"),
        json!("k1|/bin/true"),
        json!("../gateway.yaml"),
        json!("file:///dev/null"),
        json!("k".repeat(4000)),
        json!(["k1"]),
        json!({ "id": "k1" }),
        json!(1),
        json!(0),
        json!(true),
        Value::Null,
    ]
    .map(by_kid)
    .into();
    cases.push(("no kid", forge::token(&without(header(), "kid"), &claims())));
    // What a verifier that opens the file, or misses the row, would have for a key.
    for (kid, secret) in [("/dev/null", ""), ("../../../../dev/null", ""), ("' UNION SELECT 'a' --", "a")] {
        cases.push((
            "a key by its kid",
            forge::sign(secret.as_bytes(), &with(header(), "kid", kid), &claims()),
        ));
    }

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_8_keys_that_come_with_the_token_are_neither_used_nor_fetched() {
    let gw = harness::gateway("").await;
    let trap = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let url = format!("http://{}/jwks.json", trap.local_addr().expect("it is bound"));
    let attacker = PrivateKey::rsa();
    let certificate = base64_of(&attacker.public_der());
    let jwk = json!({ "kty": "oct", "k": encode("attacker"), "kid": "k1", "alg": "HS256" });
    let brought = [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!([certificate])),
        ("x5t", json!(encode("thumbprint"))),
        ("jwk", jwk.clone()),
    ];
    let mut cases = Vec::new();
    for (member, value) in brought {
        let header = with(header(), member, value);
        cases.push((member, forge::sign(b"attacker", &header, &claims())));
        cases.push((member, attacker.token(&with(header.clone(), "alg", "RS256"), &claims())));
        cases.push((member, attacker.token(&without(with(header, "alg", "RS256"), "kid"), &claims())));
    }
    cases.push((
        "kid is an address",
        forge::sign(b"attacker", &with(header(), "kid", url.clone()), &claims()),
    ));
    cases.push(("iss is an address", forge::claiming("iss", url)));

    assert_refused(&gw, &good(), "token_invalid", &cases).await;

    trap.set_nonblocking(true).expect("it is a socket");
    let fetch = trap.accept().map_err(|error| error.kind());
    assert!(matches!(fetch, Err(ErrorKind::WouldBlock)), "the gateway fetched a key");
}

#[tokio::test]
async fn class_9_extensions_that_change_the_meaning_are_refused() {
    let gw = harness::gateway("").await;
    let mut cases = Vec::new();
    for (member, value) in [
        ("crit", json!(["b64"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!("kid")),
        ("crit", Value::Null),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("enc", json!("A256GCM")),
        ("zip", json!("none")),
    ] {
        cases.push((member, forge::token(&with(header(), member, value), &claims())));
    }
    let unencoded = with(with(header(), "b64", false), "crit", json!(["b64"]));
    let message = format!("{}.{}", encode(unencoded.to_string()), encode(claims().to_string()));
    cases.push(("RFC 7797", forge::sign_text(harness::SECRET.as_bytes(), &message)));

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_14_a_compressed_token_is_refused_without_inflating_it() {
    let gw = harness::gateway("").await;
    let stored = deflate_stored(claims().to_string().as_bytes());
    let mut cases = Vec::new();
    for zip in ["DEF", "GZIP"] {
        let header = with(header(), "zip", zip);
        let message = format!("{}.{}", encode(header.to_string()), encode(&stored));
        cases.push((zip, forge::sign_text(harness::SECRET.as_bytes(), &message)));
    }
    let unannounced = format!("{}.{}", encode(header().to_string()), encode(&stored));
    cases.push(("not announced", forge::sign_text(harness::SECRET.as_bytes(), &unannounced)));

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_16_only_an_access_token_is_an_access_token() {
    let gw = harness::gateway("").await;
    let types = [json!("JWT"), json!("jwt"), json!("id_token+jwt"), json!("rt+jwt"), json!(""), Value::Null];
    let mut cases: Vec<_> =
        types.map(|typ| ("another type", forge::token(&with(header(), "typ", typ), &claims()))).into();
    cases.push(("no type", forge::token(&without(header(), "typ"), &claims())));

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_16_a_refresh_token_is_no_access_token_nor_the_reverse() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let login = json!({ "username": "alice", "password": harness::PASSWORD, "refresh_token": "body" });
    let answer: Value = alice.post("/auth/login", &login).await.json().await.expect("JSON");
    let refresh_token = answer["refresh_token"].as_str().expect("asked for in the body");

    assert_refused(&gw, &alice.token(), "token_malformed", &[("a refresh token", refresh_token.to_owned())])
        .await;

    let body = json!({ "refresh_token": alice.token() });
    let refusal = Refusal::read(gw.anonymous().post("/auth/refresh", &body).await).await;
    assert_eq!(refusal, (401, "refresh_invalid"));
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A valid raw DEFLATE stream of one stored block (RFC 1951 §3.2.4).
fn deflate_stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("claims are short");
    [&[1], &length.to_le_bytes()[..], &(!length).to_le_bytes()[..], bytes].concat()
}
