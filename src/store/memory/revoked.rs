//! The revocations that this process knows of, for the request path: no I/O, no await.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use parking_lot::RwLock;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::identity::{SessionId, UserId};
use crate::store::{Bearer, Revocation, Standing};

/// Everything revoked and not yet expired.
#[derive(Debug, Default)]
pub struct RevokedSet(RwLock<Revoked>);

#[derive(Debug, Default)]
struct Revoked {
    tokens: HashMap<Uuid, Timestamp>,
    sessions: HashMap<SessionId, Timestamp>,
    /// The lowest version that still counts, and until when to remember it.
    users: HashMap<UserId, (u64, Timestamp)>,
}

impl RevokedSet {
    /// Adds to what is held: neither a version nor an instant ever goes back.
    pub fn insert(&self, what: Revocation, until: Timestamp) {
        let mut revoked = self.0.write();
        match what {
            Revocation::Token(id) => extend(revoked.tokens.entry(id), until),
            Revocation::Session(id) => extend(revoked.sessions.entry(id), until),
            Revocation::UserBelow(id, version) => {
                let held = revoked.users.entry(id).or_insert((version, until));
                *held = (held.0.max(version), held.1.max(until));
            }
        }
    }

    pub fn standing(&self, bearer: Bearer, now: Timestamp) -> Standing {
        let revoked = self.0.read();
        let is_dead = |until: Option<&Timestamp>| until.is_some_and(|until| *until > now);
        if is_dead(revoked.tokens.get(&bearer.token)) || is_dead(revoked.sessions.get(&bearer.session)) {
            return Standing::Revoked;
        }
        match revoked.users.get(&bearer.user) {
            Some((version, until)) if bearer.version < *version && *until > now => Standing::Stale,
            _ => Standing::Good,
        }
    }

    /// Forgets what has expired.
    pub fn prune(&self, now: Timestamp) {
        let mut revoked = self.0.write();
        revoked.tokens.retain(|_, until| *until > now);
        revoked.sessions.retain(|_, until| *until > now);
        revoked.users.retain(|_, (_, until)| *until > now);
    }
}

fn extend(entry: Entry<'_, Uuid, Timestamp>, until: Timestamp) {
    let held = entry.or_insert(until);
    *held = (*held).max(until);
}
