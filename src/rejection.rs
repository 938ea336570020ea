//! Why a request was refused: one stable code per reason, shared by both wings, the access log,
//! the metrics and the docs.

use std::time::Duration;

use http::StatusCode;

/// The stable name of a refusal. Clients, dashboards and alerts depend on these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    NoCredentials,
    TokenMalformed,
    TokenTooLarge,
    TokenInvalid,
    TokenExpired,
    TokenNotYetValid,
    TokenRevoked,
    TokenStale,
    RoleMissing,
    NotOwner,
    MfaRequired,
    MfaCodeInvalid,
    RateLimited,
    RouteNotFound,
    NotFound,
    MethodNotAllowed,
    BadPath,
    BadRequest,
    BodyTooLarge,
    RequestTimeout,
    HeadersTooLarge,
    UnsupportedMediaType,
    CrossOrigin,
    WrongHost,
    BadCredentials,
    ReauthenticationRequired,
    AccountLocked,
    AccountDisabled,
    EmailNotVerified,
    OneTimeTokenInvalid,
    UsernameTaken,
    AccountChanged,
    UsernameReserved,
    WeakPassword,
    RegistrationClosed,
    RefreshInvalid,
    RefreshReused,
    UpstreamUnreachable,
    UpstreamTimeout,
    StoreUnavailable,
    Overloaded,
    Internal,
}

impl Code {
    pub const ALL: [Code; 42] = [
        Code::NoCredentials,
        Code::TokenMalformed,
        Code::TokenTooLarge,
        Code::TokenInvalid,
        Code::TokenExpired,
        Code::TokenNotYetValid,
        Code::TokenRevoked,
        Code::TokenStale,
        Code::RoleMissing,
        Code::NotOwner,
        Code::MfaRequired,
        Code::MfaCodeInvalid,
        Code::RateLimited,
        Code::RouteNotFound,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::BadPath,
        Code::BadRequest,
        Code::BodyTooLarge,
        Code::RequestTimeout,
        Code::HeadersTooLarge,
        Code::UnsupportedMediaType,
        Code::CrossOrigin,
        Code::WrongHost,
        Code::BadCredentials,
        Code::ReauthenticationRequired,
        Code::AccountLocked,
        Code::AccountDisabled,
        Code::EmailNotVerified,
        Code::OneTimeTokenInvalid,
        Code::UsernameTaken,
        Code::AccountChanged,
        Code::UsernameReserved,
        Code::WeakPassword,
        Code::RegistrationClosed,
        Code::RefreshInvalid,
        Code::RefreshReused,
        Code::UpstreamUnreachable,
        Code::UpstreamTimeout,
        Code::StoreUnavailable,
        Code::Overloaded,
        Code::Internal,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Code::NoCredentials => "no_credentials",
            Code::TokenMalformed => "token_malformed",
            Code::TokenTooLarge => "token_too_large",
            Code::TokenInvalid => "token_invalid",
            Code::TokenExpired => "token_expired",
            Code::TokenNotYetValid => "token_not_yet_valid",
            Code::TokenRevoked => "token_revoked",
            Code::TokenStale => "token_stale",
            Code::RoleMissing => "role_missing",
            Code::NotOwner => "not_owner",
            Code::MfaRequired => "mfa_required",
            Code::MfaCodeInvalid => "mfa_code_invalid",
            Code::RateLimited => "rate_limited",
            Code::RouteNotFound => "route_not_found",
            Code::NotFound => "not_found",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::BadPath => "bad_path",
            Code::BadRequest => "bad_request",
            Code::BodyTooLarge => "body_too_large",
            Code::RequestTimeout => "request_timeout",
            Code::HeadersTooLarge => "headers_too_large",
            Code::UnsupportedMediaType => "unsupported_media_type",
            Code::CrossOrigin => "cross_origin",
            Code::WrongHost => "wrong_host",
            Code::BadCredentials => "bad_credentials",
            Code::ReauthenticationRequired => "reauthentication_required",
            Code::AccountLocked => "account_locked",
            Code::AccountDisabled => "account_disabled",
            Code::EmailNotVerified => "email_not_verified",
            Code::OneTimeTokenInvalid => "one_time_token_invalid",
            Code::UsernameTaken => "username_taken",
            Code::AccountChanged => "account_changed",
            Code::UsernameReserved => "username_reserved",
            Code::WeakPassword => "weak_password",
            Code::RegistrationClosed => "registration_closed",
            Code::RefreshInvalid => "refresh_invalid",
            Code::RefreshReused => "refresh_reused",
            Code::UpstreamUnreachable => "upstream_unreachable",
            Code::UpstreamTimeout => "upstream_timeout",
            Code::StoreUnavailable => "store_unavailable",
            Code::Overloaded => "overloaded",
            Code::Internal => "internal",
        }
    }

    pub fn status(self) -> StatusCode {
        match self {
            Code::NoCredentials
            | Code::TokenMalformed
            | Code::TokenInvalid
            | Code::TokenExpired
            | Code::TokenNotYetValid
            | Code::TokenRevoked
            | Code::TokenStale
            | Code::MfaCodeInvalid
            | Code::BadCredentials
            | Code::RefreshInvalid
            | Code::RefreshReused => StatusCode::UNAUTHORIZED,
            Code::RoleMissing
            | Code::NotOwner
            | Code::MfaRequired
            | Code::CrossOrigin
            | Code::AccountLocked
            | Code::AccountDisabled
            | Code::EmailNotVerified
            | Code::RegistrationClosed => StatusCode::FORBIDDEN,
            Code::RouteNotFound | Code::NotFound => StatusCode::NOT_FOUND,
            Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Code::UsernameTaken | Code::UsernameReserved | Code::AccountChanged => StatusCode::CONFLICT,
            Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Code::TokenTooLarge | Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::BadPath
            | Code::BadRequest
            | Code::ReauthenticationRequired
            | Code::OneTimeTokenInvalid
            | Code::WeakPassword => StatusCode::BAD_REQUEST,
            Code::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
            Code::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Code::StoreUnavailable | Code::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the request was let through, and its upstream failed it.
    pub fn is_failure_of_upstream(self) -> bool {
        matches!(self, Code::UpstreamUnreachable | Code::UpstreamTimeout)
    }

    /// One sentence for people; says nothing about the inside.
    pub fn detail(self) -> &'static str {
        match self {
            Code::NoCredentials => "This resource needs an access token",
            Code::TokenMalformed => "The credentials are not a well-formed bearer token",
            Code::TokenTooLarge => "The access token is larger than this gateway takes",
            Code::TokenInvalid => "The access token is not valid",
            Code::TokenExpired => "Access token expired",
            Code::TokenNotYetValid => "The access token is not valid yet",
            Code::TokenRevoked => "The access token was revoked",
            Code::TokenStale => "The account changed since this access token was issued; refresh it",
            Code::RoleMissing => "The account lacks the role or scope that this resource needs",
            Code::NotOwner => "This resource belongs to another account",
            Code::MfaRequired => "A second factor is needed",
            Code::MfaCodeInvalid => "The code is wrong or was used before",
            Code::RateLimited => "Too many requests",
            Code::RouteNotFound => "No route has this path",
            Code::NotFound => "There is no such thing here",
            Code::MethodNotAllowed => "This path does not allow this method",
            Code::BadPath => "The request target is not in plain canonical form",
            Code::BadRequest => "The request is not well-formed",
            Code::BodyTooLarge => "The request body is too large",
            Code::RequestTimeout => "The request did not arrive in time",
            Code::HeadersTooLarge => "The request has too many header fields, or too long ones",
            Code::UnsupportedMediaType => "The request body has the wrong content type",
            Code::CrossOrigin => "The request comes from another origin",
            Code::WrongHost => "This server isn't known by the name in the Host field",
            Code::BadCredentials => "Wrong username or password",
            Code::ReauthenticationRequired => "This action needs the current password",
            Code::AccountLocked => "The account is locked for a while after too many failures",
            Code::AccountDisabled => "The account is disabled",
            Code::EmailNotVerified => "The email address of the account has to be confirmed first",
            Code::OneTimeTokenInvalid => "The token is not valid, was used before, or has expired",
            Code::UsernameTaken => "The username is taken",
            Code::AccountChanged => "The account was changed by another request meanwhile; try again",
            Code::UsernameReserved => "The username is reserved",
            Code::WeakPassword => "The password does not meet the rules",
            Code::RegistrationClosed => "Registration is closed",
            Code::RefreshInvalid => "The refresh token is not valid",
            Code::RefreshReused => "The refresh token was used before; its session has ended",
            Code::UpstreamUnreachable => "The backend could not be reached",
            Code::UpstreamTimeout => "The backend did not answer in time",
            Code::StoreUnavailable => "A store that this request needs is unavailable",
            Code::Overloaded => "Too many logins are waiting; try again shortly",
            Code::Internal => "Something went wrong here",
        }
    }

    /// The `error` of `WWW-Authenticate: Bearer` (RFC 6750 §3.1), on answers that carry one.
    /// `None` within `Some` stands for a challenge without `error`: no credentials came.
    pub fn bearer_challenge(self) -> Option<Option<&'static str>> {
        match self {
            Code::NoCredentials => Some(None),
            Code::TokenMalformed
            | Code::TokenInvalid
            | Code::TokenExpired
            | Code::TokenNotYetValid
            | Code::TokenRevoked
            | Code::TokenStale => Some(Some("invalid_token")),
            Code::RoleMissing => Some(Some("insufficient_scope")),
            Code::MfaRequired => Some(Some("insufficient_user_authentication")),
            _ => None,
        }
    }
}

/// A refusal, and what the client needs to know beside its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub code: Code,
    /// Replaces [`Code::detail`] where the client can act on more.
    pub detail: Option<String>,
    /// `Retry-After`, rounded up to whole seconds.
    pub retry_after: Option<Duration>,
    /// `Allow` (RFC 9110 §15.5.6), with `method_not_allowed`.
    pub allow: Option<String>,
}

impl Rejection {
    pub fn because(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    pub fn allow(self, methods: impl Into<String>) -> Self {
        Self { allow: Some(methods.into()), ..self }
    }

    /// The body of the answer: `application/problem+json` (RFC 9457).
    pub fn problem_json(&self, request_id: &str) -> String {
        let status = self.code.status();
        serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.detail.as_deref().unwrap_or(self.code.detail()),
            "code": self.code.as_str(),
            "request_id": request_id,
        })
        .to_string()
    }

    /// The value of `WWW-Authenticate` (RFC 6750 §3), on answers that carry one.
    pub fn bearer_challenge(&self) -> Option<String> {
        Some(match self.code.bearer_challenge()? {
            None => "Bearer".to_owned(),
            Some(error) => {
                let detail = self.code.detail();
                // RFC 9470 §3: what would be enough.
                let acr = if self.code == Code::MfaRequired { ", acr_values=\"aal2\"" } else { "" };
                format!("Bearer error=\"{error}\", error_description=\"{detail}\"{acr}")
            }
        })
    }

    /// `Retry-After` in seconds, at least 1: zero would invite a busy loop.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        Some(crate::clock::seconds_up(self.retry_after?).max(1))
    }
}

impl From<Code> for Rejection {
    fn from(code: Code) -> Self {
        Self { code, detail: None, retry_after: None, allow: None }
    }
}
