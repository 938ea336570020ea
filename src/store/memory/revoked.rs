//! The revocations that this process knows of, for the request path: no I/O, no await, no lock.

use std::hash::Hash;

use foldhash::fast::RandomState;
use papaya::HashMap;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::identity::{SessionId, UserId};
use crate::store::{Bearer, Revocation, Standing};

/// Everything revoked and not yet expired.
#[derive(Debug, Default)]
pub struct RevokedSet {
    tokens: HashMap<Uuid, Timestamp, RandomState>,
    sessions: HashMap<SessionId, Timestamp, RandomState>,
    /// The lowest version that still counts, and until when to remember it.
    users: HashMap<UserId, (u64, Timestamp), RandomState>,
}

impl RevokedSet {
    /// Adds to what is held: neither a version nor an instant ever goes back.
    pub fn insert(&self, what: Revocation, until: Timestamp) {
        match what {
            Revocation::Token(id) => extend(&self.tokens, id, until),
            Revocation::Session(id) => extend(&self.sessions, id, until),
            Revocation::UserBelow(id, version) => {
                let later = |held: &(u64, Timestamp)| (held.0.max(version), held.1.max(until));
                self.users.pin().update_or_insert(id, later, (version, until));
            }
        }
    }

    pub fn standing(&self, bearer: Bearer, now: Timestamp) -> Standing {
        let is_dead = |until: Option<&Timestamp>| until.is_some_and(|until| *until > now);
        if is_dead(self.tokens.pin().get(&bearer.token)) || is_dead(self.sessions.pin().get(&bearer.session))
        {
            return Standing::Revoked;
        }
        match self.users.pin().get(&bearer.user) {
            Some((version, until)) if bearer.version < *version && *until > now => Standing::Stale,
            _ => Standing::Good,
        }
    }

    /// Forgets what has expired.
    pub fn prune(&self, now: Timestamp) {
        self.tokens.pin().retain(|_, until| *until > now);
        self.sessions.pin().retain(|_, until| *until > now);
        self.users.pin().retain(|_, (_, until)| *until > now);
    }

    /// How many revocations are held, those that wait for pruning included.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.sessions.len() + self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn extend<K: Hash + Eq>(map: &HashMap<K, Timestamp, RandomState>, id: K, until: Timestamp) {
    map.pin().update_or_insert(id, |held| (*held).max(until), until);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn what_has_expired_is_forgotten_and_nothing_else() {
        let set = RevokedSet::default();
        let now = clock::now();
        let (old, young, user) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        set.insert(Revocation::Token(old), now);
        set.insert(Revocation::Session(old), now);
        set.insert(Revocation::UserBelow(old, 3), now);
        set.insert(Revocation::Token(young), now + Duration::from_secs(1));
        set.insert(Revocation::UserBelow(user, 3), now + Duration::from_secs(1));

        set.prune(now);

        let bearer = Bearer { token: young, session: old, user, version: 2 };
        assert_eq!(set.len(), 2);
        assert_eq!(set.standing(bearer, now), Standing::Revoked);
        assert_eq!(set.standing(Bearer { token: old, ..bearer }, now), Standing::Stale);
    }
}
