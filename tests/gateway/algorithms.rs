//! Every algorithm that tokens can be signed with, from registration to a backend that verifies by
//! the published key; and the way from one key to the next.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::forge::{self, PrivateKey, claims, header};
use crate::harness::{self, Gateway, Reload, Setup};
use crate::refusal::assert_refused;

/// A gateway that signs with this key, under the id `new`.
async fn signing_with(key: &PrivateKey) -> Gateway {
    harness::gateway(
        keys(&[&format!("{{ id: new, algorithm: {}, key: \"${{PEM}}\" }}", key.algorithm())])
            .env("PEM", key.pem()),
    )
    .await
}

const OLD: &str = r#"{ id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }"#;

fn keys(keys: &[&str]) -> Setup {
    let list = keys.join(", ");
    Setup::from(
        format!("tokens: {{ issuer: \"http://localhost:8080\", audience: portcullis, keys: [{list}] }}")
            .as_str(),
    )
}

async fn jwks(gw: &Gateway) -> Value {
    let response = gw.anonymous().get("/.well-known/jwks.json").await;
    assert_eq!(response.status(), 200);
    response.json().await.expect("a JWK set is JSON")
}

/// Registers, logs in, calls; and verifies the token as a backend would that has nothing but the
/// published keys.
async fn works_from_registration_to_the_backend(key: PrivateKey) {
    let gw = signing_with(&key).await;
    let alice = gw.register("alice").await;

    assert_eq!(alice.get("/protected").await.status(), 200);
    alice.refresh().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
    assert_eq!(
        forge::decode(&alice.token(), 0),
        json!({ "alg": key.algorithm(), "kid": "new", "typ": "at+jwt" })
    );
    let published = jwks(&gw).await;
    let keys = published["keys"].as_array().expect("a list of keys");
    assert_eq!(keys.len(), 1);
    check_public(&keys[0], key.algorithm());
    assert!(verifies(&keys[0], &alice.token()));
    assert!(!verifies(&keys[0], &tampered(&alice.token())));
    let refused =
        [("tampered", tampered(&alice.token())), ("by another key", forge::token(&header(), &claims()))];
    assert_refused(&gw, &alice.token(), "token_invalid", &refused).await;
}

/// Names the key and its use, and holds no private member (RFC 7518 §6).
fn check_public(jwk: &Value, algorithm: &str) {
    let members = jwk.as_object().expect("a key is an object");
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert!(!members.contains_key(private), "`{private}` was published");
    }
    assert_eq!((&jwk["kid"], &jwk["use"], &jwk["alg"]), (&json!("new"), &json!("sig"), &json!(algorithm)));
}

/// By the published members alone.
fn verifies(jwk: &Value, token: &str) -> bool {
    let (message, signature) = token.rsplit_once('.').expect("three segments");
    let signature = base64url(signature);
    let member = |name: &str| base64url(jwk[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {jwk}")));
    let message = message.as_bytes();
    match (jwk["kty"].as_str(), jwk["crv"].as_str()) {
        (Some("RSA"), None) => RsaPublicKeyComponents { n: member("n"), e: member("e") }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, &signature)
            .is_ok(),
        (Some("EC"), Some("P-256")) => {
            let point = [&[4], &member("x")[..], &member("y")].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &signature).is_ok()
        }
        (Some("OKP"), Some("Ed25519")) => {
            UnparsedPublicKey::new(&ED25519, member("x")).verify(message, &signature).is_ok()
        }
        other => panic!("{other:?} is no kind of key that we publish"),
    }
}

fn base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url without padding")
}

/// The same token with an admin's claims.
fn tampered(token: &str) -> String {
    let mut segments: Vec<String> = token.split('.').map(str::to_owned).collect();
    segments[1] = forge::encode(forge::with(forge::decode(token, 1), "roles", json!(["admin"])).to_string());
    segments.join(".")
}

#[tokio::test]
async fn rs256_works_from_registration_to_the_backend() {
    works_from_registration_to_the_backend(PrivateKey::rsa()).await;
}

#[tokio::test]
async fn es256_works_from_registration_to_the_backend() {
    works_from_registration_to_the_backend(PrivateKey::p256()).await;
}

#[tokio::test]
async fn eddsa_works_from_registration_to_the_backend() {
    works_from_registration_to_the_backend(PrivateKey::ed25519()).await;
}

#[tokio::test]
async fn hs256_works_and_its_secret_is_not_published() {
    let gw = harness::gateway(keys(&[OLD])).await;
    let alice = gw.register("alice").await;

    assert_eq!(alice.get("/protected").await.status(), 200);
    assert_eq!(forge::decode(&alice.token(), 0), header());
    assert_eq!(jwks(&gw).await, json!({ "keys": [] }));
}

#[tokio::test]
async fn without_a_configured_key_one_is_generated_and_kept() {
    let gw = harness::gateway(keys(&[])).await;
    let alice = gw.register("alice").await;
    assert_eq!(alice.get("/protected").await.status(), 200);

    gw.restart().await;

    assert_eq!(alice.get("/protected").await.status(), 200);
    alice.refresh().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
    let forged = [("by another secret", forge::token(&header(), &claims()))];
    assert_refused(&gw, &alice.token(), "token_invalid", &forged).await;
}

#[tokio::test]
async fn the_first_key_signs_and_all_verify() {
    let new = PrivateKey::p256();
    let listed_first = r#"{ id: new, algorithm: ES256, key: "${PEM}" }"#;
    let gw = harness::gateway(keys(&[listed_first, OLD]).env("PEM", new.pem())).await;
    let alice = gw.register("alice").await;

    assert_eq!(forge::decode(&alice.token(), 0)["kid"], "new");
    assert_eq!(alice.get("/protected").await.status(), 200);
    let by_the_second = forge::token(&header(), &claims());
    assert_eq!(gw.anonymous().present(&by_the_second, "/protected").await.status, 200);
    let published = jwks(&gw).await;
    assert_eq!(published["keys"].as_array().map(Vec::len), Some(1), "only the public one");
}

#[tokio::test]
async fn keys_are_rotated_without_logging_anybody_out() {
    let new = PrivateKey::ed25519();
    let listed = r#"{ id: new, algorithm: EdDSA, key: "${PEM}" }"#;
    let gw = harness::gateway(keys(&[OLD]).env("PEM", new.pem())).await;
    let alice = gw.register("alice").await;
    let old_token = alice.token();

    assert_eq!(gw.reload(keys(&[listed, OLD])).await, Reload::InForce);
    assert_eq!(alice.get("/protected").await.status(), 200);
    alice.refresh().await;
    assert_eq!(forge::decode(&alice.token(), 0)["kid"], "new");
    assert_eq!(gw.reload(keys(&[listed])).await, Reload::InForce);

    assert_eq!(alice.get("/protected").await.status(), 200);
    assert_refused(&gw, &alice.token(), "token_invalid", &[("by the removed key", old_token)]).await;
}
