//! An issuer's JWK Set (RFC 7517 §5): the keys in it that can verify tokens, each pinned to one
//! algorithm, and the tokens that they have verified lately.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use super::{Absent, Cause, claims};
use crate::clock::{Timestamp, unix_seconds};
use crate::config::policy::{ForeignAlgorithm, Issuer};
use crate::identity::Identity;
use crate::identity::token::TokenError;
use crate::identity::token::jws::{Header, Jws, VerifyingKey};
use crate::identity::token::verified::VerifiedTokens;

/// More than anybody publishes; each costs memory.
const MAX_KEYS: usize = 64;

/// Whose token it is.
pub struct Verified {
    pub identity: Arc<Identity>,
    /// Claims that the file names and the token lacks.
    pub absent: Vec<Absent>,
}

pub struct KeySet {
    /// One per key and algorithm.
    keys: Vec<VerifyingKey>,
    /// With the set, so that a key that was withdrawn takes its tokens with it.
    verified: VerifiedTokens,
    text: Box<[u8]>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Passes over keys that are for something else; `Err` if none is left.
    pub fn read(text: &[u8], algorithms: &[ForeignAlgorithm]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(text).map_err(|error| format!("this isn't a JWK set: {error}"))?;
        let keys: Vec<VerifyingKey> = document
            .keys
            .into_iter()
            .take(MAX_KEYS)
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
            .flat_map(|key| pinned(&key, algorithms))
            .collect();
        if keys.is_empty() {
            return Err("the JWK set has no public key with a `kid` for one of the algorithms".to_owned());
        }
        Ok(Self { keys, verified: VerifiedTokens::new(), text: text.into() })
    }

    pub fn is_read_from(&self, text: &[u8]) -> bool {
        *self.text == *text
    }

    /// Who presents it, if this very token was good a moment ago and still is.
    pub fn remembered(&self, token: &str, now: Timestamp) -> Option<Arc<Identity>> {
        self.verified.get(token, unix_seconds(now))
    }

    /// Who presents this token of `issuer`, by signature and claims alone.
    pub fn verify(&self, token: &str, issuer: &Issuer, now: Timestamp) -> Result<Verified, Cause> {
        let jws = Jws::split(token).map_err(|_| Cause::Malformed)?;
        let key = self.key_of(&jws)?;
        let payload = jws.verified_payload(key).map_err(|error| match error {
            TokenError::Malformed => Cause::Malformed,
            _ => Cause::BadSignature,
        })?;
        let read = claims::read(&payload, issuer)?;
        read.claims.check_time(unix_seconds(now)).map_err(|error| match error {
            TokenError::NotYetValid => Cause::NotYetValid,
            _ => Cause::Expired,
        })?;
        Ok(Verified { identity: self.verified.keep(token, read.claims), absent: read.absent })
    }

    fn key_of(&self, jws: &Jws<'_>) -> Result<&VerifyingKey, Cause> {
        let header = Header::parse(jws.header).map_err(|error| match error {
            TokenError::Malformed => Cause::Malformed,
            _ => Cause::UnsupportedHeader,
        })?;
        if !header.may_be_foreign_access_token() {
            return Err(Cause::WrongType);
        }
        if let Some(key) = self.keys.iter().find(|key| header.names(key)) {
            return Ok(key);
        }
        match self.keys.iter().any(|key| header.names_id(&key.id)) {
            true => Err(Cause::WrongAlgorithm),
            false => Err(Cause::UnknownKey),
        }
    }
}

/// The key once for each algorithm that it and the policy allow.
fn pinned(jwk: &Jwk, allowed: &[ForeignAlgorithm]) -> Vec<VerifyingKey> {
    let Some(id) = jwk.common.key_id.as_deref().filter(|_| is_for_signatures(jwk)) else { return Vec::new() };
    let Ok(key) = DecodingKey::from_jwk(jwk) else { return Vec::new() };
    let own = jwk.common.key_algorithm.map(|own| own.to_string());
    fitting(&jwk.algorithm)
        .iter()
        .filter(|algorithm| allowed.contains(algorithm))
        .filter(|algorithm| own.as_deref().is_none_or(|own| own == algorithm.as_str()))
        .map(|algorithm| VerifyingKey { id: id.to_owned(), algorithm: of(*algorithm), key: key.clone() })
        .collect()
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let operations = jwk.common.key_operations.as_ref();
    matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature))
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// By the kind of key (RFC 7518 §3.1). A shared secret fits nothing.
fn fitting(key: &AlgorithmParameters) -> &'static [ForeignAlgorithm] {
    use ForeignAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match key {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    }
}

fn of(algorithm: ForeignAlgorithm) -> Algorithm {
    match algorithm {
        ForeignAlgorithm::RS256 => Algorithm::RS256,
        ForeignAlgorithm::RS384 => Algorithm::RS384,
        ForeignAlgorithm::RS512 => Algorithm::RS512,
        ForeignAlgorithm::PS256 => Algorithm::PS256,
        ForeignAlgorithm::PS384 => Algorithm::PS384,
        ForeignAlgorithm::PS512 => Algorithm::PS512,
        ForeignAlgorithm::ES256 => Algorithm::ES256,
        ForeignAlgorithm::ES384 => Algorithm::ES384,
        ForeignAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}
