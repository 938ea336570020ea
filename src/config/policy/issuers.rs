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
    /// What its users' ids are made of: the first of `spellings`.
    pub issuer: String,
    /// What its tokens say in `iss` (RFC 7519 §4.1.1), character for character; [`TENANT`] in one stands for a
    /// tenant.
    pub spellings: Vec<String>,
    /// Whose tokens count, where a spelling stands for many issuers. `None` where none does.
    pub tenants: Option<Tenants>,
    pub audience: Audience,
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

/// In an issuer's spelling: each tenant has one of its own (as Entra's `common` endpoint publishes it).
pub const TENANT: &str = "{tenantid}";

/// Which tenants' tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    Any,
    Only(Vec<String>),
}

/// Whom a token must be meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Its tokens have no audience; one that has is meant for somebody else.
    Absent,
    /// One of `values`, said by the claim at this path.
    OneOf { claim: Vec<String>, values: Vec<String> },
}

/// What another issuer's roles are called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignRoles {
    /// As there.
    Same,
    /// Its names to ours; the others count for nothing.
    Mapped(BTreeMap<String, String>),
}

impl Issuer {
    /// Whether tokens with this `iss` are its own, if the tenant is allowed.
    pub fn speaks_as(&self, iss: &str) -> bool {
        self.tenant_of(iss).is_some() || self.is_spelling(iss)
    }

    /// Whether it is one of the spellings itself.
    pub fn is_spelling(&self, iss: &str) -> bool {
        self.spellings.iter().any(|own| own == iss && !own.contains(TENANT))
    }

    /// The tenant whose issuer this is.
    pub fn tenant_of<'i>(&self, iss: &'i str) -> Option<&'i str> {
        self.spellings.iter().find_map(|own| tenant(own, iss))
    }
}

/// What stands in `iss` in place of [`TENANT`].
pub fn tenant<'i>(spelling: &str, iss: &'i str) -> Option<&'i str> {
    let (before, after) = spelling.split_once(TENANT)?;
    let tenant = iss.strip_prefix(before)?.strip_suffix(after)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (!tenant.is_empty() && tenant.bytes().all(is_name)).then_some(tenant)
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

/// The asymmetric algorithms of RFC 7518 §3.1, RFC 8037 §3.1 and RFC 9864 §2.2 that can be verified.
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
    ES512,
    EdDSA,
    Ed25519,
}

impl ForeignAlgorithm {
    pub const ALL: [Self; 11] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
        Self::Ed25519,
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
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
            Self::Ed25519 => "Ed25519",
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
