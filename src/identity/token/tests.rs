//! What a verifier owes, by the attack classes of RFC 8725 and the published advisories.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::config::policy::{KeyMaterial, SigningAlgorithm, TokenKey};

const SECRET: &str = "pJ4w0cQy1mX8tR5uVb2NfKq7sLz9dHgAeYxCoWiTnMk";
const OTHER_SECRET: &str = "Zr3vT8yLq0XwE5nB1cKj6GfHs9UaMdPoIt2RiVb7NxQ";
const ISSUED: u64 = 1_800_000_000;
const EXPIRES: u64 = ISSUED + 900;

fn at(seconds: u64) -> Timestamp {
    DateTime::from_timestamp(seconds as i64, 0).unwrap()
}

fn hs256(id: &str, secret: &str) -> TokenKey {
    key(id, SigningAlgorithm::HS256, KeyMaterial::Shared(Secret::new(secret)))
}

fn key(id: &str, algorithm: SigningAlgorithm, material: KeyMaterial) -> TokenKey {
    TokenKey { id: id.to_owned(), algorithm, material }
}

fn private(label: &str, der: &[u8]) -> KeyMaterial {
    let body = STANDARD.encode(der);
    KeyMaterial::PrivatePem(Secret::new(format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")))
}

fn rs256(id: &str) -> TokenKey {
    let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    key(id, SigningAlgorithm::RS256, private("PRIVATE KEY", der.as_ref()))
}

fn es256(id: &str) -> TokenKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    key(id, SigningAlgorithm::ES256, private("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()))
}

fn eddsa(id: &str) -> TokenKey {
    let pair = Ed25519KeyPair::generate().unwrap();
    key(id, SigningAlgorithm::EdDSA, private("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()))
}

fn tokens(keys: Vec<TokenKey>) -> Tokens {
    Tokens {
        issuer: "https://gateway.example".to_owned(),
        audience: "portcullis".to_owned(),
        access_ttl: Duration::from_secs(900),
        refresh_ttl: Duration::from_secs(3600),
        session_ttl: Duration::from_secs(7200),
        refresh_window: Duration::from_secs(10),
        leeway: Duration::from_secs(30),
        keys,
    }
}

fn ring() -> KeyRing {
    KeyRing::new(&tokens(vec![hs256("k1", SECRET)])).unwrap()
}

fn alice() -> Identity {
    Identity {
        user_id: Uuid::from_u128(1),
        username: "alice".to_owned(),
        email: Some("alice@example.org".to_owned()),
        roles: vec!["user".to_owned(), "team:billing".to_owned()],
        scopes: vec!["read".to_owned(), "write".to_owned()],
        session_id: Uuid::from_u128(2),
        token_id: Uuid::from_u128(3),
        version: 4,
        issued_at: ISSUED,
        expires_at: EXPIRES,
    }
}

fn header() -> Value {
    json!({ "typ": "at+jwt", "alg": "HS256", "kid": "k1" })
}

fn claims() -> Value {
    json!({
        "iss": "https://gateway.example", "sub": Uuid::from_u128(1), "aud": "portcullis",
        "exp": EXPIRES, "iat": ISSUED, "jti": Uuid::from_u128(3), "sid": Uuid::from_u128(2), "ver": 4,
        "roles": ["user"], "preferred_username": "alice",
    })
}

/// `base` with one member set.
fn with(mut base: Value, member: &str, value: Value) -> Value {
    base[member] = value;
    base
}

/// A token with a right signature, whatever it says.
fn signed(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signing = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &signing, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn answer(header: &Value, claims: &Value) -> Result<Identity, TokenError> {
    ring().verify(&signed(&header.to_string(), &claims.to_string()), at(ISSUED + 1))
}

#[test]
fn every_algorithm_verifies_what_it_mints() {
    for configured in [hs256("k", SECRET), rs256("k"), es256("k"), eddsa("k")] {
        let ring = KeyRing::new(&tokens(vec![configured.clone()])).unwrap();

        let token = ring.mint(&alice());

        assert_eq!(ring.verify(&token, at(ISSUED)), Ok(alice()), "{:?}", configured.algorithm);
        let other = KeyRing::new(&tokens(vec![hs256("k", OTHER_SECRET)])).unwrap();
        assert_eq!(other.verify(&token, at(ISSUED)), Err(TokenError::Invalid));
    }
}

#[test]
fn the_first_key_signs_and_all_verify() {
    let old = KeyRing::new(&tokens(vec![hs256("old", SECRET)])).unwrap();
    let both = KeyRing::new(&tokens(vec![es256("new"), hs256("old", SECRET)])).unwrap();

    assert_eq!(both.verify(&old.mint(&alice()), at(ISSUED)), Ok(alice()));
    assert_eq!(both.verify(&both.mint(&alice()), at(ISSUED)), Ok(alice()));
    assert_eq!(old.verify(&both.mint(&alice()), at(ISSUED)), Err(TokenError::Invalid));
}

#[test]
fn headers_in_another_spelling_are_read_by_their_meaning() {
    for good in [
        header(),
        with(header(), "typ", json!("AT+JWT")),
        with(header(), "typ", json!("application/at+jwt")),
        // Class 8: keys and addresses of keys in the header are not even looked at.
        with(header(), "jku", json!("https://attacker.example/jwks")),
        with(header(), "x5u", json!(7)),
        with(header(), "jwk", json!({ "kty": "oct", "k": "AA" })),
        with(header(), "x5c", json!(["AA"])),
    ] {
        assert!(answer(&good, &claims()).is_ok(), "{good}");
    }
}

#[test]
fn headers_that_are_not_ours_are_invalid() {
    for bad in [
        // Classes 1 and 3: the header selects no algorithm.
        with(header(), "alg", json!("none")),
        with(header(), "alg", json!("None")),
        with(header(), "alg", json!("hs256")),
        with(header(), "alg", json!("HS384")),
        with(header(), "alg", json!("RS256")),
        with(header(), "alg", json!(["HS256"])),
        with(header(), "alg", Value::Null),
        // Class 7: a kid is compared, nothing else.
        with(header(), "kid", json!("K1")),
        with(header(), "kid", json!("")),
        with(header(), "kid", json!("../../../../dev/null")),
        with(header(), "kid", json!("k1' OR '1'='1")),
        with(header(), "kid", json!(1)),
        with(header(), "kid", Value::Null),
        // Classes 9 and 14.
        with(header(), "crit", json!(["exp"])),
        with(header(), "crit", json!([])),
        with(header(), "crit", Value::Null),
        with(header(), "b64", json!(false)),
        with(header(), "b64", json!(true)),
        with(header(), "zip", json!("DEF")),
        with(header(), "enc", json!("A256GCM")),
        // Class 16: other kinds of JWT.
        with(header(), "typ", json!("JWT")),
        with(header(), "typ", json!("rt+jwt")),
        with(header(), "typ", json!("")),
        with(header(), "typ", Value::Null),
        json!({ "alg": "HS256", "kid": "k1" }),
        json!({ "alg": "HS256", "typ": "at+jwt" }),
        json!({ "kid": "k1", "typ": "at+jwt" }),
        json!(["HS256", "k1", "at+jwt"]),
        json!("HS256"),
    ] {
        assert_eq!(answer(&bad, &claims()), Err(TokenError::Invalid), "{bad}");
    }
}

#[test]
fn claims_of_a_wrong_type_are_never_taken_as_absent() {
    for (member, wrong) in [
        ("exp", json!("1800000900")),
        ("exp", json!(1.8e9)),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("iat", json!("1800000000")),
        ("iat", Value::Null),
        ("iat", json!([])),
        ("nbf", json!("x")),
        ("nbf", Value::Null),
        ("nbf", json!(true)),
        ("nbf", json!(1.5)),
        ("iss", json!(["https://gateway.example"])),
        ("iss", json!(1)),
        ("aud", json!(1)),
        ("aud", json!({ "portcullis": true })),
        ("aud", json!([1, "portcullis"])),
        ("aud", Value::Null),
        ("sub", json!("alice")),
        ("sub", json!(1)),
        ("jti", json!("1")),
        ("sid", Value::Null),
        ("ver", json!("4")),
        ("ver", json!(-4)),
        ("roles", json!("admin")),
        ("roles", json!({ "admin": true })),
        ("roles", json!([["admin"]])),
        ("roles", Value::Null),
        ("preferred_username", json!(1)),
        ("email", Value::Null),
        ("email", json!(["a@b"])),
        ("scope", json!(["read"])),
        ("scope", Value::Null),
    ] {
        let claims = with(claims(), member, wrong);
        assert_eq!(answer(&header(), &claims), Err(TokenError::Invalid), "{claims}");
    }
}

#[test]
fn every_claim_but_nbf_email_and_scope_is_required() {
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "sid", "ver", "roles", "preferred_username"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(answer(&header(), &claims), Err(TokenError::Invalid), "{name}");
    }
    assert!(answer(&header(), &claims()).is_ok());
}

#[test]
fn issuer_and_audience_match_exactly() {
    for iss in ["https://gateway.example/", "https://gateway.example.attacker", "HTTPS://gateway.example", ""]
    {
        assert_eq!(answer(&header(), &with(claims(), "iss", json!(iss))), Err(TokenError::Invalid), "{iss}");
    }
    for aud in [
        json!("portcullis2"),
        json!("port"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!("other portcullis"),
    ] {
        assert_eq!(answer(&header(), &with(claims(), "aud", aud.clone())), Err(TokenError::Invalid), "{aud}");
    }
    assert!(answer(&header(), &with(claims(), "aud", json!(["other", "portcullis"]))).is_ok());
}

#[test]
fn nothing_that_would_change_in_a_header_gets_through() {
    for role in [
        "user,admin",
        "user\nadmin",
        "user\r\nX-Admin: 1",
        "user\0",
        "Admin",
        "",
        " admin",
        "ad min",
        "ädmin",
    ] {
        assert_eq!(
            answer(&header(), &with(claims(), "roles", json!([role]))),
            Err(TokenError::Invalid),
            "{role:?}"
        );
    }
    for text in ["a,b", "a\r\nb", "a\0", "", "a b", "a\u{7f}", "ä"] {
        for member in ["preferred_username", "email"] {
            assert_eq!(
                answer(&header(), &with(claims(), member, json!(text))),
                Err(TokenError::Invalid),
                "{text:?}"
            );
        }
    }
    for scope in ["", " ", "read  write", "read\nwrite", "a,b"] {
        assert_eq!(
            answer(&header(), &with(claims(), "scope", json!(scope))),
            Err(TokenError::Invalid),
            "{scope:?}"
        );
    }
}

#[test]
fn an_address_that_fits_no_header_is_left_out_rather_than_locking_its_owner_out() {
    let identity = Identity { email: Some("ä@example.org".to_owned()), ..alice() };

    let read = ring().verify(&ring().mint(&identity), at(ISSUED)).unwrap();

    assert_eq!(read, Identity { email: None, ..alice() });
}

#[test]
fn names_that_occur_twice_are_refused() {
    let good_header = header().to_string();
    let good_claims = claims().to_string();
    let twice = |json: &str, member: &str| json.replacen('{', &format!("{{{member},"), 1);

    for (header, claims) in [
        (twice(&good_header, r#""alg":"HS256""#), good_claims.clone()),
        (twice(&good_header, r#""x":1,"x":1"#), good_claims.clone()),
        (good_header.clone(), twice(&good_claims, r#""exp":9999999999"#)),
        (good_header.clone(), twice(&good_claims, r#""role\u0073":["admin"]"#)),
        (good_header.clone(), twice(&good_claims, r#""x":{"y":1,"y":2}"#)),
    ] {
        assert_eq!(
            ring().verify(&signed(&header, &claims), at(ISSUED)),
            Err(TokenError::Invalid),
            "{header} {claims}"
        );
    }
    assert!(ring().verify(&signed(&good_header, &twice(&good_claims, r#""x":1"#)), at(ISSUED)).is_ok());
}

#[test]
fn time_is_enforced_to_the_second_with_leeway() {
    let token = ring().mint(&alice());
    let later = signed(&header().to_string(), &with(claims(), "nbf", json!(ISSUED + 100)).to_string());

    for (token, second, expected) in [
        (&token, EXPIRES + 29, None),
        (&token, EXPIRES + 30, Some(TokenError::Expired)),
        (&token, u64::from(u32::MAX), Some(TokenError::Expired)),
        (&token, ISSUED - 30, None),
        (&token, ISSUED - 31, Some(TokenError::NotYetValid)),
        (&later, ISSUED + 70, None),
        (&later, ISSUED + 69, Some(TokenError::NotYetValid)),
    ] {
        let ring = ring();
        assert_eq!(ring.verify(token, at(second)).err(), expected, "{second}");
        assert_eq!(ring.verify_cached(token, at(second)).err(), expected, "{second}");
    }
}

#[test]
fn more_than_a_minute_is_never_forgiven() {
    let mut lax = tokens(vec![hs256("k1", SECRET)]);
    lax.leeway = Duration::from_secs(3600);
    let ring = KeyRing::new(&lax).unwrap();
    let token = ring.mint(&alice());

    assert!(ring.verify(&token, at(EXPIRES + 59)).is_ok());
    assert_eq!(ring.verify(&token, at(EXPIRES + 60)), Err(TokenError::Expired));
}

#[test]
fn dates_at_the_end_of_the_number_range_do_not_wrap() {
    let far = with(with(claims(), "exp", json!(u64::MAX)), "nbf", json!(0));
    assert!(answer(&header(), &far).is_ok());
    assert_eq!(answer(&header(), &with(far, "iat", json!(u64::MAX))), Err(TokenError::NotYetValid));
}

#[test]
fn other_shapes_than_three_segments_are_malformed() {
    let token = ring().mint(&alice());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (head, payload) = message.split_once('.').unwrap();

    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a".into(),
        "a.b".into(),
        "\0.\0.\0".into(),
        message.to_owned(),
        format!("{message}."),
        format!(".{payload}.{signature}"),
        format!("{head}..{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{head}.a.b.c.{signature}"),
        format!("{head}={}", &token[head.len()..]),
        format!("{token}="),
        format!("{token}=="),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{message}.{}", signature.replace(['-', '_'], "+") + "+"),
        format!("{head}.{payload}?.{signature}").replace(head, "bm8"),
        format!(r#"{{"payload":"{payload}","protected":"{head}","signature":"{signature}"}}"#),
        ".".repeat(8000),
        format!("{}.{payload}.{signature}", "A".repeat(8192)),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("not JSON")),
    ] {
        assert_eq!(ring().verify(&text, at(ISSUED)), Err(TokenError::Malformed), "{text:?}");
    }
}

#[test]
fn a_signature_has_one_spelling() {
    // 32 bytes leave two unused bits in the last character: four characters decode alike when
    // these are ignored.
    let token = ring().mint(&alice());
    let (start, end) = token.split_at(token.len() - 1);

    let accepted: String =
        ('!'..='~').filter(|last| ring().verify(&format!("{start}{last}"), at(ISSUED)).is_ok()).collect();

    assert_eq!(accepted, end);
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let configured = rs256("k1");
    let KeyMaterial::PrivatePem(pem) = &configured.material else { unreachable!() };
    let signing = EncodingKey::from_rsa_pem(pem.expose()).unwrap();
    let pair = RsaKeyPair::from_der(signing.as_bytes()).unwrap();
    let public: &[u8] = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref();
    let ring = KeyRing::new(&tokens(vec![configured.clone()])).unwrap();

    for header in [header(), with(header(), "alg", json!("RS256"))] {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        let forged =
            crypto::sign(message.as_bytes(), &EncodingKey::from_secret(public), Algorithm::HS256).unwrap();
        assert_eq!(ring.verify(&format!("{message}.{forged}"), at(ISSUED)), Err(TokenError::Invalid));
    }
}

#[test]
fn algorithms_we_do_not_sign_with_are_refused_even_with_their_key() {
    let secret = SECRET.repeat(2);
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(json!({ "alg": format!("{algorithm:?}"), "kid": "k1" }).to_string()),
            URL_SAFE_NO_PAD.encode("{}")
        );
        let signature =
            crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret.as_bytes()), algorithm)
                .unwrap();
        let key = jws::VerifyingKey {
            id: "k1".into(),
            algorithm,
            key: DecodingKey::from_secret(secret.as_bytes()),
        };

        assert_eq!(jws::verify_signature(&key, &format!("{message}.{signature}")), Err(TokenError::Invalid));
    }
}

#[test]
fn keys_that_would_not_protect_are_refused_with_their_place() {
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap();
    let KeyMaterial::PrivatePem(ed_pem) = eddsa("x").material else { unreachable!() };
    let KeyMaterial::PrivatePem(ec_pem) = es256("x").material else { unreachable!() };
    let of = |algorithm, pem: &Secret| key("k2", algorithm, KeyMaterial::PrivatePem(pem.clone()));

    for (bad, problem) in [
        (hs256("k2", ""), "0 bytes"),
        (hs256("k2", &SECRET[..31]), "31 bytes"),
        (hs256("k2", "your-256-bit-secret-your-256-bit-secret"), "guessed"),
        (hs256("k2", &"x".repeat(64)), "guessed"),
        (hs256("k1", OTHER_SECRET), "taken"),
        (hs256("", OTHER_SECRET), "visible"),
        (hs256("k 2", OTHER_SECRET), "visible"),
        (key("k2", SigningAlgorithm::HS256, KeyMaterial::PrivatePem(ed_pem.clone())), "shared secret"),
        (key("k2", SigningAlgorithm::RS256, KeyMaterial::Shared(Secret::new(SECRET))), "private key in PEM"),
        (key("k2", SigningAlgorithm::ES256, private("PRIVATE KEY", p384.as_ref())), "P-256"),
        (of(SigningAlgorithm::ES256, &ed_pem), "P-256"),
        (of(SigningAlgorithm::EdDSA, &ec_pem), "Ed25519"),
        (of(SigningAlgorithm::RS256, &ec_pem), "RSA"),
        (of(SigningAlgorithm::RS256, &Secret::new("not a key")), "RSA"),
        (
            of(
                SigningAlgorithm::ES256,
                &Secret::new("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"),
            ),
            "P-256",
        ),
        (of(SigningAlgorithm::EdDSA, &Secret::new([0xff, 0xfe])), "Ed25519"),
        (key("k2", SigningAlgorithm::RS256, private("PUBLIC KEY", &[0x30, 0x00])), "RSA"),
    ] {
        let error = KeyRing::new(&tokens(vec![hs256("k1", SECRET), bad])).unwrap_err();
        assert_eq!(error.index, 1);
        assert!(error.problem.contains(problem), "{error}");
        assert!(!error.problem.contains(SECRET));
    }
    assert!(KeyRing::new(&tokens(vec![])).is_err());
}

#[test]
fn sec1_and_pkcs1_keys_are_taken_too() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let sec1 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_>>::as_der(
        &ec.private_key(),
    );
    let KeyMaterial::PrivatePem(rsa_pem) = rs256("x").material else { unreachable!() };
    let pkcs1 = EncodingKey::from_rsa_pem(rsa_pem.expose()).unwrap();

    for configured in [
        key("k", SigningAlgorithm::ES256, private("EC PRIVATE KEY", sec1.unwrap().as_ref())),
        key("k", SigningAlgorithm::RS256, private("RSA PRIVATE KEY", pkcs1.as_bytes())),
    ] {
        let ring = KeyRing::new(&tokens(vec![configured])).unwrap();
        assert_eq!(ring.verify(&ring.mint(&alice()), at(ISSUED)), Ok(alice()));
    }
}

#[test]
fn the_key_set_shows_public_keys_only() {
    let ring = KeyRing::new(&tokens(vec![hs256("h", SECRET), rs256("r"), es256("e"), eddsa("d")])).unwrap();

    let set = ring.jwks();

    let keys = set["keys"].as_array().unwrap();
    let shown: Vec<_> = keys.iter().map(|key| (&key["kid"], &key["alg"], &key["kty"], &key["use"])).collect();
    let sig = json!("sig");
    assert_eq!(
        shown,
        [
            (&json!("r"), &json!("RS256"), &json!("RSA"), &sig),
            (&json!("e"), &json!("ES256"), &json!("EC"), &sig),
            (&json!("d"), &json!("EdDSA"), &json!("OKP"), &sig),
        ]
    );
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{key}");
        }
    }
    let token = KeyRing::new(&tokens(vec![es256("z")])).unwrap();
    let jwk = serde_json::from_value(token.jwks()["keys"][0].clone()).unwrap();
    let public = jws::VerifyingKey {
        id: "z".into(),
        algorithm: Algorithm::ES256,
        key: DecodingKey::from_jwk(&jwk).unwrap(),
    };
    assert!(jws::verify_signature(&public, &token.mint(&alice())).is_ok(), "a backend can verify with it");
}

#[test]
fn generated_secrets_are_accepted_and_differ() {
    let (one, two) = (KeyRing::generate_secret(), KeyRing::generate_secret());

    assert_ne!(one, two);
    assert_eq!(one.expose().len(), 64);
    let configured = key("k", SigningAlgorithm::HS256, KeyMaterial::Shared(one));
    assert!(KeyRing::new(&tokens(vec![configured])).is_ok());
}

#[test]
fn a_remembered_token_is_the_same_identity_until_it_expires() {
    let ring = ring();
    let token = ring.mint(&alice());

    let first = ring.verify_cached(&token, at(ISSUED)).unwrap();
    let again = ring.verify_cached(&token, at(EXPIRES)).unwrap();

    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(*first, alice());
    assert_eq!(ring.verify_cached(&token, at(EXPIRES + 30)), Err(TokenError::Expired));
    assert_eq!(ring.verify_cached(&token, at(ISSUED - 31)), Err(TokenError::NotYetValid));
}

#[test]
fn bad_tokens_are_not_remembered() {
    let ring = ring();
    let good = ring.mint(&alice());
    ring.verify_cached(&good, at(ISSUED)).unwrap();
    let forged = good.replacen('.', ".A", 1);

    assert!(ring.verify_cached(&forged, at(ISSUED)).is_err());
    assert!(ring.verify_cached(&forged, at(ISSUED)).is_err());
    assert!(ring.verify_cached(&good[..good.len() - 1], at(ISSUED)).is_err());
    assert!(
        KeyRing::new(&tokens(vec![hs256("k1", OTHER_SECRET)]))
            .unwrap()
            .verify_cached(&good, at(ISSUED))
            .is_err()
    );
}

proptest! {
    #[test]
    fn what_was_minted_verifies(
        user in any::<u128>(), session in any::<u128>(), version in any::<u64>(),
        username in "[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,63}",
        roles in proptest::collection::vec("[a-z0-9][a-z0-9_.:-]{0,20}", 0..8),
        scopes in proptest::collection::vec("[a-z:]{1,9}", 0..4),
        lifetime in 1u64..100_000,
    ) {
        let identity = Identity {
            user_id: Uuid::from_u128(user), session_id: Uuid::from_u128(session), version, username, roles, scopes,
            expires_at: ISSUED + lifetime, ..alice()
        };
        let ring = ring();
        let token = ring.mint(&identity);
        prop_assert_eq!(ring.verify(&token, at(ISSUED)), Ok(identity.clone()));
        prop_assert_eq!(&*ring.verify_cached(&token, at(ISSUED)).unwrap(), &identity);
    }

    #[test]
    fn any_flipped_bit_is_refused(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let ring = ring();
        let token = ring.mint(&alice());
        let mut bytes = token.clone().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(ring.verify(&changed, at(ISSUED)).is_err());
            prop_assert!(ring.verify_cached(&changed, at(ISSUED)).is_err());
        }
    }

    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), payload in ".{1,200}") {
        let ring = ring();
        prop_assert!(ring.verify(&String::from_utf8_lossy(&bytes), at(ISSUED)).is_err());
        // Garbage that gets past the signature.
        prop_assert_eq!(ring.verify(&signed(&header().to_string(), &payload), at(ISSUED)), Err(TokenError::Invalid));
        prop_assert!(ring.verify(&signed(&payload, &claims().to_string()), at(ISSUED)).is_err());
    }
}
