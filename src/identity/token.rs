//! Access tokens: JWTs by RFC 9068, verified by RFC 8725's rules.

use crate::clock::Timestamp;
use crate::config::policy::Tokens;
use crate::identity::Identity;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    Malformed,
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

/// The keys that sign and verify access tokens.
pub struct KeyRing {}

impl KeyRing {
    pub fn new(_tokens: &Tokens) -> Result<Self, KeyError> {
        todo!()
    }
    pub fn verify(&self, _token: &str, _now: Timestamp) -> Result<Identity, TokenError> {
        todo!()
    }
    pub fn mint(&self, _identity: &Identity) -> String {
        todo!()
    }
    pub fn jwks(&self) -> serde_json::Value {
        todo!()
    }
}
