//! Tokens that were good a moment ago: parsing and checking one again costs many times a look-up.
//!
//! An entry belongs to one key ring and dies with it. It says nothing about revocation, which is
//! asked for every request.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::claims::VerifiedClaims;
use crate::identity::Identity;

/// Enough for some 16,000 tokens of the usual size; long ones push out more of the others.
const CAPACITY_BYTES: u64 = 16 * 1024 * 1024;
const USUAL_ENTRY_BYTES: usize = 1024;

pub struct VerifiedTokens {
    /// By the whole text: a hash alone would let a collision pass as somebody else.
    tokens: Cache<Box<str>, Entry, InBytes>,
}

#[derive(Clone)]
struct Entry {
    identity: Arc<Identity>,
    starts: u64,
    ends: u64,
    bytes: u64,
}

impl VerifiedTokens {
    pub fn new() -> Self {
        let usual = CAPACITY_BYTES as usize / USUAL_ENTRY_BYTES;
        Self { tokens: Cache::with_weighter(usual, CAPACITY_BYTES, InBytes) }
    }

    /// `None` when the token isn't known, or isn't valid at `now` (Unix seconds).
    pub fn get(&self, token: &str, now: u64) -> Option<Arc<Identity>> {
        let entry = self.tokens.get(token)?;
        if now >= entry.ends {
            self.tokens.remove(token);
            return None;
        }
        (now >= entry.starts).then_some(entry.identity)
    }

    pub fn keep(&self, token: &str, claims: VerifiedClaims) -> Arc<Identity> {
        let VerifiedClaims { identity, starts, ends } = claims;
        let bytes = (token.len() + size_of::<(Box<str>, Entry)>() + identity_bytes(&identity)) as u64;
        let identity = Arc::new(identity);
        self.tokens.insert(token.into(), Entry { identity: identity.clone(), starts, ends, bytes });
        identity
    }
}

/// Roughly what an identity occupies, its strings included.
fn identity_bytes(identity: &Identity) -> usize {
    let strings = identity.roles.iter().chain(&identity.scopes).chain(&identity.amr);
    size_of::<Identity>()
        + identity.username.len()
        + identity.email.as_ref().map_or(0, String::len)
        + strings.map(|text| size_of::<String>() + text.len()).sum::<usize>()
}

#[derive(Clone)]
struct InBytes;

impl Weighter<Box<str>, Entry> for InBytes {
    fn weight(&self, _token: &Box<str>, entry: &Entry) -> u64 {
        entry.bytes
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn claims() -> VerifiedClaims {
        let identity = Identity {
            user_id: Uuid::from_u128(1),
            username: "alice".to_owned(),
            email: None,
            roles: vec!["user".to_owned()],
            scopes: Vec::new(),
            amr: Vec::new(),
            session_id: Uuid::from_u128(2),
            token_id: Uuid::from_u128(3),
            version: 1,
            issued_at: 100,
            expires_at: 200,
        };
        VerifiedClaims { identity, starts: 100, ends: 200 }
    }

    #[test]
    fn long_tokens_take_the_room_they_need() {
        let verified = VerifiedTokens::new();

        for number in 0..5000 {
            verified.keep(&format!("{number:0>8000}"), claims());
        }

        assert!(verified.tokens.weight() <= CAPACITY_BYTES);
        assert!(verified.tokens.len() < 2100);
    }

    #[test]
    fn an_entry_is_served_while_it_is_valid_and_only_for_its_own_text() {
        let verified = VerifiedTokens::new();
        verified.keep("token", claims());

        let served: Vec<u64> =
            [99, 100, 199, 200].into_iter().filter(|&now| verified.get("token", now).is_some()).collect();

        assert_eq!(served, [100, 199]);
        assert!(verified.get("token", 150).is_none(), "once expired it is gone");
        assert!(verified.get("token2", 150).is_none());
    }
}
