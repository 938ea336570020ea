//! An issuer's JWK Set (RFC 7517 §5): the keys in it that can verify tokens, each pinned to one
//! algorithm, and the tokens that they have verified lately.

use std::sync::Arc;

use serde::Deserialize;

use super::key::Key;
use super::{Absent, Cause, claims};
use crate::clock::{Timestamp, unix_seconds};
use crate::config::policy::{ForeignAlgorithm, Issuer};
use crate::identity::Identity;
use crate::identity::token::TokenError;
use crate::identity::token::jws::{Header, Jws};
use crate::identity::token::verified::VerifiedTokens;

/// More than anybody publishes; each costs memory.
const MAX_KEYS: usize = 64;

pub struct KeySet {
    /// One per key and algorithm.
    keys: Vec<Key>,
    /// How many keys that is.
    published: usize,
    /// With the set, so that a key that was withdrawn takes its tokens with it.
    verified: VerifiedTokens,
    text: Box<[u8]>,
}

/// Whose token it is.
pub struct Verified {
    pub identity: Arc<Identity>,
    /// Claims that the file names and the token lacks.
    pub absent: Vec<Absent>,
}

/// The keys that may have signed a token.
struct Candidates<'k> {
    keys: Vec<&'k Key>,
    /// The token names none of them: it may as well be by a key that is published meanwhile.
    guessed: bool,
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
        let published = document.keys.into_iter().take(MAX_KEYS).map(|key| Key::pinned(key, algorithms));
        let published: Vec<Vec<Key>> = published.filter(|pinned| !pinned.is_empty()).collect();
        if published.is_empty() {
            return Err("the JWK set has no public key for one of the algorithms".to_owned());
        }
        Ok(Self {
            published: published.len(),
            keys: published.into_iter().flatten().collect(),
            verified: VerifiedTokens::new(),
            text: text.into(),
        })
    }

    pub fn is_read_from(&self, text: &[u8]) -> bool {
        *self.text == *text
    }

    /// The `kid` of each key that has one.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.id.as_deref())
    }

    /// Who presents it, if this very token was good a moment ago and still is.
    pub fn remembered(&self, token: &str, now: Timestamp) -> Option<Arc<Identity>> {
        self.verified.get(token, unix_seconds(now))
    }

    /// Who presents this token of `issuer`, by signature and claims alone.
    pub fn verify(&self, token: &str, issuer: &Issuer, now: Timestamp) -> Result<Verified, Cause> {
        let jws = Jws::split(token).map_err(|_| Cause::Malformed)?;
        let header = Header::parse(jws.header).map_err(|error| match error {
            TokenError::Malformed => Cause::Malformed,
            _ => Cause::UnsupportedHeader,
        })?;
        if !header.may_be_foreign_access_token() {
            return Err(Cause::WrongType);
        }
        let (payload, key) = self.payload(&jws, &header)?;
        let read = claims::read(&payload, issuer, key.issuer.as_deref())?;
        read.claims.check_time(unix_seconds(now)).map_err(|error| match error {
            TokenError::NotYetValid => Cause::NotYetValid,
            _ => Cause::Expired,
        })?;
        Ok(Verified { identity: self.verified.keep(token, read.claims), absent: read.absent })
    }

    /// What a key of the set has signed. Two keys may have the same `kid`, so each is tried.
    fn payload(&self, jws: &Jws<'_>, header: &Header) -> Result<(Vec<u8>, &Key), Cause> {
        let candidates = self.candidates(header)?;
        let mut cause = if candidates.guessed { Cause::UnknownKey } else { Cause::BadSignature };
        for key in candidates.keys {
            match jws.payload_if(|message, signature| key.verify(message, signature)) {
                Ok(payload) => return Ok((payload, key)),
                Err(TokenError::Malformed) => cause = Cause::Malformed,
                Err(_) => {}
            }
        }
        Err(cause)
    }

    fn candidates(&self, header: &Header) -> Result<Candidates<'_>, Cause> {
        let named = self.keys.iter().filter(|key| key.id.is_some() && key.id == header.kid);
        let named: Vec<&Key> = named.collect();
        if !named.is_empty() {
            let keys = with_algorithm(named, header);
            return if keys.is_empty() {
                Err(Cause::WrongAlgorithm)
            } else {
                Ok(Candidates { keys, guessed: false })
            };
        }
        let unnamed: Vec<&Key> = match header.kid {
            Some(_) => self.keys.iter().filter(|key| key.id.is_none()).collect(),
            // OpenID Connect Core 1.0 §10.1: with several keys in the set, a token names one.
            None if self.published == 1 => self.keys.iter().collect(),
            None => return Err(Cause::KidMissing),
        };
        Ok(Candidates { keys: with_algorithm(unnamed, header), guessed: true })
    }
}

fn with_algorithm<'k>(mut keys: Vec<&'k Key>, header: &Header) -> Vec<&'k Key> {
    keys.retain(|key| key.algorithm.as_str() == header.alg);
    keys
}
