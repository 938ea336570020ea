//! The rules of the auth wing.

use std::sync::Arc;
use std::time::Duration;

use super::Limit;
use crate::identity::reserved::ReservedNames;

#[derive(Debug, Clone)]
pub struct Auth {
    /// `/auth`; without a trailing slash.
    pub prefix: String,
    /// Of the refresh cookie: covers each path that reads it.
    pub cookie_path: String,
    /// Of the device cookie: covers each path at which a password or a code is compared.
    pub device_path: String,
    /// Other paths of endpoints. What lies beneath one, or is spelled like one, is no upstream's.
    pub alias_paths: Vec<String>,
    pub registration_open: bool,
    /// What nobody calls themselves.
    pub reserved_names: ReservedNames,
    /// Whether there is a page for browsers that calls the API.
    pub docs: bool,
    pub password: PasswordRules,
    pub lockout: LockoutRule,
    pub email: EmailRules,
    pub mfa: MfaRules,
    pub keys: KeyRules,
    /// Limits of each endpoint that has any; the route table carries them too.
    pub limits: Vec<(AuthEndpoint, Vec<Arc<Limit>>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRules {
    /// In Unicode code points.
    pub min_length: usize,
    /// In Unicode code points.
    pub max_length: usize,
    pub argon2: Argon2Params,
    /// Threads that hash; fixed at start.
    pub workers: usize,
    /// Passwords that may wait for a worker; one more is refused with `overloaded`.
    pub queue: usize,
}

/// What goes by mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailRules {
    /// Nobody logs in before mail to the address has been seen to reach them.
    pub is_required: bool,
    /// Nobody changes a name or an address without the current password.
    pub change_needs_password: bool,
    /// Owners hear of what was changed in their accounts.
    pub notices: bool,
    pub verify_ttl: Duration,
    pub reset_ttl: Duration,
    /// Pages that take the token, which stands for `{token}`.
    pub verify_link: Option<String>,
    pub reset_link: Option<String>,
    /// Mails to one account and to one address, within this time.
    pub most: (u32, Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MfaRules {
    /// Whoever has one of these roles reaches upstreams with a second factor only.
    pub required_roles: Vec<String>,
    /// What authenticator apps call this place.
    pub issuer: String,
    /// Between the two steps of a login.
    pub ticket_ttl: Duration,
}

/// Of personal API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRules {
    /// Otherwise none is made, and none counts.
    pub enabled: bool,
    /// The longest that a key lives, whatever it says itself.
    pub max_ttl: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
}

/// The endpoints of the auth wing that a route can lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthEndpoint {
    Register,
    Login,
    /// Of OAuth2: a password or a refresh token for tokens.
    Token,
    Refresh,
    Logout,
    Me,
    Password,
    PasswordForgot,
    PasswordReset,
    EmailVerify,
    EmailResend,
    LoginMfa,
    Mfa,
    MfaTotp,
    MfaConfirm,
    MfaRecoveryCodes,
    MfaDisable,
    Sessions,
    /// One of them, by its id.
    Session,
    Keys,
    /// One of them, by its id.
    Key,
    Introspect,
    Revoke,
    Validate,
    Jwks,
    OpenApi,
    Docs,
    /// One of the files that the page loads, by its name.
    DocsFile,
}

impl AuthEndpoint {
    /// Whether it reads the refresh cookie.
    pub fn reads_refresh_token(self) -> bool {
        matches!(self, Self::Refresh | Self::Logout)
    }

    /// Whether a password or a code may be compared there, where known devices are counted apart.
    pub fn compares_proofs(self) -> bool {
        match self {
            Self::Login
            | Self::Token
            | Self::LoginMfa
            | Self::Me
            | Self::Password
            | Self::MfaTotp
            | Self::MfaConfirm
            | Self::MfaRecoveryCodes
            | Self::MfaDisable
            | Self::Session
            | Self::Keys
            | Self::Key => true,
            Self::Register
            | Self::Refresh
            | Self::Logout
            | Self::PasswordForgot
            | Self::PasswordReset
            | Self::EmailVerify
            | Self::EmailResend
            | Self::Mfa
            | Self::Sessions
            | Self::Introspect
            | Self::Revoke
            | Self::Validate
            | Self::Jwks
            | Self::OpenApi
            | Self::Docs
            | Self::DocsFile => false,
        }
    }

    pub const JWKS_PATH: &str = "/.well-known/jwks.json";

    pub const ALL: [Self; 28] = [
        Self::Register,
        Self::Login,
        Self::Token,
        Self::Refresh,
        Self::Logout,
        Self::Me,
        Self::Password,
        Self::PasswordForgot,
        Self::PasswordReset,
        Self::EmailVerify,
        Self::EmailResend,
        Self::LoginMfa,
        Self::Mfa,
        Self::MfaTotp,
        Self::MfaConfirm,
        Self::MfaRecoveryCodes,
        Self::MfaDisable,
        Self::Sessions,
        Self::Session,
        Self::Keys,
        Self::Key,
        Self::Introspect,
        Self::Revoke,
        Self::Validate,
        Self::Jwks,
        Self::OpenApi,
        Self::Docs,
        Self::DocsFile,
    ];

    /// As in `auth.limits` and `auth.aliases`, and the last part of the route's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::Token => "token",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
            Self::Me => "me",
            Self::Password => "password",
            Self::PasswordForgot => "password-forgot",
            Self::PasswordReset => "password-reset",
            Self::EmailVerify => "email-verify",
            Self::EmailResend => "email-resend",
            Self::LoginMfa => "login-mfa",
            Self::Mfa => "mfa",
            Self::MfaTotp => "mfa-totp",
            Self::MfaConfirm => "mfa-confirm",
            Self::MfaRecoveryCodes => "mfa-recovery-codes",
            Self::MfaDisable => "mfa-disable",
            Self::Sessions => "sessions",
            Self::Session => "session",
            Self::Keys => "keys",
            Self::Key => "key",
            Self::Introspect => "introspect",
            Self::Revoke => "revoke",
            Self::Validate => "validate",
            Self::Jwks => "jwks",
            Self::OpenApi => "openapi",
            Self::Docs => "docs",
            Self::DocsFile => "docs-file",
        }
    }

    /// Its path beneath the prefix; with parameters that the proxy matches.
    pub fn path(self) -> &'static str {
        match self {
            Self::PasswordForgot => "password/forgot",
            Self::PasswordReset => "password/reset",
            Self::EmailVerify => "email/verify",
            Self::EmailResend => "email/resend",
            Self::LoginMfa => "login/mfa",
            Self::MfaTotp => "mfa/totp",
            Self::MfaConfirm => "mfa/totp/confirm",
            Self::MfaRecoveryCodes => "mfa/recovery-codes",
            Self::MfaDisable => "mfa/disable",
            Self::Session => "sessions/{id}",
            Self::Key => "keys/{id}",
            Self::OpenApi => "openapi.json",
            Self::DocsFile => "docs/{file}",
            _ => self.as_str(),
        }
    }

    /// The members of its answers, as far as they are no refusals.
    pub fn members(self) -> &'static [&'static str] {
        match self {
            Self::Register => &["id", "username", "roles"],
            Self::Login | Self::Token | Self::LoginMfa | Self::Refresh | Self::Password => {
                &["access_token", "token_type", "expires_in", "refresh_token"]
            }
            Self::Mfa => &["enabled", "recovery_codes"],
            Self::MfaTotp => &["secret", "uri", "qr_svg"],
            Self::MfaConfirm => {
                &["access_token", "token_type", "expires_in", "refresh_token", "recovery_codes"]
            }
            Self::MfaRecoveryCodes => &["recovery_codes"],
            Self::Me => {
                &["id", "username", "email", "email_verified", "pending_email", "roles", "created_at"]
            }
            Self::Sessions => &["sessions"],
            Self::Keys => &["keys"],
            Self::Introspect => &[
                "active",
                "sub",
                "username",
                "scope",
                "roles",
                "exp",
                "iat",
                "iss",
                "aud",
                "client_id",
                "jti",
                "sid",
            ],
            Self::Validate => &["valid", "id", "username", "roles", "expires_at"],
            Self::Jwks => &["keys"],
            Self::Logout
            | Self::Revoke
            | Self::PasswordForgot
            | Self::PasswordReset
            | Self::EmailVerify
            | Self::EmailResend
            | Self::MfaDisable
            | Self::Session
            | Self::Key
            | Self::OpenApi
            | Self::Docs
            | Self::DocsFile => &[],
        }
    }

    /// Whether it does what needs the password, and a code of the second factor, beside the access token.
    pub fn is_sensitive(self) -> bool {
        matches!(
            self,
            Self::Me
                | Self::Password
                | Self::MfaTotp
                | Self::MfaRecoveryCodes
                | Self::MfaDisable
                | Self::Session
                | Self::Keys
                | Self::Key
        )
    }

    /// Whether an alias may have it hand out a new access token for the session of the bearer.
    pub fn renews(self) -> bool {
        matches!(self, Self::Me | Self::Validate)
    }

    /// The members of what it takes, which aliases may give other names.
    pub fn request_members(self) -> &'static [&'static str] {
        match self {
            Self::Register => &["username", "password", "email"],
            Self::Login | Self::Token => &["username", "password", "refresh_token"],
            Self::LoginMfa => &["ticket", "code", "refresh_token"],
            Self::Refresh => &["refresh_token"],
            Self::Logout => &["access_token", "refresh_token"],
            Self::Me => &["username", "email", "password", "new_password"],
            Self::Password => &["old_password", "new_password", "refresh_token"],
            Self::PasswordForgot | Self::EmailResend => &["email"],
            Self::PasswordReset => &["token", "new_password"],
            Self::EmailVerify => &["token"],
            Self::MfaTotp => &["password"],
            Self::MfaConfirm => &["code", "refresh_token"],
            Self::MfaRecoveryCodes | Self::MfaDisable => &["code"],
            Self::Keys => &["name", "roles", "expires_at"],
            Self::Introspect | Self::Revoke => &["token", "token_type_hint"],
            Self::Validate => &["token"],
            Self::Mfa
            | Self::Sessions
            | Self::Session
            | Self::Key
            | Self::Jwks
            | Self::OpenApi
            | Self::Docs
            | Self::DocsFile => &[],
        }
    }

    /// The methods it answers to.
    pub fn methods(self) -> Vec<http::Method> {
        use http::Method;
        match self {
            Self::Sessions | Self::Mfa | Self::Jwks | Self::OpenApi | Self::Docs | Self::DocsFile => {
                vec![Method::GET]
            }
            Self::Me => vec![Method::GET, Method::PUT, Method::PATCH, Method::DELETE],
            Self::Keys | Self::Validate => vec![Method::GET, Method::POST],
            Self::Session | Self::Key => vec![Method::DELETE],
            Self::Register
            | Self::Login
            | Self::Token
            | Self::Refresh
            | Self::Logout
            | Self::Revoke
            | Self::Password
            | Self::PasswordForgot
            | Self::PasswordReset
            | Self::EmailVerify
            | Self::EmailResend
            | Self::LoginMfa
            | Self::MfaTotp
            | Self::MfaConfirm
            | Self::MfaRecoveryCodes
            | Self::MfaDisable
            | Self::Introspect => vec![Method::POST],
        }
    }
}

/// After `failures` in a row the name is locked `for_`, counted from the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutRule {
    pub failures: u32,
    pub for_: Duration,
}
