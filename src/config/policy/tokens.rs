//! How tokens are made and checked.

use std::time::Duration;

use crate::identity::secret::Secret;

#[derive(Debug, Clone)]
pub struct Tokens {
    pub issuer: String,
    pub audience: String,
    /// The claim of that name (RFC 9068 §2.2): clients have no accounts here, and all are one.
    pub client_id: String,
    pub access_ttl: Duration,
    /// A session without a refresh for this long is over.
    pub refresh_ttl: Duration,
    /// A session is over after this in any case.
    pub session_ttl: Duration,
    /// Of one account at once: the least recently used ends for one more.
    pub max_sessions: u32,
    /// The predecessor of a refresh token still gets the same successor for this long.
    pub refresh_window: Duration,
    /// Clock skew forgiven for `exp` and `nbf`; at most 60 s.
    pub leeway: Duration,
    /// In bytes: a longer bearer token is refused unread.
    pub max_size: usize,
    /// The first signs, all verify. Empty: the stores keep a generated one.
    pub keys: Vec<TokenKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// `kid`
    pub id: String,
    pub algorithm: SigningAlgorithm,
    pub material: KeyMaterial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// HS256: at least 32 bytes.
    Shared(Secret),
    /// The others: a private key in PEM (PKCS#8; for RSA also PKCS#1, for EC also SEC1).
    PrivatePem(Secret),
}
