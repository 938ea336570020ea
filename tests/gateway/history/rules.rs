//! What must hold, and what was seen to break it.
//!
//! 1. No right outlives its acknowledged end: at once where it was ended, within [`BOUND`] at the other gateway.
//! 2. A refresh token has one successor, whoever presents it how often and where.
//! 3. No session outlives a change of its account's credentials, also none that began while they changed.
//! 4. A limit lets no more through than its burst and its rate, however many gateways there are.
//! 5. An answer reaches only those that it was made for, and none is served that was purged.
//! 6. What was acknowledged is still there: accounts, passwords, roles, keys, sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// `revocation.max_staleness`: how old the knowledge of a gateway may be on which it lets somebody in.
pub const BOUND: Duration = Duration::from_secs(2);

/// What must have been done at least once, or the run shows nothing of it.
const KINDS: [&str; 14] = [
    "register",
    "login",
    "refresh in pairs",
    "logout",
    "logout everywhere",
    "password change",
    "key created",
    "key deleted",
    "role change",
    "disable",
    "factor on",
    "delete",
    "limited request",
    "purge",
];

#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    acknowledged: BTreeMap<&'static str, u64>,
    unknown: u64,
    probes: u64,
    violations: Vec<String>,
}

impl History {
    pub fn acknowledged(&self, kind: &'static str) {
        *self.seen().acknowledged.entry(kind).or_default() += 1;
    }

    /// Nobody knows whether it was done.
    pub fn unknown(&self) {
        self.seen().unknown += 1;
    }

    /// An ended right was tried, and refused.
    pub fn refused_as_it_must(&self) {
        self.seen().probes += 1;
    }

    pub fn violation(&self, what: String) {
        eprintln!("VIOLATION: {what}");
        self.seen().violations.push(what);
    }

    pub fn is_broken(&self) -> bool {
        !self.seen().violations.is_empty()
    }

    /// The kinds of operations that were not acknowledged yet.
    pub fn missing(&self) -> Vec<&'static str> {
        let seen = self.seen();
        KINDS.into_iter().filter(|kind| !seen.acknowledged.contains_key(kind)).collect()
    }

    /// Panics if a rule was broken, or if the run was too short to break one.
    pub fn report(&self, faults: usize, duration: Duration) {
        let missing = self.missing();
        let seen = self.seen();
        eprintln!(
            "{} s, {faults} faults, acknowledged {:?}, {} unknown, {} ended rights tried in vain",
            duration.as_secs(),
            seen.acknowledged,
            seen.unknown,
            seen.probes
        );
        assert!(seen.violations.is_empty(), "{:#?}", seen.violations);
        assert!(missing.is_empty(), "the run acknowledged none of {missing:?}");
        assert!(seen.probes > 0, "no ended right was tried");
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A credential that was good for something until its end was acknowledged.
#[derive(Debug, Clone)]
pub struct Ended {
    pub credential: Credential,
    pub by: &'static str,
    pub at: Instant,
    /// Where its end was acknowledged; `None` for a command, which no gateway has heard of yet.
    pub gateway: Option<usize>,
}

#[derive(Debug, Clone)]
pub enum Credential {
    /// For everything.
    Access(String),
    /// For what the role `admin` opens.
    AdminAccess(String),
    Refresh(String),
    Key(String),
}

impl Ended {
    /// Whether this gateway must refuse it by now.
    pub fn must_be_refused_at(&self, gateway: usize) -> bool {
        self.gateway == Some(gateway) || self.at.elapsed() >= BOUND
    }
}
