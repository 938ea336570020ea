//! The names of all keys; the table in the parent module says what they hold.

use std::fmt;

use uuid::Uuid;

use crate::identity::{SessionId, UserId};
use crate::store::lockouts::Target;

/// Whether keys may be anywhere. In a cluster, what a script touches must have one slot, so the names
/// of all revocations and of their stream share a hash tag there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    OneServer,
    Cluster,
}

impl Layout {
    /// What the keys of all revocations begin with.
    pub fn revoked(self) -> &'static str {
        match self {
            Self::OneServer => "portcullis:revoked:",
            Self::Cluster => "portcullis:{revoked}:",
        }
    }

    pub fn stream(self) -> &'static str {
        match self {
            Self::OneServer => "portcullis:revocations",
            Self::Cluster => "portcullis:{revoked}:stream",
        }
    }
}

pub(super) enum Key<'a> {
    RevokedToken(Layout, Uuid),
    RevokedSession(Layout, SessionId),
    RevokedUser(Layout, UserId),
    /// The stream of all revocations.
    Revocations(Layout),
    /// Written to see whether the server that holds them takes writes.
    Probe(Layout),
    Session(SessionId),
    SessionsOf(UserId),
    /// One slot has both of a target.
    Lockout(Target<'a>),
    KnownAddresses(Target<'a>),
    Limit(&'a str),
    Response(&'a str),
    /// Of a long body. All parts of a body have one slot.
    ResponsePart(Uuid, u64),
    /// Who computes an answer.
    Computation(&'a str),
    /// The log of purges, and the stream of computations that ended. With the hash tag of a cluster's
    /// revocations: one server holds, and one connection reaches, all of them.
    Purges,
    Landings,
    /// Which entries of the log are about single answers.
    Invalidations,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RevokedToken(layout, id) => write!(f, "{}jti:{id}", layout.revoked()),
            Self::RevokedSession(layout, id) => write!(f, "{}sid:{id}", layout.revoked()),
            Self::RevokedUser(layout, id) => write!(f, "{}user:{id}", layout.revoked()),
            Self::Revocations(layout) => f.write_str(layout.stream()),
            Self::Probe(Layout::OneServer) => f.write_str("portcullis:probe"),
            Self::Probe(Layout::Cluster) => f.write_str("portcullis:{revoked}:probe"),
            Self::Session(id) => write!(f, "portcullis:session:{id}"),
            Self::SessionsOf(id) => write!(f, "portcullis:sessions:{id}"),
            Self::Lockout(target) => write!(f, "portcullis:lockout:{{{target}}}"),
            Self::KnownAddresses(target) => write!(f, "portcullis:known:{{{target}}}"),
            Self::Limit(counter) => write!(f, "portcullis:limit:{counter}"),
            Self::Response(key) => write!(f, "portcullis:cache:{key}"),
            Self::ResponsePart(id, number) => write!(f, "portcullis:cache:part:{{{id}}}:{number}"),
            Self::Computation(key) => write!(f, "portcullis:cache:lock:{key}"),
            Self::Purges => f.write_str("portcullis:{revoked}:purges"),
            Self::Landings => f.write_str("portcullis:{revoked}:landings"),
            Self::Invalidations => f.write_str("portcullis:{revoked}:invalidations"),
        }
    }
}
