//! `tokens:`

use std::collections::HashSet;
use std::time::Duration;

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{KeyMaterial, SigningAlgorithm, TokenKey, Tokens};
use crate::config::raw::{self, Algorithm};
use crate::identity::secret::{Secret, is_repetition, is_sample};
use crate::identity::token::jws::MAX_TOKEN_BYTES;
use crate::identity::token::{KeyError, KeyRing};

const DAY: Duration = Duration::from_secs(24 * 3600);
const DEFAULT_MAX_SIZE: u64 = 8 * 1024;
const MAX_LEEWAY: Duration = Duration::from_secs(60);
/// RFC 7518 §3.2: as long as the hash.
const MIN_SECRET_BYTES: usize = 32;
const FRESH_SECRET: &str = "make a fresh one; run: openssl rand -base64 48";

impl Compiler<'_> {
    pub fn tokens(&mut self, raw: raw::Tokens, at: &Place<'_>) -> Tokens {
        let key_count = raw.keys.as_ref().map_or(0, Vec::len);
        let tokens = Tokens {
            issuer: self.text(at, "issuer", raw.issuer, "http://localhost:8080"),
            audience: self.text(at, "audience", raw.audience, "portcullis"),
            client_id: self.text(at, "client_id", raw.client_id, "portcullis"),
            access_ttl: self.positive_duration(at, "access_ttl", raw.access_ttl, DAY / 96),
            refresh_ttl: self.positive_duration(at, "refresh_ttl", raw.refresh_ttl, DAY * 14),
            session_ttl: self.positive_duration(at, "session_ttl", raw.session_ttl, DAY * 90),
            max_sessions: self.number(at, "max_sessions", raw.max_sessions, 100, 1..=10_000),
            refresh_window: self.duration(at, "refresh_window", raw.refresh_window, Duration::from_secs(10)),
            leeway: self.duration(at, "leeway", raw.leeway, Duration::from_secs(30)),
            max_size: self.size(at, "max_size", raw.max_size, DEFAULT_MAX_SIZE, 1024..=MAX_TOKEN_BYTES as u64)
                as usize,
            keys: self.token_keys(raw.keys.unwrap_or_default(), &at.key("keys")),
        };
        self.check_lifetimes(&tokens, at);
        if key_count > 0 && tokens.keys.len() == key_count {
            self.try_keys(&tokens, &at.key("keys"));
        }
        tokens
    }

    /// Whether the keys can sign and verify.
    fn try_keys(&mut self, tokens: &Tokens, at: &Place<'_>) {
        if let Err(KeyError { index, problem }) = KeyRing::new(tokens) {
            self.problems.error(&at.item(index), problem);
        }
    }

    fn check_lifetimes(&mut self, tokens: &Tokens, at: &Place<'_>) {
        if tokens.leeway > MAX_LEEWAY {
            self.problems.error(&at.key("leeway"), "more than 60s would keep expired tokens alive");
        }
        if tokens.access_ttl > tokens.refresh_ttl {
            self.problems.error(&at.key("access_ttl"), "must not be longer than `refresh_ttl`");
        }
        if tokens.refresh_ttl > tokens.session_ttl {
            self.problems
                .error(&at.key("refresh_ttl"), "must not be longer than `session_ttl` (default 90d)");
        }
        if tokens.refresh_window > MAX_LEEWAY {
            self.problems.error(&at.key("refresh_window"), "more than 60s would hide stolen refresh tokens");
        }
    }

    fn token_keys(&mut self, raw: raw::List<raw::TokenKey>, at: &Place<'_>) -> Vec<TokenKey> {
        let mut ids = HashSet::new();
        let mut keys = Vec::new();
        for (index, key) in self.items(raw, at) {
            let place = at.item(index);
            let id = self.key_id(key.id.as_deref(), &mut ids, &place);
            let Some(algorithm) = key.algorithm else {
                self.problems.missing(&place, "algorithm", "write HS256, RS256, ES256 or EdDSA");
                continue;
            };
            let material = match algorithm {
                Algorithm::HS256 => self.shared_secret(key, &place),
                _ => self.private_key(key, &place),
            };
            if let (Some(id), Some(material)) = (id, material) {
                keys.push(TokenKey { id, algorithm: algorithm.into(), material });
            }
        }
        keys
    }

    fn key_id(&mut self, id: Option<&str>, ids: &mut HashSet<String>, at: &Place<'_>) -> Option<String> {
        let Some(id) = id else {
            self.problems.missing(at, "id", "give the key a name, such as `id: k1`");
            return None;
        };
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "must be 1 to 64 printable ASCII characters without spaces";
            self.problems.error(&at.key("id"), message);
            return None;
        }
        if !ids.insert(id.to_owned()) {
            self.problems
                .error(&at.key("id"), format!("{id:?} is the id of a key above; each needs its own"));
            return None;
        }
        Some(id.to_owned())
    }

    fn shared_secret(&mut self, key: raw::TokenKey, at: &Place<'_>) -> Option<KeyMaterial> {
        if key.key.is_some() {
            self.problems.error(&at.key("key"), "HS256 takes `secret`, not `key`");
            return None;
        }
        let Some(secret) = key.secret else {
            self.problems.missing(at, "secret", FRESH_SECRET);
            return None;
        };
        if let Some(reason) = secret_problem(&secret) {
            self.problems.error(&at.key("secret"), format!("{reason}; {FRESH_SECRET}"));
            return None;
        }
        Some(KeyMaterial::Shared(Secret::new(secret)))
    }

    fn private_key(&mut self, key: raw::TokenKey, at: &Place<'_>) -> Option<KeyMaterial> {
        if key.secret.is_some() {
            let message = "this algorithm takes `key: { file: … }` with a private key, not `secret`";
            self.problems.error(&at.key("secret"), message);
            return None;
        }
        let Some(pem) = key.key else {
            self.problems.missing(at, "key", "name a private key in PEM: `key: { file: k1.pem }`");
            return None;
        };
        if !pem.contains("PRIVATE KEY-----") {
            let message = "expected a private key in PEM (`-----BEGIN PRIVATE KEY-----`)";
            self.problems.error(&at.key("key"), message);
            return None;
        }
        Some(KeyMaterial::PrivatePem(Secret::new(pem)))
    }
}

fn secret_problem(secret: &str) -> Option<String> {
    if secret.contains("-----BEGIN ") {
        return Some("this is a PEM block, which is no shared secret".to_owned());
    }
    if is_sample(secret.as_bytes()) {
        return Some("this is a well-known sample secret".to_owned());
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Some(format!("HS256 needs {MIN_SECRET_BYTES} bytes or more, this has {}", secret.len()));
    }
    if is_repetition(secret.as_bytes()) {
        return Some("this secret only repeats a few characters".to_owned());
    }
    None
}

impl From<Algorithm> for SigningAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HS256 => Self::HS256,
            Algorithm::RS256 => Self::RS256,
            Algorithm::ES256 => Self::ES256,
            Algorithm::EdDSA => Self::EdDSA,
        }
    }
}
