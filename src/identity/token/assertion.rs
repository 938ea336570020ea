//! Assertions: who is calling, in a form that an upstream can verify by the public keys, for itself only
//! and for a minute.
//!
//! The first token key signs them if it is an ES256 or EdDSA one. Otherwise an Ed25519 key does that is
//! derived from it, so that a gateway with a shared secret needs no second key.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jsonwebtoken::jwk::Jwk;
use quick_cache::sync::Cache;
use serde::Serialize;
use uuid::Uuid;

use super::generate;
use super::jws::algorithm_name;
use super::key::Key;
use crate::clock::{Timestamp, unix_seconds};
use crate::config::policy::{KeyMaterial, Policy, SigningAlgorithm, TokenKey, Tokens, Upstream};
use crate::identity::derived::derive;
use crate::identity::{Identity, acr};

const LIFE: Duration = Duration::from_secs(60);
/// A new one is made after this, so that an upstream always gets one with as much time left.
const RENEWED_AFTER: Duration = Duration::from_secs(30);
/// One for each token and upstream in use.
const REMEMBERED: usize = 10_000;
/// RFC 8725 §3.11: no other kind of token passes as one of these, nor these as another.
const TYP: &str = "assertion+jwt";

pub struct Assertions {
    key: Key,
    header: String,
    issuer: String,
    /// Of the derived keys; the others are among the public keys anyway.
    derived: Vec<Jwk>,
    minted: Cache<(Uuid, usize), Minted>,
}

#[derive(Clone)]
struct Minted {
    /// A token id alone doesn't say what it stands for: that of an API key stays when its roles change.
    identity: Arc<Identity>,
    text: HeaderValue,
    renew_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: Uuid,
    iat: u64,
    exp: u64,
    jti: Uuid,
    sid: Uuid,
    preferred_username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    roles: &'a [String],
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
}

impl Assertions {
    /// `Err` says in words which key can't be used.
    pub fn new(tokens: &Tokens) -> Result<Self, String> {
        let first = tokens.keys.first().ok_or("there is no key to sign assertions with")?;
        let key = match derived_key(first) {
            Some(derived) => Key::new(&derived)?,
            None => Key::new(first)?,
        };
        // Those of keys that are on their way out still verify.
        let derived = tokens.keys.iter().filter_map(derived_key);
        let derived = derived.map(|derived| Ok(Key::new(&derived)?.public_jwk().cloned()));
        let derived: Vec<Option<Jwk>> = derived.collect::<Result<_, String>>()?;
        let algorithm = algorithm_name(key.verifying().algorithm);
        let header = serde_json::json!({ "alg": algorithm, "kid": key.id(), "typ": TYP });
        Ok(Self {
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            key,
            issuer: tokens.issuer.clone(),
            derived: derived.into_iter().flatten().collect(),
            minted: Cache::new(REMEMBERED),
        })
    }

    /// `None` if no upstream wants any. `tokens` with the key that the gateway made for itself.
    pub fn wanted(policy: &Policy, tokens: &Tokens) -> Result<Option<Arc<Self>>, String> {
        match policy.upstreams.iter().any(|upstream| upstream.assertion) {
            true => Self::new(tokens).map(|assertions| Some(Arc::new(assertions))),
            false => Ok(None),
        }
    }

    /// The public keys that verify assertions and no access token.
    pub fn public_keys(&self) -> &[Jwk] {
        &self.derived
    }

    /// The assertion for this upstream; the one of a moment ago while it has enough time left. Of many
    /// requests at once, one makes it.
    pub fn of(&self, identity: &Arc<Identity>, upstream: &Upstream, now: Timestamp) -> HeaderValue {
        let key = (identity.token_id, upstream.index);
        let is_good = |minted: &Minted| {
            now < minted.renew_at && (Arc::ptr_eq(&minted.identity, identity) || minted.identity == *identity)
        };
        if let Some(minted) = self.minted.get(&key).filter(is_good) {
            return minted.text;
        }
        self.minted.remove_if(&key, |minted| !is_good(minted));
        let minted = self.minted.get_or_insert_with(&key, || Ok(self.mint(identity, upstream, now)));
        let minted: Result<Minted, std::convert::Infallible> = minted;
        let Ok(minted) = minted;
        match is_good(&minted) {
            true => minted.text,
            // Somebody else with the same id was faster.
            false => self.mint(identity, upstream, now).text,
        }
    }

    fn mint(&self, identity: &Arc<Identity>, upstream: &Upstream, now: Timestamp) -> Minted {
        let claims = Claims {
            iss: &self.issuer,
            aud: &upstream.name,
            sub: identity.user_id,
            iat: unix_seconds(now),
            exp: unix_seconds(now + LIFE),
            jti: Uuid::now_v7(),
            sid: identity.session_id,
            preferred_username: &identity.username,
            email: identity.email.as_deref(),
            roles: &identity.roles,
            scope: identity.scopes.join(" "),
            acr: acr(&identity.amr),
            amr: &identity.amr,
        };
        let claims =
            serde_json::to_vec(&claims).expect("numbers, strings and lists of strings are always JSON");
        let mut text = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(text.as_bytes());
        text.push('.');
        text.push_str(&signature);
        let text = HeaderValue::try_from(text).expect("base64url and full stops are plain ASCII");
        Minted { identity: identity.clone(), text, renew_at: now + RENEWED_AFTER }
    }
}

/// `None` for keys that sign assertions themselves.
fn derived_key(key: &TokenKey) -> Option<TokenKey> {
    match key.algorithm {
        SigningAlgorithm::ES256 | SigningAlgorithm::EdDSA => None,
        SigningAlgorithm::HS256 | SigningAlgorithm::RS256 => {
            let seed = derive(key, b"portcullis assertion v1");
            Some(TokenKey {
                id: format!("assertion-{}", key.id),
                algorithm: SigningAlgorithm::EdDSA,
                material: KeyMaterial::PrivatePem(generate::ed25519_of(&seed)),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::{IdentityPreset, Timeouts};
    use crate::identity::secret::Secret;

    fn tokens(keys: &[(&str, SigningAlgorithm)]) -> Tokens {
        let key = |(id, algorithm): &(&str, SigningAlgorithm)| TokenKey {
            id: (*id).to_owned(),
            algorithm: *algorithm,
            material: match algorithm {
                SigningAlgorithm::HS256 => {
                    KeyMaterial::Shared(Secret::new(format!("{id}-4pJmWq0v5hK9sXr2Tn8bYc1dZf6gLa3e")))
                }
                other => KeyMaterial::PrivatePem(generate::generate(*other)),
            },
        };
        Tokens {
            issuer: "https://gate.example".to_owned(),
            audience: "a".to_owned(),
            client_id: "portcullis".to_owned(),
            access_ttl: LIFE,
            refresh_ttl: LIFE,
            session_ttl: LIFE,
            max_sessions: 100,
            refresh_window: LIFE,
            leeway: LIFE,
            max_size: 8192,
            keys: keys.iter().map(key).collect(),
        }
    }

    fn upstream(index: usize) -> Upstream {
        Upstream {
            name: format!("u{index}"),
            index,
            servers: Vec::new(),
            timeouts: Timeouts { connect: LIFE, read: LIFE, write: LIFE, idle: LIFE },
            identity: IdentityPreset::Forwarded,
            keep_authorization: false,
            reserved: Vec::new(),
            assertion: true,
        }
    }

    fn alice(role: &str) -> Arc<Identity> {
        Arc::new(Identity {
            user_id: Uuid::from_u128(1),
            username: "alice".to_owned(),
            email: None,
            roles: vec![role.to_owned()],
            scopes: Vec::new(),
            amr: Vec::new(),
            session_id: Uuid::from_u128(2),
            token_id: Uuid::from_u128(3),
            version: 1,
            issued_at: 0,
            expires_at: u64::MAX,
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn one_is_made_per_token_and_upstream_in_half_its_life() {
        let assertions = Assertions::new(&tokens(&[("k1", SigningAlgorithm::HS256)])).unwrap();
        let (user, first) = (alice("user"), upstream(0));
        let made = assertions.of(&user, &first, at(0));

        assert_eq!(assertions.of(&user, &first, at(29)), made);
        assert_eq!(assertions.of(&alice("user"), &first, at(29)), made, "the same token, verified again");
        assert_ne!(assertions.of(&user, &upstream(1), at(0)), made);
        let next = assertions.of(&user, &first, at(30));
        assert_ne!(next, made);
        assert_eq!(assertions.of(&user, &first, at(59)), next);
        assert_ne!(assertions.of(&alice("admin"), &first, at(59)), next, "an API key with another role");
    }

    #[test]
    fn of_many_requests_at_once_one_makes_it() {
        let assertions = &Assertions::new(&tokens(&[("k1", SigningAlgorithm::EdDSA)])).unwrap();
        let (user, upstream) = (&alice("user"), &upstream(0));
        for moment in [0, 40] {
            let made: std::collections::HashSet<HeaderValue> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..8).map(|_| scope.spawn(move || assertions.of(user, upstream, at(moment)))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(made.len(), 1);
        }
    }

    #[test]
    fn a_shared_secret_brings_a_public_key_of_its_own_and_a_signing_key_needs_none() {
        let derived = |keys| Assertions::new(&tokens(keys)).unwrap().public_keys().len();

        assert_eq!(derived(&[("k1", SigningAlgorithm::HS256)]), 1);
        assert_eq!(derived(&[("k1", SigningAlgorithm::ES256)]), 0);
        assert_eq!(derived(&[("k1", SigningAlgorithm::EdDSA), ("k0", SigningAlgorithm::HS256)]), 1);
        let again = || Assertions::new(&tokens(&[("k1", SigningAlgorithm::HS256)])).unwrap();
        assert_eq!(again().public_keys(), again().public_keys(), "every gateway has the same");
    }
}
