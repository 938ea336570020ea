//! The forger's workshop: access tokens that say anything, signed by anybody. It shares no code
//! with the gateway, so that both can't be wrong in the same way.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::SECRET;

/// The header of the gateway's own tokens.
pub fn header() -> Value {
    json!({ "alg": "HS256", "kid": "k1", "typ": "at+jwt" })
}

/// Claims of a user whom no store knows, good for the next ten minutes.
pub fn claims() -> Value {
    json!({
        "iss": "http://localhost:8080", "aud": "portcullis", "sub": Uuid::now_v7(), "jti": Uuid::now_v7(),
        "sid": Uuid::now_v7(), "ver": 1, "iat": now(), "exp": now() + 600, "roles": ["user"],
        "preferred_username": "mallory",
    })
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// `base` with one member set.
pub fn with(mut base: Value, member: &str, value: impl Into<Value>) -> Value {
    base[member] = value.into();
    base
}

pub fn without(mut base: Value, member: &str) -> Value {
    base.as_object_mut().expect("headers and claims are objects").remove(member);
    base
}

/// A token by the harness's own key.
pub fn token(header: &Value, claims: &Value) -> String {
    sign(SECRET.as_bytes(), header, claims)
}

/// A good token but for one claim.
pub fn claiming(claim: &str, value: impl Into<Value>) -> String {
    token(&header(), &with(claims(), claim, value))
}

/// By HMAC-SHA256 with any secret, whatever the header says.
pub fn sign(secret: &[u8], header: &Value, claims: &Value) -> String {
    sign_text(secret, &format!("{}.{}", encode(header.to_string()), encode(claims.to_string())))
}

/// Puts the signature behind a text that stands for header and payload.
pub fn sign_text(secret: &[u8], message: &str) -> String {
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(signature))
}

/// Base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// One segment of a token, as JSON.
pub fn decode(token: &str, segment: usize) -> Value {
    let text = token.split('.').nth(segment).expect("a token has three segments");
    let bytes = URL_SAFE_NO_PAD.decode(text).expect("segments are base64url");
    serde_json::from_slice(&bytes).expect("header and claims are JSON")
}

/// A fresh private key.
pub enum PrivateKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("the system has randomness"))
    }

    pub fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the same"))
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("the same"))
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// As the gateway takes it: PKCS#8.
    pub fn pem(&self) -> String {
        let der = match self {
            Self::Rsa(pair) => {
                AsDer::<Pkcs8V1Der<'_>>::as_der(pair).expect("every pair has it").as_ref().to_vec()
            }
            Self::P256(pair) => pair.to_pkcs8v1().expect("the same").as_ref().to_vec(),
            Self::Ed25519(pair) => pair.to_pkcs8v1().expect("the same").as_ref().to_vec(),
        };
        pem("PRIVATE KEY", &der)
    }

    /// As `openssl` and certificates write it: SubjectPublicKeyInfo.
    pub fn public_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(pair) => pair.public_key().as_der(),
            Self::P256(pair) => pair.public_key().as_der(),
            Self::Ed25519(pair) => pair.public_key().as_der(),
        }
        .expect("every public key has it");
        der.as_ref().to_vec()
    }

    /// As the algorithm's own standard writes it: PKCS#1, a point, 32 bytes.
    pub fn public_raw(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::P256(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// In the form JWS wants.
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("the length fits");
                signature
            }
            Self::P256(pair) => pair.sign(&random, message).expect("there is randomness").as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    pub fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{message}.{}", encode(self.signature(message.as_bytes())))
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
