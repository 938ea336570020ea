//! What a route can lead to at the gateway itself, and what each endpoint sends and takes.

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
        self.is_sensitive() || matches!(self, Self::Login | Self::Token | Self::LoginMfa | Self::MfaConfirm)
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
