//! What the signed bytes of an access token mean (RFC 9068 §2.2), and for how long.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::TokenError;
use super::json::{self, present};
use crate::config::policy::Tokens;
use crate::identity::{Identity, acr, name};

/// More skew than this is never forgiven, whatever the configuration says.
const MAX_LEEWAY_SECONDS: u64 = 60;

/// Claims that hold, and when: from `starts` until just before `ends`, leeway included, in
/// seconds since the Unix epoch.
pub struct VerifiedClaims {
    pub identity: Identity,
    pub starts: u64,
    pub ends: u64,
}

impl VerifiedClaims {
    pub fn check_time(&self, now: u64) -> Result<(), TokenError> {
        if now >= self.ends {
            return Err(TokenError::Expired);
        }
        if now < self.starts {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}

/// Whose tokens, for whom, and how much clock skew is forgiven.
pub struct ClaimRules {
    issuer: String,
    audience: String,
    client_id: String,
    leeway_seconds: u64,
    /// No token counts for longer after it was issued, even if it was minted when tokens lived longer: revocations
    /// are kept for this time.
    longest_life_seconds: u64,
}

/// The same struct for writing and reading, so that both agree on names and types. Members that
/// aren't named here are ignored, as RFC 7519 §4 wants.
#[derive(Serialize, Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    sub: Uuid,
    #[serde(borrow)]
    aud: Audience<'a>,
    exp: u64,
    iat: u64,
    /// Written only: RFC 9068 §2.2 wants it, and nothing here asks for it.
    #[serde(skip_deserializing)]
    client_id: Cow<'a, str>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    jti: Uuid,
    sid: Uuid,
    ver: u64,
    roles: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    preferred_username: Cow<'a, str>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    email: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    scope: Option<Cow<'a, str>>,
    /// Written only: what it says follows from `amr`.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    amr: Vec<Cow<'a, str>>,
}

/// RFC 7519 §4.1.3: one audience may stand without its array.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

impl Audience<'_> {
    fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

impl ClaimRules {
    pub fn new(tokens: &Tokens) -> Self {
        Self {
            issuer: tokens.issuer.clone(),
            audience: tokens.audience.clone(),
            client_id: tokens.client_id.clone(),
            leeway_seconds: tokens.leeway.as_secs().min(MAX_LEEWAY_SECONDS),
            longest_life_seconds: whole_seconds(tokens.access_ttl),
        }
    }

    /// Call it with bytes whose signature has been checked. Time isn't looked at yet.
    pub fn read(&self, payload: &[u8]) -> Result<VerifiedClaims, TokenError> {
        let claims: Claims<'_> = json::parse(payload).map_err(|_| TokenError::Invalid)?;
        if claims.iss != self.issuer || !claims.aud.includes(&self.audience) || !claims.fits_headers() {
            return Err(TokenError::Invalid);
        }
        let valid_from = claims.nbf.unwrap_or(0).max(claims.iat);
        let expires_at = claims.exp.min(claims.iat.saturating_add(self.longest_life_seconds));
        Ok(VerifiedClaims {
            starts: valid_from.saturating_sub(self.leeway_seconds),
            ends: expires_at.saturating_add(self.leeway_seconds),
            identity: Identity { expires_at, ..claims.into_identity() },
        })
    }

    /// The claims of `identity` as JSON.
    pub fn write(&self, identity: &Identity) -> Vec<u8> {
        let email = identity.email.as_deref().filter(|email| name::fits_header(email));
        let claims = Claims {
            iss: Cow::from(&self.issuer),
            sub: identity.user_id,
            aud: Audience::One(Cow::from(&self.audience)),
            exp: identity.expires_at,
            iat: identity.issued_at,
            client_id: Cow::from(&self.client_id),
            nbf: None,
            jti: identity.token_id,
            sid: identity.session_id,
            ver: identity.version,
            roles: identity.roles.iter().map(Cow::from).collect(),
            preferred_username: Cow::from(&identity.username),
            email: email.map(Cow::from),
            acr: acr(&identity.amr),
            amr: identity.amr.iter().map(Cow::from).collect(),
            scope: (!identity.scopes.is_empty()).then(|| Cow::from(identity.scopes.join(" "))),
        };
        serde_json::to_vec(&claims).expect("numbers, strings and lists of strings are always JSON")
    }
}

/// Rounded up: `exp` and `iat` are whole seconds.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

impl Claims<'_> {
    /// Everything that is handed to upstreams in a header must arrive there as it was signed:
    /// a comma in a role would be two roles.
    fn fits_headers(&self) -> bool {
        self.roles.iter().all(|role| name::is_role(role))
            && name::may_be_told(&self.preferred_username)
            && self.email.as_deref().is_none_or(name::fits_header)
            && self.scope.as_deref().is_none_or(|scopes| scopes.split(' ').all(name::fits_header))
    }

    fn into_identity(self) -> Identity {
        let scopes = self.scope.iter().flat_map(|scopes| scopes.split(' ')).map(str::to_owned).collect();
        Identity {
            user_id: self.sub,
            username: self.preferred_username.into_owned(),
            email: self.email.map(Cow::into_owned),
            roles: self.roles.into_iter().map(Cow::into_owned).collect(),
            scopes,
            amr: self.amr.into_iter().map(Cow::into_owned).collect(),
            session_id: self.sid,
            token_id: self.jti,
            version: self.ver,
            issued_at: self.iat,
            expires_at: self.exp,
        }
    }
}
