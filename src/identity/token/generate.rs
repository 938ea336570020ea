//! New keys for tokens, in the form in which gateway.yaml refers to them.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::KeyRing;
use crate::config::policy::SigningAlgorithm;
use crate::identity::secret::Secret;

/// RFC 7468 §2.
const PEM_LINE: usize = 64;

/// A shared secret for HS256, on one line; for the others a private key in PEM (PKCS#8).
pub fn generate(algorithm: SigningAlgorithm) -> Secret {
    let random = SystemRandom::new();
    let made = match algorithm {
        SigningAlgorithm::HS256 => Ok(KeyRing::generate_secret()),
        SigningAlgorithm::RS256 => rsa(),
        SigningAlgorithm::ES256 => return pem(&p256()),
        SigningAlgorithm::EdDSA => {
            Ed25519KeyPair::generate_pkcs8v1(&random).map(|document| pem(document.as_ref()))
        }
    };
    made.expect("the system has randomness")
}

/// The Ed25519 key of this seed, in the form of RFC 8410 §7.
pub(super) fn ed25519_of(seed: &[u8; 32]) -> Secret {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let mut document = Zeroizing::new([0; 48]);
    document[..16].copy_from_slice(&PREFIX);
    document[16..].copy_from_slice(seed);
    pem(document.as_ref())
}

/// A private key for ES256 in DER (PKCS#8).
pub(super) fn p256() -> Zeroizing<Vec<u8>> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    Zeroizing::new(document.expect("the system has randomness").as_ref().to_vec())
}

fn rsa() -> Result<Secret, Unspecified> {
    Ok(pem(KeyPair::generate(KeySize::Rsa2048)?.as_der()?.as_ref()))
}

pub(super) fn pem(der: &[u8]) -> Secret {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / PEM_LINE + 80));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    for start in (0..encoded.len()).step_by(PEM_LINE) {
        text.push_str(&encoded[start..encoded.len().min(start + PEM_LINE)]);
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    Secret::new(text.as_bytes())
}
