//! The token verifier against vectors written by others: Wycheproof and the RFCs. See
//! `tests/data/README.md` for where they come from.
//!
//! Their payloads are mostly not claims, so that they meet the signature layer below the claims.
//! Their keys are JWKs.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use portcullis::config::policy::{KeyMaterial, SigningAlgorithm, TokenKey, Tokens};
use portcullis::identity::secret::Secret;
use portcullis::identity::token::jws::{VerifyingKey, verify_signature};
use portcullis::identity::token::{KeyRing, TokenError};
use serde_json::Value;

/// Where we deliberately differ from the vector's own verdict, by `tcId`.
type Exceptions = HashMap<u64, &'static str>;

fn read(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path);
    serde_json::from_slice(&fs::read(path).expect("a readable file")).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = text(value);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

/// The algorithms of ours and of other issuers; tokens of any other must be refused, however right they are.
const SUPPORTED: [&str; 10] =
    ["HS256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// The key, if it is one for signatures. Our configuration has no place for any other use.
fn verifying_key(jwk: &Value) -> Option<VerifyingKey> {
    let is_for_signing = jwk["use"].as_str().is_none_or(|usage| usage == "sig")
        && jwk["key_ops"].as_array().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let algorithm = text(&jwk["alg"]).parse().ok().filter(|_| is_for_signing)?;
    let key = DecodingKey::from_jwk(&serde_json::from_value(jwk.clone()).ok()?).ok()?;
    Some(VerifyingKey { id: text(&jwk["kid"]).to_owned(), algorithm, key })
}

/// The JWKs of a group: one, or a set.
fn jwks(group: &Value) -> &[Value] {
    let found = if group["public"].is_null() { &group["private"] } else { &group["public"] };
    found["keys"].as_array().map_or(std::slice::from_ref(found), Vec::as_slice)
}

/// The same keys, if a key ring accepts the shared secrets among them.
fn jwks_fit_for_a_ring(group: &Value) -> &[Value] {
    let shared: Vec<TokenKey> = jwks(group).iter().filter(|jwk| jwk["kty"] == "oct").map(token_key).collect();
    match shared.is_empty() || KeyRing::new(&tokens(shared)).is_ok() {
        true => jwks(group),
        false => &[],
    }
}

fn token_key(jwk: &Value) -> TokenKey {
    // One of the keys has unused bits set; it is its length that matters here.
    let lenient = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
    let secret = lenient.decode(text(&jwk["k"])).expect("base64url");
    TokenKey {
        id: text(&jwk["kid"]).to_owned(),
        algorithm: SigningAlgorithm::HS256,
        material: KeyMaterial::Shared(Secret::new(secret)),
    }
}

fn tokens(keys: Vec<TokenKey>) -> Tokens {
    Tokens {
        issuer: "issuer".to_owned(),
        audience: "audience".to_owned(),
        access_ttl: Duration::from_secs(60),
        refresh_ttl: Duration::from_secs(60),
        session_ttl: Duration::from_secs(60),
        max_sessions: 100,
        refresh_window: Duration::from_secs(10),
        leeway: Duration::from_secs(0),
        max_size: 8192,
        client_id: "portcullis".to_owned(),
        keys,
    }
}

/// Runs every JWS of a Wycheproof file; the answer must be the vector's, or for an exception the
/// opposite. Gives the number of tokens accepted.
fn run_jws(file: &str, jwks_of: fn(&Value) -> &[Value], exceptions: &Exceptions) -> usize {
    let file = read(file);
    let mut accepted = 0;
    let mut unmet = exceptions.clone();
    for group in list(&file["testGroups"]) {
        let is_supported = jwks(group).iter().any(|jwk| SUPPORTED.contains(&text(&jwk["alg"])));
        let keys: Vec<_> = jwks_of(group).iter().filter_map(verifying_key).collect();
        for test in list(&group["tests"]).iter().filter(|test| test["jws"].is_string()) {
            let id = test["tcId"].as_u64().expect("a number");
            let is_exception = unmet.remove(&id).is_some();
            let expected = (test["result"] == "valid" && is_supported) != is_exception;

            let answer = keys.iter().any(|key| verify_signature(key, text(&test["jws"])).is_ok());

            assert_eq!(answer, expected, "{} tcId {id}: {}", group["comment"], test["comment"]);
            accepted += usize::from(answer);
        }
    }
    assert!(unmet.is_empty(), "exceptions that weren't met: {unmet:?}");
    accepted
}

#[test]
fn wycheproof_signatures() {
    let exceptions = Exceptions::from([
        (259, "an access token has claims: an empty payload is refused"),
        (264, "likewise"),
        (268, "likewise"),
        (272, "likewise"),
        (320, "likewise"),
        (325, "likewise"),
        (346, "its key is for PS256 and its header says PS384: a key is good for one algorithm"),
        (350, "likewise"),
        (367, "upstream lost the padding: byte for byte the valid token of tcId 357"),
        (370, "likewise"),
        (372, "RFC 7515 §2 allows no `?` in base64url"),
        (373, "likewise"),
    ]);

    let accepted = run_jws("wycheproof/json_web_signature_test.json", jwks, &exceptions);

    assert_eq!(accepted, 36);
}

#[test]
fn wycheproof_keys() {
    let exceptions = Exceptions::from([
        (1, "keys of both kinds may stand side by side: each is pinned to its kid and algorithm"),
        (7, "keys come from the operator, not from strangers; the ROCA fingerprint isn't looked for"),
        (23, "the curve's name in a JWK is ignored by its parser; ours come as PEM, which names it once"),
    ]);

    let accepted = run_jws("wycheproof/json_web_key_test.json", jwks_fit_for_a_ring, &exceptions);

    assert_eq!(accepted, 6);
}

#[test]
fn wycheproof_mixed_up_jws_and_jwe() {
    let exceptions = Exceptions::from([(46, "as tcId 7 of the keys"), (47, "as tcId 1 of the keys")]);

    let accepted = run_jws("wycheproof/json_web_crypto_test.json", jwks_fit_for_a_ring, &exceptions);

    assert_eq!(accepted, 6);
}

#[test]
fn every_encrypted_token_is_refused() {
    let secret = "pJ4w0cQy1mX8tR5uVb2NfKq7sLz9dHgAeYxCoWiTnMk";
    let mut seen = 0;

    for file in ["wycheproof/json_web_encryption_test.json", "wycheproof/json_web_crypto_test.json"] {
        for group in list(&read(file)["testGroups"]) {
            let key = VerifyingKey {
                id: text(&group["private"]["kid"]).to_owned(),
                algorithm: Algorithm::HS256,
                key: DecodingKey::from_secret(secret.as_bytes()),
            };
            for test in list(&group["tests"]).iter().filter(|test| test["jwe"].is_string()) {
                let refused = verify_signature(&key, text(&test["jwe"])).unwrap_err();
                assert!(matches!(refused, TokenError::Malformed | TokenError::Invalid), "{}", test["tcId"]);
                seen += 1;
            }
        }
    }

    assert!(seen > 139, "only {seen} were seen");
}

/// One case of a primitive: whether the signature is right by the vector, and by us.
fn run_primitive(file: &str, key_of: impl Fn(&Value, &Value) -> (Algorithm, DecodingKey), signature: &str) {
    let mut valid = 0;
    for group in list(&read(file)["testGroups"]) {
        for test in list(&group["tests"]) {
            let (algorithm, key) = key_of(group, test);
            let key = VerifyingKey { id: String::new(), algorithm, key };
            // Upstream also tests MACs cut to half their length; we take whole ones only.
            let is_cut = group["tagSize"].as_u64().is_some_and(|bits| bits < 256);
            let expected = test["result"] == "valid" && !is_cut;

            let answer = key.verify(&hex(&test["msg"]), &URL_SAFE_NO_PAD.encode(hex(&test[signature])));

            assert_eq!(answer.is_ok(), expected, "{file} tcId {}: {}", test["tcId"], test["comment"]);
            valid += usize::from(expected);
        }
    }
    assert!(valid > 0, "{file} has no valid signature");
}

#[test]
fn wycheproof_primitives() {
    let hmac = |_: &Value, test: &Value| (Algorithm::HS256, DecodingKey::from_secret(&hex(&test["key"])));
    let ecdsa = |group: &Value, _: &Value| {
        (Algorithm::ES256, DecodingKey::from_ec_der(&hex(&group["publicKey"]["uncompressed"])))
    };
    let ed25519 = |group: &Value, _: &Value| {
        (Algorithm::EdDSA, DecodingKey::from_ed_der(&hex(&group["publicKey"]["pk"])))
    };
    let rsa = |group: &Value, _: &Value| {
        (Algorithm::RS256, DecodingKey::from_rsa_der(&hex(&group["publicKeyAsn"])))
    };

    run_primitive("wycheproof/hmac_sha256_test.json", hmac, "tag");
    run_primitive("wycheproof/ecdsa_secp256r1_sha256_p1363_test.json", ecdsa, "sig");
    run_primitive("wycheproof/ed25519_test.json", ed25519, "sig");
    run_primitive("wycheproof/rsa_signature_2048_sha256_test.json", rsa, "sig");
}

#[test]
fn rfc_7520_signatures() {
    let accepted = |payload| Some(Ok(payload));
    let no_such_algorithm = |_| None;
    type Expected = fn(Vec<u8>) -> Option<Result<Vec<u8>, TokenError>>;
    let examples: [(&str, Expected); 4] = [
        ("rfc7520/4_1.rsa_v15_signature.json", accepted),
        ("rfc7520/4_2.rsa-pss_signature.json", accepted),
        ("rfc7520/4_3.ecdsa_signature.json", no_such_algorithm),
        ("rfc7520/4_4.hmac-sha2_integrity_protection.json", accepted),
    ];

    for (file, expected) in examples {
        let example = read(file);
        let mut jwk = example["input"]["key"].clone();
        jwk["alg"] = example["input"]["alg"].clone();
        let token = text(&example["output"]["compact"]);

        let payload = verifying_key(&jwk).map(|key| verify_signature(&key, token));

        let said = text(&example["input"]["payload"]).as_bytes().to_vec();
        assert_eq!(payload, expected(said), "{file}");
    }
}

#[test]
fn a_payload_that_is_not_encoded_is_refused() {
    for file in ["rfc7797/4.2.hmac-sha2_b64_false.json", "rfc7797/hmac-sha2_b64_false.json"] {
        let example = read(file);
        let key = verifying_key(&example["input"]["key"]).unwrap();
        let flat = &example["output"]["json_flat"];
        let header = URL_SAFE_NO_PAD.decode(text(&flat["protected"])).unwrap();
        let token = [&flat["protected"], &flat["payload"], &flat["signature"]].map(text).join(".");

        assert!(String::from_utf8(header).unwrap().contains(r#""b64":false"#), "{file}");
        assert!(verify_signature(&key, &token).is_err(), "{file}");
    }
}

/// The RFCs' own examples carry no `kid`, without which a token of ours is refused: their
/// signatures are checked below that.
#[test]
fn rfc_7515_and_8037_examples() {
    let hs256 = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let ed25519 = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let examples = [
        (
            Algorithm::HS256,
            DecodingKey::from_secret(&URL_SAFE_NO_PAD.decode(hs256).unwrap()),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            Algorithm::EdDSA,
            DecodingKey::from_ed_components(ed25519).unwrap(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];

    for (algorithm, key, message, signature) in examples {
        let key = VerifyingKey { id: String::new(), algorithm, key };
        assert_eq!(key.verify(message.as_bytes(), signature), Ok(()));
        assert_eq!(verify_signature(&key, &format!("{message}.{signature}")), Err(TokenError::Invalid));
    }
}
