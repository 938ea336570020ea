//! What it costs to know who presents a token: cold (signature, JSON, claims) and remembered.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::clock::{now, unix_seconds};
use portcullis::config::policy::{KeyMaterial, SigningAlgorithm, TokenKey, Tokens};
use portcullis::identity::Identity;
use portcullis::identity::secret::Secret;
use portcullis::identity::token::KeyRing;
use uuid::Uuid;

fn private(der: &[u8]) -> KeyMaterial {
    let body = STANDARD.encode(der);
    KeyMaterial::PrivatePem(Secret::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    )))
}

fn new_key(algorithm: SigningAlgorithm) -> KeyMaterial {
    match algorithm {
        SigningAlgorithm::HS256 => KeyMaterial::Shared(KeyRing::generate_secret()),
        SigningAlgorithm::RS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
            let der: Pkcs8V1Der<'_> = pair.as_der().expect("its DER");
            private(der.as_ref())
        }
        SigningAlgorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key");
            private(pair.to_pkcs8v1().expect("its DER").as_ref())
        }
        SigningAlgorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().expect("an Ed25519 key");
            private(pair.to_pkcs8v1().expect("its DER").as_ref())
        }
    }
}

fn ring(algorithm: SigningAlgorithm) -> KeyRing {
    let tokens = Tokens {
        issuer: "http://localhost:8080".to_owned(),
        audience: "portcullis".to_owned(),
        access_ttl: Duration::from_secs(900),
        refresh_ttl: Duration::from_secs(3600),
        session_ttl: Duration::from_secs(3600),
        max_sessions: 100,
        refresh_window: Duration::from_secs(10),
        leeway: Duration::from_secs(30),
        max_size: 8192,
        client_id: "portcullis".to_owned(),
        keys: vec![TokenKey { id: "k1".to_owned(), algorithm, material: new_key(algorithm) }],
    };
    KeyRing::new(&tokens).expect("a new key is a good one")
}

fn alice() -> Identity {
    let issued_at = unix_seconds(now());
    Identity {
        user_id: Uuid::now_v7(),
        username: "alice".to_owned(),
        email: Some("alice@example.org".to_owned()),
        roles: vec!["user".to_owned(), "editor".to_owned()],
        scopes: Vec::new(),
        amr: Vec::new(),
        session_id: Uuid::now_v7(),
        token_id: Uuid::now_v7(),
        version: 1,
        issued_at,
        expires_at: issued_at + 86_400,
    }
}

fn verify_token(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify_token");
    for algorithm in
        [SigningAlgorithm::HS256, SigningAlgorithm::ES256, SigningAlgorithm::EdDSA, SigningAlgorithm::RS256]
    {
        let ring = ring(algorithm);
        let token = ring.mint(&alice());
        group.bench_function(format!("{algorithm:?}/cold"), |bencher| {
            bencher.iter(|| ring.verify(black_box(&token), now()).expect("a good token"));
        });
        group.bench_function(format!("{algorithm:?}/remembered"), |bencher| {
            bencher.iter(|| ring.verify_cached(black_box(&token), now()).expect("a good token"));
        });
    }
    group.finish();
}

criterion_group!(benches, verify_token);
criterion_main!(benches);
