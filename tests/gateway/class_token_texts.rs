//! Attack classes 13, 15 and 17: a token has one text, in one serialisation, of reasonable size.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::forge::{self, claims, encode, header, with};
use crate::harness::{self, SECRET};
use crate::refusal::{Refusal, assert_refused};

fn good() -> String {
    forge::token(&header(), &claims())
}

#[tokio::test]
async fn class_13_only_the_compact_serialisation_is_read() {
    let gw = harness::gateway("").await;
    let good = good();
    let [head, payload, signature] = [0, 1, 2].map(|at| good.split('.').nth(at).expect("three segments"));
    let forged = encode(with(claims(), "roles", json!(["admin"])).to_string());
    let flattened = json!({ "protected": head, "payload": payload, "signature": signature }).to_string();
    let general = json!({
        "payload": payload, "signatures": [{ "protected": head, "signature": signature }],
    });
    // CVE-2022-39227: one parser sees JSON, the other a compact token with another payload.
    let polyglot = format!(
        r#"{{"{head}.{forged}.":"","protected":"{head}","payload":"{payload}","signature":"{signature}"}}"#
    );
    let encrypted =
        format!("{}.{}.{}.{}.{}", encode(r#"{"alg":"dir","enc":"A256GCM"}"#), "", "AAAA", "AAAA", "AAAA");
    let cases = [
        ("flattened JSON", flattened.clone()),
        ("general JSON", general.to_string()),
        ("JSON in base64", encode(&flattened)),
        ("polyglot", polyglot),
        ("JWE", encrypted),
        ("JWE around the token", format!("{head}.{head}.{payload}.{signature}.{signature}")),
        ("four segments", format!("{good}.{signature}")),
        ("two tokens", format!("{good}.{good}")),
        ("two tokens with a comma", format!("{good},{good}")),
        ("in quotes", format!("\"{good}\"")),
        ("detached payload", format!("{head}..{signature}")),
        ("a leading dot", format!(".{good}")),
        ("a trailing dot", format!("{good}.")),
        ("percent-encoded", good.replace('.', "%2E")),
        ("a prefix", format!("jwt:{good}")),
    ];

    assert_refused(&gw, &good, "token_malformed", &cases).await;
}

#[tokio::test]
async fn class_15_huge_deep_and_dotted_tokens_are_refused_fast() {
    let gw = harness::gateway("").await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep_header = format!(r#"{{"alg":"HS256","kid":"k1","typ":"at+jwt","x":{}}}"#, nested(2000));
    let deep_claims = format!(r#"{{"x":{},{}"#, nested(2000), &claims().to_string()[1..]);
    let signed = |header: &str, claims: &str| {
        forge::sign_text(SECRET.as_bytes(), &format!("{}.{}", encode(header), encode(claims)))
    };
    let cases = [
        ("dots", ".".repeat(7000)),
        ("many dots", ".".repeat(60_000)),
        ("segments", "a.".repeat(30_000)),
        ("one long segment", "a".repeat(60_000)),
        ("a long header", format!("{}.e30.AAAA", "e30".repeat(19_000))),
        ("deep header", signed(&deep_header, &claims().to_string())),
        ("deep claims", signed(&header().to_string(), &deep_claims)),
        ("a long signed token", forge::claiming("x", "y".repeat(7000))),
    ];
    let client = gw.anonymous();

    for (case, token) in &cases {
        let start = Instant::now();
        let refusal = client.present(token, "/secure/data").await;
        assert!(start.elapsed() < Duration::from_secs(3), "{case} took {:?}", start.elapsed());
        let code = refusal.code.as_str();
        let is_refused = match token.len() > 8 * 1024 {
            true => (refusal.status, code) == (431, "token_too_large"),
            false => refusal.status == 401 && matches!(code, "token_malformed" | "token_invalid"),
        };
        assert!(is_refused, "{case}: {refusal:?}");
    }
    let beyond_any_header = client.present(&"a".repeat(80_000), "/secure/data").await;
    assert_eq!(beyond_any_header, (431, "headers_too_large"));

    assert_eq!(gw.upstream_calls("/secure/data").await, 0);
    assert_eq!(client.present(&good(), "/protected").await.status, 200);
}

#[tokio::test]
async fn class_17_a_revoked_token_has_no_second_spelling() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let token = alice.token();
    assert_eq!(alice.present(&token, "/protected").await.status, 200);
    alice.logout().await;

    let (message, signature) = token.rsplit_once('.').expect("three segments");
    let malformed = [
        ("padding", format!("{token}=")),
        ("padding in the middle", token.replacen('.', "=.", 1)),
        ("trailing bits", other_trailing_bits(&token)),
        ("a space in the middle", format!("{message}. {signature}")),
        ("the other alphabet", format!("{message}.{}", signature.replace('-', "+").replace('_', "/") + "+")),
        ("percent-encoded letter", token.replacen('e', "%65", 1)),
    ];
    for (case, spelling) in malformed {
        assert_ne!(spelling, token, "{case}");
        assert_eq!(alice.present(&spelling, "/secure/data").await, (401, "token_malformed"), "{case}");
    }
    for (case, spelling) in [("upper case", token.to_uppercase()), ("lower case", token.to_lowercase())] {
        let refusal = alice.present(&spelling, "/secure/data").await;
        assert_eq!(refusal.status, 401, "{case}");
    }

    // Spaces between the two are one separator, however many (RFC 9110 §11.4).
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "] {
        let request = alice.request_without_token(reqwest::Method::GET, "/secure/data");
        let request = request.header("authorization", format!("{scheme} {token}"));
        assert_eq!(Refusal::read(alice.send(request).await).await, (401, "token_revoked"), "{scheme}");
    }
    assert_eq!(gw.upstream_calls("/secure/data").await, 0);
}

/// The last character of a 32-byte signature has two bits that decode to nothing.
fn other_trailing_bits(token: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = token.bytes().last().expect("it isn't empty");
    let value = ALPHABET.iter().position(|&letter| letter == last).expect("base64url");
    format!("{}{}", &token[..token.len() - 1], ALPHABET[value ^ 1] as char)
}
