//! Why a token of another issuer is refused, in one stable word for the log, `explain` and the metric. It
//! never holds a value of the token.

use std::time::Duration;

use crate::rejection::Code;

/// Logs, dashboards and alerts depend on the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    Malformed,
    UnsupportedHeader,
    WrongType,
    KidMissing,
    UnknownKey,
    KeyNotFetched,
    KeysUnavailable,
    WrongAlgorithm,
    BadSignature,
    UnreadableClaims,
    WrongIssuer,
    TenantNotAllowed,
    IssuerNotAccepted,
    WrongAudience,
    IdToken,
    ExpiryMissing,
    Expired,
    NotYetValid,
    UserMissing,
    UnusableName,
    RoleClaimNotFound,
    RolesNotMapped,
}

impl Cause {
    pub const ALL: [Self; 22] = [
        Self::Malformed,
        Self::UnsupportedHeader,
        Self::WrongType,
        Self::KidMissing,
        Self::UnknownKey,
        Self::KeyNotFetched,
        Self::KeysUnavailable,
        Self::WrongAlgorithm,
        Self::BadSignature,
        Self::UnreadableClaims,
        Self::WrongIssuer,
        Self::TenantNotAllowed,
        Self::IssuerNotAccepted,
        Self::WrongAudience,
        Self::IdToken,
        Self::ExpiryMissing,
        Self::Expired,
        Self::NotYetValid,
        Self::UserMissing,
        Self::UnusableName,
        Self::RoleClaimNotFound,
        Self::RolesNotMapped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnsupportedHeader => "unsupported_header",
            Self::WrongType => "wrong_type",
            Self::KidMissing => "kid_missing",
            Self::UnknownKey => "unknown_key",
            Self::KeyNotFetched => "key_not_fetched",
            Self::KeysUnavailable => "keys_unavailable",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::UnreadableClaims => "unreadable_claims",
            Self::WrongIssuer => "wrong_issuer",
            Self::TenantNotAllowed => "tenant_not_allowed",
            Self::IssuerNotAccepted => "issuer_not_accepted",
            Self::WrongAudience => "wrong_audience",
            Self::IdToken => "id_token",
            Self::ExpiryMissing => "expiry_missing",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UserMissing => "user_missing",
            Self::UnusableName => "unusable_name",
            Self::RoleClaimNotFound => "role_claim_not_found",
            Self::RolesNotMapped => "roles_not_mapped",
        }
    }

    /// One sentence for operators: what is wrong, and which key of gateway.yaml concerns it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Malformed => "this isn't a JWT in compact form",
            Self::UnsupportedHeader => "its header lacks `alg`, or names an extension that isn't supported",
            Self::WrongType => "its `typ` is that of another kind of token",
            Self::KidMissing => "its header names no key (`kid`), and the issuer has several",
            Self::UnknownKey => "the issuer publishes no key with its `kid`",
            Self::KeyNotFetched => "its `kid` is unknown, and the issuer was asked a moment ago (`cooldown`)",
            Self::KeysUnavailable => "the issuer's keys could not be fetched yet",
            Self::WrongAlgorithm => "its `alg` isn't one that its key may be used with (`algorithms`)",
            Self::BadSignature => "no key of the issuer verifies its signature",
            Self::UnreadableClaims => "its claims aren't a JSON object with distinct names",
            Self::WrongIssuer => "no issuer of gateway.yaml has its `iss`, character for character",
            Self::TenantNotAllowed => "it is of a tenant that isn't named (`tenants`)",
            Self::IssuerNotAccepted => "the route doesn't accept this issuer (`issuers`)",
            Self::WrongAudience => "it is meant for another audience (`audience`)",
            Self::IdToken => {
                "it is an ID token, which is meant for the client; send the access token (`allow_id_tokens`)"
            }
            Self::ExpiryMissing => "it says nowhere, or not as a number of seconds, when it expires",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it isn't valid yet",
            Self::UserMissing => "the claim that tells users apart isn't there as a text (`claims.user`)",
            Self::UnusableName => "the name of its user holds control characters (`claims.username`)",
            Self::RoleClaimNotFound => {
                "a role is needed, and the claim with roles isn't there (`claims.roles`)"
            }
            Self::RolesNotMapped => "a role is needed, and none of this issuer's roles count here (`roles`)",
        }
    }

    /// What the client is told.
    pub fn code(self) -> Code {
        match self {
            Self::Malformed => Code::TokenMalformed,
            Self::Expired => Code::TokenExpired,
            Self::NotYetValid => Code::TokenNotYetValid,
            Self::KeyNotFetched | Self::KeysUnavailable => Code::StoreUnavailable,
            Self::RoleClaimNotFound | Self::RolesNotMapped => Code::RoleMissing,
            _ => Code::TokenInvalid,
        }
    }
}

/// A token that was refused, for the log and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The issuer's name in gateway.yaml; `-` if none has its `iss`.
    pub issuer: String,
    pub cause: Cause,
    /// When the issuer can be asked again, where that may help.
    pub retry_after: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_differ_and_fit_a_label() {
        let mut words: Vec<&str> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        words.sort_unstable();
        words.dedup();

        assert_eq!(words.len(), Cause::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
