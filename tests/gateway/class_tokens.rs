//! Attack classes 1 to 6: tokens whose signature isn't one by a key of ours.

use serde_json::{Value, json};

use crate::forge::{self, PrivateKey, claims, encode, header, with};
use crate::harness::{self, Gateway, SECRET, Setup};
use crate::refusal::assert_refused;

fn good() -> String {
    forge::token(&header(), &claims())
}

/// Header and payload of a good token but for its `alg`, without a signature.
fn unsigned(alg: &str) -> String {
    let header = with(header(), "alg", alg);
    format!("{}.{}", encode(header.to_string()), encode(claims().to_string()))
}

/// Keys of every asymmetric kind, `rsa`, `p256` and `ed25519`.
struct PublicKeys {
    gw: Gateway,
    keys: [(&'static str, PrivateKey); 3],
}

impl PublicKeys {
    async fn start() -> Self {
        let keys =
            [("rsa", PrivateKey::rsa()), ("p256", PrivateKey::p256()), ("ed25519", PrivateKey::ed25519())];
        let mut setup = Setup::from(
            r#"
            tokens:
              issuer: http://localhost:8080
              audience: portcullis
              keys:
                - { id: rsa, algorithm: RS256, key: "${PEM_rsa}" }
                - { id: p256, algorithm: ES256, key: "${PEM_p256}" }
                - { id: ed25519, algorithm: EdDSA, key: "${PEM_ed25519}" }
            "#,
        );
        for (id, key) in &keys {
            setup = setup.env(&format!("PEM_{id}"), key.pem());
        }
        Self { gw: harness::gateway(setup).await, keys }
    }

    fn good(&self) -> String {
        let (id, key) = &self.keys[0];
        key.token(&header_of(id, key.algorithm()), &claims())
    }
}

fn header_of(id: &str, algorithm: &str) -> Value {
    json!({ "alg": algorithm, "kid": id, "typ": "at+jwt" })
}

#[tokio::test]
async fn class_1_a_token_without_a_signature_is_refused() {
    let gw = harness::gateway("").await;
    let none =
        |alg| ("alg none with a signature of ours", forge::token(&with(header(), "alg", alg), &claims()));
    let invalid = [
        none("none"),
        none("None"),
        none("NONE"),
        none("nOnE"),
        none(""),
        ("alg none with a signature of nobody", format!("{}.AAAA", unsigned("none"))),
        ("a null signature", format!("{}.{}", unsigned("HS256"), encode("null"))),
        ("a null byte for a signature", format!("{}.AA", unsigned("HS256"))),
        ("no alg", forge::token(&forge::without(header(), "alg"), &claims())),
        ("alg null", forge::token(&with(header(), "alg", Value::Null), &claims())),
    ];
    let malformed = [
        ("alg none, empty signature", format!("{}.", unsigned("none"))),
        ("alg none, no third segment", unsigned("none")),
        ("alg HS256, empty signature", format!("{}.", unsigned("HS256"))),
        ("alg HS256, no third segment", unsigned("HS256")),
    ];

    assert_refused(&gw, &good(), "token_invalid", &invalid).await;
    assert_refused(&gw, &good(), "token_malformed", &malformed).await;
}

#[tokio::test]
async fn class_2_a_public_key_is_no_secret_for_hmac() {
    let PublicKeys { gw, keys } = &PublicKeys::start().await;
    let jwks: Value = gw.anonymous().get("/.well-known/jwks.json").await.json().await.expect("JSON");
    let mut cases = Vec::new();
    for (index, (id, key)) in keys.iter().enumerate() {
        let spki = key.public_der();
        let pem = forge::pem("PUBLIC KEY", &spki);
        let secrets = [
            ("a PEM", pem.clone().into_bytes()),
            ("a PEM without its last newline", pem.trim_end().to_owned().into_bytes()),
            ("a PEM on one line", pem.replace('\n', "").into_bytes()),
            ("a PEM of the raw key", forge::pem("RSA PUBLIC KEY", &key.public_raw()).into_bytes()),
            ("SubjectPublicKeyInfo", spki),
            ("the raw key", key.public_raw()),
            ("its JWK", jwks["keys"][index].to_string().into_bytes()),
            ("the whole JWK set", jwks.to_string().into_bytes()),
        ];
        for (form, secret) in secrets {
            cases.push((form, forge::sign(&secret, &header_of(id, "HS256"), &claims())));
            cases.push((form, forge::sign(&secret, &header_of(id, key.algorithm()), &claims())));
        }
    }

    assert_refused(gw, &keys[0].1.token(&header_of("rsa", "RS256"), &claims()), "token_invalid", &cases)
        .await;
}

#[tokio::test]
async fn class_3_the_token_does_not_choose_the_algorithm() {
    let keys = PublicKeys::start().await;
    let mut cases = Vec::new();
    for (id, key) in &keys.keys {
        for (other_id, other) in keys.keys.iter().filter(|(other_id, _)| other_id != id) {
            cases.push(("another key's id", key.token(&header_of(other_id, key.algorithm()), &claims())));
            cases.push(("another key's algorithm", key.token(&header_of(id, other.algorithm()), &claims())));
            cases
                .push(("both of another key", key.token(&header_of(other_id, other.algorithm()), &claims())));
        }
        for alg in ["PS256", "RS512", "ES384", "ES256K", "Ed25519", "rs256", "HS256", "none"] {
            cases.push(("an algorithm that no key has", key.token(&header_of(id, alg), &claims())));
        }
    }

    assert_refused(&keys.gw, &keys.good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_3_a_shared_secret_verifies_under_its_own_algorithm_only() {
    let gw = harness::gateway("").await;
    let labelled = |alg: &'static str| (alg, forge::token(&with(header(), "alg", alg), &claims()));
    let cases = ["HS384", "HS512", "hs256", "HS256 ", "RS256", "ES256", "EdDSA", "dir"].map(labelled);
    let list = forge::token(&with(header(), "alg", json!(["HS256"])), &claims());

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
    assert_refused(&gw, &good(), "token_invalid", &[("alg in a list", list)]).await;
}

#[tokio::test]
async fn class_4_and_5_guessed_secrets_sign_nothing() {
    let gw = harness::gateway("").await;
    let secrets: [&[u8]; 8] = [
        b"",
        b"\0",
        b"null",
        b"secret",
        b"your-256-bit-secret",
        b"changeme",
        &[0; 32],
        SECRET.trim_end_matches("production").as_bytes(),
    ];
    let cases = secrets.map(|secret| ("a guessed secret", forge::sign(secret, &header(), &claims())));

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_4_and_5_a_gateway_with_a_weak_secret_does_not_start() {
    let gw = harness::gateway("").await;
    let yaml = std::fs::read_to_string(gw.home().join("gateway.yaml")).expect("the gateway runs by it");
    let weak = [
        "",
        "   ",
        "short",
        "secret",
        "your-256-bit-secret",
        "your-256-bit-secret-your-256-bit-secret",
        "changeme-changeme-changeme-changeme",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "01234567890123456789012345678901",
        // RFC 7515 §A.1: printed in the standard, and in every library's tests.
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "-----BEGIN PUBLIC KEY-----MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE-----END PUBLIC KEY-----",
    ];
    for secret in weak {
        let changed = yaml.replace("${TOKEN_SECRET}", secret);
        assert_ne!(changed, yaml);
        std::fs::write(gw.home().join("weak.yaml"), changed).expect("the folder is writable");

        let output = gw.cli(&["serve", "--config", "weak.yaml"]);

        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{secret:?}: {said}");
        assert!(said.contains("tokens.keys[0]"), "{secret:?}: {said}");
        assert!(secret.len() < 16 || !said.contains(secret), "the secret was printed: {said}");
    }
}

#[tokio::test]
async fn class_6_a_cut_extended_or_foreign_signature_is_refused() {
    let gw = harness::gateway("").await;
    let good = good();
    let (message, signature) = good.rsplit_once('.').expect("three segments");
    let other = forge::claiming("preferred_username", "somebody-else");
    let foreign = other.rsplit_once('.').expect("three segments").1;
    let signed_by = |bytes: &[u8]| format!("{message}.{}", encode(bytes));
    let invalid = [
        ("32 zero bytes", signed_by(&[0; 32])),
        ("one zero byte", signed_by(&[0])),
        ("4000 zero bytes", signed_by(&[0; 4000])),
        ("cut to 16 bytes", format!("{message}.{}", encode(&decoded(signature)[..16]))),
        ("one byte less", format!("{message}.{}", encode(&decoded(signature)[..31]))),
        ("one byte more", format!("{message}.{}", encode([&decoded(signature)[..], b"\0"].concat()))),
        ("twice", format!("{message}.{}", encode(decoded(signature).repeat(2)))),
        ("of another token", format!("{message}.{foreign}")),
        ("as hexadecimal", signed_by(hex(&decoded(signature)).as_bytes())),
        ("as base64 of base64", signed_by(signature.as_bytes())),
        ("payload of another token", spliced(&good, &other)),
    ];

    assert_refused(&gw, &good, "token_invalid", &invalid).await;
}

#[tokio::test]
async fn class_6_blank_and_differently_encoded_public_key_signatures_are_refused() {
    let keys = PublicKeys::start().await;
    let mut cases = Vec::new();
    for (id, key) in &keys.keys {
        let good = key.token(&header_of(id, key.algorithm()), &claims());
        let (message, signature) = good.rsplit_once('.').expect("three segments");
        let signature = decoded(signature);
        let length = signature.len();
        let mut one = vec![0; length];
        one[length / 2 - 1] = 1;
        one[length - 1] = 1;
        let forms = [
            ("all zero", vec![0; length]),
            ("r and s are one", one),
            ("all ones", vec![0xff; length]),
            ("empty but for one byte", vec![0]),
            ("cut", signature[..length - 1].to_vec()),
            ("extended", [&signature[..], b"\0"].concat()),
            ("in DER", der_sequence(&signature)),
            ("halves swapped", [&signature[length / 2..], &signature[..length / 2]].concat()),
        ];
        cases.extend(forms.map(|(form, bytes)| (form, format!("{message}.{}", encode(bytes)))));
    }

    assert_refused(&keys.gw, &keys.good(), "token_invalid", &cases).await;
}

fn decoded(signature: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).expect("base64url")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Header and signature of one token around the payload of another.
fn spliced(outside: &str, inside: &str) -> String {
    let mut segments: Vec<&str> = outside.split('.').collect();
    segments[1] = inside.split('.').nth(1).expect("three segments");
    segments.join(".")
}

/// r and s as X9.62 wants them, which JWS doesn't.
fn der_sequence(signature: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let half = [&[0], half].concat();
        [&[0x02, half.len() as u8][..], &half].concat()
    };
    let (r, s) = signature.split_at(signature.len() / 2);
    let body = [integer(r), integer(s)].concat();
    [&[0x30, body.len() as u8][..], &body].concat()
}
