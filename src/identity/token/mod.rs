//! Access tokens: JWTs by RFC 9068, verified by RFC 8725's rules.
//!
//! The way of a token: [`jws`] takes its text apart and checks the signature, `claims` says what
//! the signed bytes mean, `verified` remembers the answer. The keys come from the configuration
//! alone (`key`); nothing in a token can bring in another.

pub mod assertion;
pub(super) mod claims;
pub mod generate;
pub mod generated;
pub(super) mod json;
pub mod jws;
mod key;
pub(super) mod verified;
mod verifier;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;

use crate::clock::Timestamp;
use crate::config::policy::Tokens;
use crate::identity::Identity;
use crate::identity::secret::Secret;
use key::Key;
pub use verifier::TokenVerifier;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Not a JWS in compact serialisation.
    Malformed,
    /// Not ours: wrong key, signature, issuer, audience, type or claims.
    Invalid,
    Expired,
    NotYetValid,
}

/// A configured key that can't be used; `index` is its place in `tokens.keys`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tokens.keys[{index}]: {problem}")]
pub struct KeyError {
    pub index: usize,
    pub problem: String,
}

/// The keys that sign access tokens, and what verifies these.
pub struct KeyRing {
    /// Never empty; the first signs.
    keys: Vec<Key>,
    verifier: Arc<TokenVerifier>,
}

impl KeyRing {
    pub fn new(tokens: &Tokens) -> Result<Self, KeyError> {
        if tokens.keys.is_empty() {
            let problem = "there is no key; add one, or let the embedded store generate it".to_owned();
            return Err(KeyError { index: 0, problem });
        }

        let mut keys: Vec<Key> = Vec::with_capacity(tokens.keys.len());
        for (index, configured) in tokens.keys.iter().enumerate() {
            let refused = |problem| KeyError { index, problem };
            if keys.iter().any(|key| key.id() == configured.id) {
                return Err(refused(format!("the id {:?} is taken by an earlier key", configured.id)));
            }
            keys.push(Key::new(configured).map_err(refused)?);
        }

        let trusted = keys.iter().map(Key::trusted).collect();
        Ok(Self { keys, verifier: Arc::new(TokenVerifier::new(trusted, tokens)) })
    }

    /// The half of the ring that can't sign.
    pub fn verifier(&self) -> &Arc<TokenVerifier> {
        &self.verifier
    }

    /// The first signs.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(Key::id)
    }

    /// See [`TokenVerifier::verify`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        self.verifier.verify(token, now)
    }

    /// See [`TokenVerifier::verify_cached`].
    pub fn verify_cached(&self, token: &str, now: Timestamp) -> Result<Arc<Identity>, TokenError> {
        self.verifier.verify_cached(token, now)
    }

    /// A token that says what `identity` says, signed by the first key. An address that can't
    /// stand in a header is left out; anything else [`verify`](Self::verify) refuses stays refused.
    pub fn mint(&self, identity: &Identity) -> String {
        let claims = self.verifier.rules.write(identity);
        let mut token = self.keys[0].header_segment().to_owned();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);

        let signature = self.keys[0].sign(token.as_bytes());
        token.push('.');
        token.push_str(&signature);
        token
    }

    /// The public keys as a JWK Set (RFC 7517 §5), and `more` of them; shared secrets aren't in it.
    pub fn jwks(&self, more: &[Jwk]) -> serde_json::Value {
        let public: Vec<_> = self.keys.iter().filter_map(Key::public_jwk).chain(more).collect();
        serde_json::json!({ "keys": public })
    }

    /// A new secret for HS256: 48 random bytes in base64url, so that it fits on a line.
    pub fn generate_secret() -> Secret {
        let mut bytes = zeroize::Zeroizing::new([0; 48]);
        rand::fill(bytes.as_mut()).expect("the system has randomness");
        Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(Key::id)).finish()
    }
}

#[cfg(test)]
mod tests;
