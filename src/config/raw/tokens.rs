//! `tokens:`

use serde::Deserialize;

use super::List;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub client_id: Option<String>,
    pub access_ttl: Option<String>,
    pub refresh_ttl: Option<String>,
    pub session_ttl: Option<String>,
    pub max_sessions: Option<u64>,
    pub refresh_window: Option<String>,
    pub leeway: Option<String>,
    pub max_size: Option<String>,
    pub keys: Option<List<TokenKey>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    pub id: Option<String>,
    pub algorithm: Option<Algorithm>,
    pub secret: Option<String>,
    pub key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}
