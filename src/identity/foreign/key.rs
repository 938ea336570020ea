//! One public key of another issuer, pinned to one algorithm.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::Value;

use crate::config::policy::ForeignAlgorithm;
use crate::identity::token::TokenError;

/// An uncompressed point on P-521.
const P521_POINT: usize = 1 + 2 * 66;

pub struct Key {
    /// Its `kid`.
    pub id: Option<String>,
    pub algorithm: ForeignAlgorithm,
    /// Whose tokens it is for, where one set serves several issuers (Entra).
    pub issuer: Option<String>,
    public: PublicKey,
}

#[derive(Clone)]
enum PublicKey {
    Jwt(DecodingKey),
    /// `jsonwebtoken` has no ES512.
    P521(Vec<u8>),
}

impl Key {
    /// The key once for each algorithm that it and the policy allow; none if it is for something else.
    pub fn pinned(value: Value, allowed: &[ForeignAlgorithm]) -> Vec<Self> {
        let text = |member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
        let (id, own, issuer) = (text("kid"), text("alg"), text("issuer"));
        let Some(jwk) = serde_json::from_value::<Jwk>(value).ok().filter(is_for_signatures) else {
            return Vec::new();
        };
        let Some(public) = PublicKey::read(&jwk) else { return Vec::new() };
        let fits = |algorithm: &&ForeignAlgorithm| {
            allowed.contains(algorithm) && own.as_deref().is_none_or(|own| is_same(own, **algorithm))
        };
        let pinned = |algorithm: &ForeignAlgorithm| Self {
            id: id.clone(),
            algorithm: *algorithm,
            issuer: issuer.clone(),
            public: public.clone(),
        };
        fitting(&jwk.algorithm).iter().filter(fits).map(pinned).collect()
    }

    /// Whether `signature`, in base64url, is this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &str) -> Result<(), TokenError> {
        match &self.public {
            PublicKey::Jwt(key) => match crypto::verify(signature, message, key, of(self.algorithm)) {
                Ok(true) => Ok(()),
                Ok(false) => Err(TokenError::Invalid),
                Err(_) => Err(TokenError::Malformed),
            },
            PublicKey::P521(point) => {
                let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
                let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point);
                key.verify(message, &signature).map_err(|_| TokenError::Invalid)
            }
        }
    }
}

impl PublicKey {
    fn read(jwk: &Jwk) -> Option<Self> {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P521 => {
                let point = key.try_get_as_bytes().ok()?.to_vec();
                (point.len() == P521_POINT).then_some(Self::P521(point))
            }
            _ => Some(Self::Jwt(key)),
        }
    }
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let operations = jwk.common.key_operations.as_ref();
    matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature))
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// RFC 9864 §2.2: `Ed25519` is another name for `EdDSA` with such a key.
fn is_same(named: &str, algorithm: ForeignAlgorithm) -> bool {
    let is_edwards = |name: &str| matches!(name, "EdDSA" | "Ed25519");
    named == algorithm.as_str() || (is_edwards(named) && is_edwards(algorithm.as_str()))
}

/// By the kind of key (RFC 7518 §3.1). A shared secret fits nothing.
fn fitting(key: &AlgorithmParameters) -> &'static [ForeignAlgorithm] {
    use ForeignAlgorithm::{ES256, ES384, ES512, Ed25519, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match key {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P521 => &[ES512],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA, Ed25519],
        _ => &[],
    }
}

/// For `jsonwebtoken`; P-521 never comes here.
fn of(algorithm: ForeignAlgorithm) -> Algorithm {
    match algorithm {
        ForeignAlgorithm::RS256 => Algorithm::RS256,
        ForeignAlgorithm::RS384 => Algorithm::RS384,
        ForeignAlgorithm::RS512 => Algorithm::RS512,
        ForeignAlgorithm::PS256 => Algorithm::PS256,
        ForeignAlgorithm::PS384 => Algorithm::PS384,
        ForeignAlgorithm::PS512 => Algorithm::PS512,
        ForeignAlgorithm::ES256 => Algorithm::ES256,
        ForeignAlgorithm::ES384 | ForeignAlgorithm::ES512 => Algorithm::ES384,
        ForeignAlgorithm::EdDSA | ForeignAlgorithm::Ed25519 => Algorithm::EdDSA,
    }
}
