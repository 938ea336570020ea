//! The half of a key ring that verifies: who presents a token, without a key that could sign one.

use std::fmt;
use std::sync::Arc;

use super::TokenError;
use super::claims::{ClaimRules, VerifiedClaims};
use super::jws::{Header, Jws};
use super::key::Trusted;
use super::verified::VerifiedTokens;
use crate::clock::{Timestamp, unix_seconds};
use crate::config::policy::Tokens;
use crate::identity::Identity;

/// Verifies access tokens of our own, and remembers those that it has verified lately.
pub struct TokenVerifier {
    /// In the order of `tokens.keys`; without any, every token is invalid.
    keys: Vec<Arc<Trusted>>,
    pub(super) rules: ClaimRules,
    verified: VerifiedTokens,
}

impl TokenVerifier {
    pub(super) fn new(keys: Vec<Arc<Trusted>>, tokens: &Tokens) -> Self {
        Self { keys, rules: ClaimRules::new(tokens), verified: VerifiedTokens::new() }
    }

    /// For a configuration that leaves its keys to the gateway: no token is good.
    pub fn without_keys(tokens: &Tokens) -> Self {
        Self::new(Vec::new(), tokens)
    }

    /// In the order of `tokens.keys`.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.verifying.id.as_str())
    }

    /// Who presents this token, by its signature and claims alone. Whether it has been revoked is
    /// asked elsewhere.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        self.check(token, unix_seconds(now)).map(|claims| claims.identity)
    }

    /// The same answer as [`verify`](Self::verify), without repeating the work for a token that
    /// was good a moment ago.
    pub fn verify_cached(&self, token: &str, now: Timestamp) -> Result<Arc<Identity>, TokenError> {
        let now = unix_seconds(now);
        if let Some(identity) = self.verified.get(token, now) {
            return Ok(identity);
        }
        let claims = self.check(token, now)?;
        Ok(self.verified.keep(token, claims))
    }

    fn check(&self, token: &str, now: u64) -> Result<VerifiedClaims, TokenError> {
        let jws = Jws::split(token)?;
        let key = self.key_of(&jws)?;
        let payload = jws.verified_payload(&key.verifying)?;
        let claims = self.rules.read(&payload)?;
        claims.check_time(now)?;
        Ok(claims)
    }

    /// The configured key that the header names. Tokens of ours carry a header known beforehand,
    /// byte for byte; any other spelling is parsed.
    fn key_of(&self, jws: &Jws<'_>) -> Result<&Trusted, TokenError> {
        if let Some(key) = self.keys.iter().find(|key| key.header_segment == jws.header) {
            return Ok(key);
        }
        let header = Header::parse(jws.header)?;
        let key = self.keys.iter().find(|key| header.names(&key.verifying)).ok_or(TokenError::Invalid)?;
        if !header.is_access_token() {
            return Err(TokenError::Invalid);
        }
        Ok(key)
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}
