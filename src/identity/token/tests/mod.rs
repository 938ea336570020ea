//! What a verifier owes, by the attack classes of RFC 8725 and the published advisories.

mod claims;
mod properties;
mod remembered;
mod ring;
mod shape;

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
        client_id: "portcullis".to_owned(),
        access_ttl: Duration::from_secs(900),
        refresh_ttl: Duration::from_secs(3600),
        session_ttl: Duration::from_secs(7200),
        max_sessions: 100,
        refresh_window: Duration::from_secs(10),
        leeway: Duration::from_secs(30),
        max_size: 8192,
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
        amr: vec!["pwd".to_owned(), "otp".to_owned(), "mfa".to_owned()],
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
