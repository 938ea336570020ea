//! Who somebody is and how they prove it: the core of both wings, without I/O.

pub mod api_key;
pub mod credentials;
pub mod derived;
pub mod device;
pub mod email;
pub mod foreign;
pub mod name;
pub mod one_time;
pub mod password;
pub mod percent;
pub mod recovery_code;
pub mod refresh;
pub mod reserved;
pub mod secret;
pub mod token;
pub mod totp;
pub mod typed_code;
pub mod vault;

use uuid::Uuid;

/// A user's stable id; it never changes and is never reused.
pub type UserId = Uuid;
/// A session: one login and everything refreshed from it (claim `sid`).
pub type SessionId = Uuid;

/// What a verified access token says, or a good API key stands for. Only [`token::KeyRing::verify`]
/// and the stage that looks keys up make one, so a function
/// that takes an `Identity` need not ask again whether the caller is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `sub`
    pub user_id: UserId,
    /// `preferred_username`
    pub username: String,
    pub email: Option<String>,
    /// Role names matching `[a-z0-9][a-z0-9_.:-]*`, so that they can be joined into a header.
    pub roles: Vec<String>,
    /// `scope`, split at spaces (RFC 9068 §2.2.3).
    pub scopes: Vec<String>,
    /// `amr`: how they proved it (RFC 8176). Empty where nobody says.
    pub amr: Vec<String>,
    /// `sid`
    pub session_id: SessionId,
    /// `jti`
    pub token_id: Uuid,
    /// `ver`: tokens older than the user's current version are stale.
    pub version: u64,
    /// `iat`, seconds since the Unix epoch.
    pub issued_at: u64,
    /// `exp`, seconds since the Unix epoch.
    pub expires_at: u64,
}

impl Identity {
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// Whether they have shown more than one factor.
    pub fn has_mfa(&self) -> bool {
        self.amr.iter().any(|method| method == "mfa")
    }

    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}

/// The `acr` of such methods, and what `acr_values` asks for (RFC 9470): the assurance levels of
/// NIST SP 800-63B.
pub fn acr(amr: &[String]) -> Option<&'static str> {
    match amr {
        [] => None,
        amr if amr.iter().any(|method| method == "mfa") => Some("aal2"),
        _ => Some("aal1"),
    }
}
