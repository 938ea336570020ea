//! Who else may say who somebody is: issuers of tokens that aren't this gateway.

use std::collections::BTreeMap;
use std::time::Duration;

/// An issuer other than this gateway, such as an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name in the file, for logs and metrics.
    pub name: String,
    /// Position in [`Policy::issuers`](super::Policy::issuers).
    pub index: usize,
    /// The exact `iss` of its tokens (RFC 7519 §4.1.1).
    pub issuer: String,
    /// A token must be meant for one of these (`aud`).
    pub audiences: Vec<String>,
    pub key_source: KeySource,
    /// What its tokens may be signed with; never empty, and never a shared secret.
    pub algorithms: Vec<ForeignAlgorithm>,
    pub claims: ClaimNames,
    /// Which of its roles count here. `None`: none of them.
    pub roles: Option<ForeignRoles>,
    /// Stands before the names of its users. Holds a sign that no username here has, or nothing.
    pub username_prefix: Option<String>,
    /// Whether ID tokens are taken for access tokens.
    pub allow_id_tokens: bool,
    /// Whether it verifies every address, so that one counts without a claim that says so.
    pub email_trusted: bool,
    /// Clock skew forgiven for `exp`, `nbf` and `iat`; at most 60 s.
    pub leeway: Duration,
    /// How often its keys are fetched again.
    pub refresh: Duration,
    /// How long after a fetch a missing key, or a failure, brings no other.
    pub cooldown: Duration,
    /// Certificates in PEM that are trusted beside the system's when fetching its keys.
    pub ca: Option<String>,
}

/// What another issuer's roles are called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignRoles {
    /// As there.
    Same,
    /// Its names to ours; the others count for nothing.
    Mapped(BTreeMap<String, String>),
}

/// Where an issuer's public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// At `jwks_uri` of this document (OpenID Connect Discovery 1.0 §4).
    Discovery(String),
    /// At this URL.
    Url(String),
    /// This JWK Set (RFC 7517 §5).
    Text(String),
}

/// The way to each claim from the outermost object inwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Tells the issuer's users apart for ever.
    pub user: Vec<String>,
    pub username: Vec<String>,
    pub email: Vec<String>,
    /// Says whether the issuer has verified the address.
    pub email_verified: Vec<String>,
    /// `None`: its users have no roles here.
    pub roles: Option<Vec<String>>,
    pub scopes: Vec<String>,
}

/// The asymmetric algorithms of RFC 7518 §3.1 and RFC 8037 §3.1 that can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl ForeignAlgorithm {
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// Its `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// Whose tokens a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedIssuers {
    /// This gateway's own.
    pub own: bool,
    /// By [`Issuer::index`].
    pub foreign: Vec<usize>,
}

impl Default for AcceptedIssuers {
    fn default() -> Self {
        Self { own: true, foreign: Vec::new() }
    }
}
