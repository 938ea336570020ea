//! Attack classes 20 and 21, and the codes of the issue: which credentials a request has, and that
//! they are its own.

use serde_json::json;

use crate::forge::{self, claiming, claims, encode, header};
use crate::harness::{self, Client, Gateway, RawConnection};
use crate::refusal::{Refusal, assert_refused};

fn good() -> String {
    forge::token(&header(), &claims())
}

/// `GET path` with these header lines, as one raw request.
fn get(path: &str, fields: &[&str]) -> Vec<u8> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n").into_bytes()
}

async fn status_and_code(gw: &Gateway, request: &[u8]) -> (u16, String) {
    let mut connection = gw.raw_connection().await;
    connection.send(request).await;
    next_answer(&mut connection).await
}

async fn next_answer(connection: &mut RawConnection) -> (u16, String) {
    let answer = connection.answer().await.expect("an answer");
    let code = answer.fields("portcullis-reason").next().unwrap_or_default().to_owned();
    (answer.status, code)
}

#[tokio::test]
async fn class_20_several_or_odd_credentials_are_none() {
    let gw = harness::gateway("").await;
    let good = good();
    let bearer = format!("Authorization: Bearer {good}");
    let odd: &[&[&str]] = &[
        &[&bearer, &bearer],
        &[&bearer, "authorization: Basic YTpi"],
        &["AUTHORIZATION: Basic YTpi", &bearer],
        &[&bearer, "Authorization:"],
        &["Authorization: Bearer x", &bearer],
        &[&format!("{bearer}, Bearer {good}")],
        &[&format!("{bearer},Basic YTpi")],
        &[&format!("{bearer} {good}")],
        &[&format!("Authorization: Bearer \t{good}")],
        &[&format!("Authorization: Bearer\t{good}")],
        &[&format!("Authorization: Bearer{good}")],
        &[&format!("Authorization: Bearer:{good}")],
        &[&format!("Authorization: Bearer={good}")],
        &[&format!("Authorization: Bearer \"{good}\"")],
        &[&format!("Authorization: Bearer token={good}")],
        &[&format!("Authorization: {good}")],
        &[&format!("Authorization: Token {good}")],
        &[&format!("Authorization: JWT {good}")],
        &[&format!("Authorization: DPoP {good}")],
        &[&format!("Authorization: Basic {good}")],
        &["Authorization: Bearer"],
        &["Authorization: Bearer "],
        &["Authorization: Bearer null"],
        &["Authorization: Bearer undefined"],
        &["Authorization:"],
        &["Authorization: Negotiate"],
    ];

    for fields in odd {
        let answer = status_and_code(&gw, &get("/secure/data", fields)).await;
        assert_eq!(answer, (401, "token_malformed".to_owned()), "{fields:?}");
    }

    assert_eq!(gw.upstream_calls("/secure/data").await, 0);
    assert_eq!(status_and_code(&gw, &get("/protected", &[&bearer])).await.0, 200);
}

#[tokio::test]
async fn class_20_a_token_anywhere_else_is_no_credential() {
    let gw = harness::gateway("").await;
    let good = good();
    let elsewhere = [
        (format!("/secure/data?access_token={good}"), "x: y".to_owned()),
        (format!("/secure/data?token={good}&jwt={good}"), "x: y".to_owned()),
        ("/secure/data".to_owned(), format!("Cookie: access_token={good}; jwt={good}; token={good}")),
        ("/secure/data".to_owned(), format!("Proxy-Authorization: Bearer {good}")),
        ("/secure/data".to_owned(), format!("X-Authorization: Bearer {good}")),
        ("/secure/data".to_owned(), format!("X-Access-Token: {good}")),
        ("/secure/data".to_owned(), format!("X-Forwarded-Access-Token: {good}")),
        ("/secure/data".to_owned(), format!("Sec-WebSocket-Protocol: bearer, {good}")),
    ];

    for (path, field) in &elsewhere {
        let answer = status_and_code(&gw, &get(path, &[field])).await;
        assert_eq!(answer, (401, "no_credentials".to_owned()), "{path} {field}");
    }
    let client = gw.anonymous();
    let form = client.request_without_token(reqwest::Method::POST, "/secure/data");
    let refusal = Refusal::read(client.send(form.form(&[("access_token", &good)])).await).await;
    assert_eq!(refusal, (401, "no_credentials"));

    assert_eq!(gw.upstream_calls("/secure/data").await, 0);
}

#[tokio::test]
async fn class_21_a_kept_alive_connection_carries_no_identity_over() {
    let gw = harness::gateway("").await;
    let user = format!("authorization: Bearer {}", good());
    let admin = format!("authorization: Bearer {}", claiming("roles", json!(["admin"])));
    let bad = format!("authorization: Bearer {}", claiming("exp", 1));
    let mut connection = gw.raw_connection().await;
    let script: [(&str, &[&str], (u16, &str)); 8] = [
        ("/protected", &[&user], (200, "")),
        ("/secure/data", &[], (401, "no_credentials")),
        ("/admin/dashboard", &[&admin], (200, "")),
        ("/admin/dashboard", &[&user], (403, "role_missing")),
        ("/admin/dashboard", &[], (401, "no_credentials")),
        ("/protected", &[&user], (200, "")),
        ("/secure/data", &[&bad], (401, "token_expired")),
        ("/secure/data", &[], (401, "no_credentials")),
    ];

    for (step, (path, fields, (status, code))) in script.into_iter().enumerate() {
        assert!(connection.send(&get(path, fields)).await, "step {step}: the connection was closed");
        let answer = next_answer(&mut connection).await;
        assert_eq!(answer, (status, code.to_owned()), "step {step}");
    }

    assert_eq!(gw.upstream_calls("/secure/data").await, 0);
    assert_eq!(gw.upstream_calls("/admin/dashboard").await, 1);
}

#[tokio::test]
async fn class_21_identity_headers_are_those_of_this_request() {
    let gw = harness::gateway("").await;
    let mut connection = gw.raw_connection().await;

    for name in ["alice", "bob", "alice"] {
        let token = claiming("preferred_username", name);
        connection.send(&get("/echo", &[&format!("authorization: Bearer {token}")])).await;
        let answer = connection.answer().await.expect("an answer");
        let echo: serde_json::Value = serde_json::from_slice(&answer.body).expect("the echo is JSON");
        let seen = echo["headers"].as_array().expect("a list").iter();
        let names: Vec<_> =
            seen.filter(|pair| pair[0] == "x-forwarded-preferred-username").map(|pair| &pair[1]).collect();
        assert_eq!(names, [name]);
    }
}

/// Every way in which a token can be bad has its own word.
#[tokio::test]
async fn each_bad_token_gets_its_code() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let revoked = gw.client("alice");
    revoked.login().await;
    let revoked_token = revoked.token();
    revoked.logout().await;
    let good = good();
    let (message, signature) = good.rsplit_once('.').expect("three segments");
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none","kid":"k1"}"#), encode(claims().to_string()));
    let cases = [
        ("expired", "token_expired", claiming("exp", forge::now() - 3600)),
        ("revoked", "token_revoked", revoked_token),
        ("foreign issuer", "token_invalid", claiming("iss", "https://attacker.example")),
        ("foreign audience", "token_invalid", claiming("aud", "another-service")),
        ("tampered", "token_invalid", format!("{message}.{flipped}{}", &signature[1..])),
        ("alg none", "token_malformed", unsigned),
        ("key confusion", "token_invalid", forge::sign(b"a public key", &header(), &claims())),
        ("not before", "token_not_yet_valid", claiming("nbf", forge::now() + 3600)),
        ("garbage", "token_malformed", "garbage".to_owned()),
    ];

    for (case, code, token) in cases {
        assert_refused(&gw, &alice.token(), code, &[(case, token)]).await;
    }
    let anonymous: Client = gw.anonymous();
    let nothing = Refusal::read(anonymous.get("/secure/data").await).await;
    assert_eq!(nothing, (401, "no_credentials"));
}
