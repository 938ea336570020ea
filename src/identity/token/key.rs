//! One configured key: checked, ready to sign and verify, and presentable as a JWK.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use zeroize::Zeroizing;

use super::jws::{VerifyingKey, algorithm_name};
use crate::config::policy::{KeyMaterial, SigningAlgorithm, TokenKey};
use crate::identity::secret;

/// RFC 7518 §3.2: at least as long as the hash.
const MIN_SECRET_BYTES: usize = 32;
const MAX_ID_BYTES: usize = 128;

pub struct Key {
    signing: EncodingKey,
    trusted: Arc<Trusted>,
    public_jwk: Option<Jwk>,
}

/// What verifies the tokens of a key.
pub struct Trusted {
    pub verifying: VerifyingKey,
    /// The header of every token this key signs, in base64url.
    pub header_segment: String,
}

impl Key {
    /// `Err` says in one sentence what is wrong and what would be right.
    pub fn new(configured: &TokenKey) -> Result<Self, String> {
        let id = &configured.id;
        if id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("an id has 1 to {MAX_ID_BYTES} visible ASCII characters"));
        }
        let (algorithm, signing, verifying) = match (configured.algorithm, &configured.material) {
            (SigningAlgorithm::HS256, KeyMaterial::Shared(text)) => shared(text.expose())?,
            (SigningAlgorithm::RS256, KeyMaterial::PrivatePem(pem)) => rsa(pem.expose())?,
            (SigningAlgorithm::ES256, KeyMaterial::PrivatePem(pem)) => p256(pem.expose())?,
            (SigningAlgorithm::EdDSA, KeyMaterial::PrivatePem(pem)) => ed25519(pem.expose())?,
            (SigningAlgorithm::HS256, KeyMaterial::PrivatePem(_)) => {
                return Err("HS256 signs with a shared secret, not with a private key".to_owned());
            }
            (other, KeyMaterial::Shared(_)) => {
                return Err(format!("{other:?} signs with a private key in PEM, not with a shared secret"));
            }
        };
        let verifying = VerifyingKey { id: id.clone(), algorithm, key: verifying };
        let public_jwk = public_jwk(&signing, &verifying)?;
        let header_segment = header_segment(&verifying);
        let key = Self { signing, trusted: Arc::new(Trusted { verifying, header_segment }), public_jwk };
        key.try_out()?;
        Ok(key)
    }

    pub fn id(&self) -> &str {
        &self.trusted.verifying.id
    }

    pub fn trusted(&self) -> Arc<Trusted> {
        self.trusted.clone()
    }

    pub fn verifying(&self) -> &VerifyingKey {
        &self.trusted.verifying
    }

    pub fn header_segment(&self) -> &str {
        &self.trusted.header_segment
    }

    /// `None` for shared secrets.
    pub fn public_jwk(&self) -> Option<&Jwk> {
        self.public_jwk.as_ref()
    }

    /// The signature in base64url.
    pub fn sign(&self, message: &[u8]) -> String {
        crypto::sign(message, &self.signing, self.verifying().algorithm)
            .expect("it signed when it was loaded")
    }

    /// A key that can't verify its own signature would lock everybody out, later.
    fn try_out(&self) -> Result<(), String> {
        let message = b"try-out";
        crypto::sign(message, &self.signing, self.verifying().algorithm)
            .ok()
            .and_then(|signature| self.verifying().verify(message, &signature).ok())
            .ok_or_else(|| "this key doesn't verify its own signature".to_owned())
    }
}

type Pair = (Algorithm, EncodingKey, DecodingKey);

fn shared(text: &[u8]) -> Result<Pair, String> {
    if text.len() < MIN_SECRET_BYTES {
        let found = text.len();
        return Err(format!(
            "the secret has {found} bytes; HS256 needs {MIN_SECRET_BYTES} random ones (openssl rand -base64 48)"
        ));
    }
    if secret::is_well_known(text) {
        return Err(
            "this secret is public or easily guessed; use a random one (openssl rand -base64 48)".to_owned()
        );
    }
    Ok((Algorithm::HS256, EncodingKey::from_secret(text), DecodingKey::from_secret(text)))
}

fn rsa(pem: &[u8]) -> Result<Pair, String> {
    let signing = EncodingKey::from_rsa_pem(pem).map_err(|_| not_a_key("RSA", "PKCS#8 or PKCS#1"))?;
    // AWS-LC itself refuses fewer than 2048 bits and more than 8192.
    let pair = RsaKeyPair::from_der(signing.as_bytes())
        .map_err(|why| format!("this RSA private key can't be used ({why}); 2048 to 8192 bits are needed"))?;
    let public = DecodingKey::from_rsa_der(pair.public_key().as_ref());
    Ok((Algorithm::RS256, signing, public))
}

fn p256(pem: &[u8]) -> Result<Pair, String> {
    let refused = || not_a_key("P-256", "PKCS#8 or SEC1");
    let der = private_key_der(pem).ok_or_else(refused)?;
    let pair =
        EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|_| refused())?;
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| refused())?;
    let public = DecodingKey::from_ec_der(pair.public_key().as_ref());
    Ok((Algorithm::ES256, EncodingKey::from_ec_der(pkcs8.as_ref()), public))
}

fn ed25519(pem: &[u8]) -> Result<Pair, String> {
    let refused = || not_a_key("Ed25519", "PKCS#8");
    let signing = EncodingKey::from_ed_pem(pem).map_err(|_| refused())?;
    let pair = Ed25519KeyPair::from_pkcs8(signing.as_bytes()).map_err(|_| refused())?;
    let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
    Ok((Algorithm::EdDSA, signing, public))
}

fn not_a_key(kind: &str, forms: &str) -> String {
    format!("this isn't an unencrypted {kind} private key in PEM ({forms})")
}

/// The first private key in a PEM text; `openssl ecparam` writes the curve before it.
fn private_key_der(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?;
    ["PRIVATE KEY", "EC PRIVATE KEY"].iter().find_map(|label| {
        let (_, after) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = after.split_once(&format!("-----END {label}-----"))?;
        let base64 = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
        STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
    })
}

fn public_jwk(signing: &EncodingKey, verifying: &VerifyingKey) -> Result<Option<Jwk>, String> {
    if verifying.algorithm == Algorithm::HS256 {
        return Ok(None);
    }
    let mut jwk = Jwk::from_encoding_key(signing, verifying.algorithm)
        .map_err(|why| format!("its public key can't be derived ({why})"))?;
    jwk.common.key_id = Some(verifying.id.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(Some(jwk))
}

fn header_segment(key: &VerifyingKey) -> String {
    let alg = algorithm_name(key.algorithm);
    URL_SAFE_NO_PAD.encode(serde_json::json!({ "alg": alg, "kid": key.id, "typ": "at+jwt" }).to_string())
}
