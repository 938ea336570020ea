//! The names of all keys; the table in the parent module says what they hold.

use std::fmt;

use uuid::Uuid;

use crate::identity::{SessionId, UserId};

pub(super) enum Key<'a> {
    RevokedToken(Uuid),
    RevokedSession(SessionId),
    RevokedUser(UserId),
    /// The stream of all revocations; `scripts/revoking.lua` names it, too.
    Revocations,
    Session(SessionId),
    SessionsOf(UserId),
    Lockout(&'a str),
    Limit(&'a str),
    Response(&'a str),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RevokedToken(id) => write!(f, "portcullis:revoked:jti:{id}"),
            Self::RevokedSession(id) => write!(f, "portcullis:revoked:sid:{id}"),
            Self::RevokedUser(id) => write!(f, "portcullis:revoked:user:{id}"),
            Self::Revocations => f.write_str("portcullis:revocations"),
            Self::Session(id) => write!(f, "portcullis:session:{id}"),
            Self::SessionsOf(id) => write!(f, "portcullis:sessions:{id}"),
            Self::Lockout(name) => write!(f, "portcullis:lockout:{name}"),
            Self::Limit(counter) => write!(f, "portcullis:limit:{counter}"),
            Self::Response(key) => write!(f, "portcullis:cache:{key}"),
        }
    }
}
