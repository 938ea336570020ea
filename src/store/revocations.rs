//! What no longer counts although its signature is good, and the one question that the request
//! path asks of shared state.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{Charge, StoreError, Verdict};
use crate::clock::Timestamp;
use crate::identity::{Identity, SessionId, UserId};

/// One thing that is revoked until `until`, when the last token it could concern has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    Token(Uuid),
    Session(SessionId),
    /// Every token of the user whose `ver` is below this.
    UserBelow(UserId, u64),
}

/// The parts of an access token that a revocation can concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    pub token: Uuid,
    pub session: SessionId,
    pub user: UserId,
    pub version: u64,
}

impl From<&Identity> for Bearer {
    fn from(identity: &Identity) -> Self {
        Self {
            token: identity.token_id,
            session: identity.session_id,
            user: identity.user_id,
            version: identity.version,
        }
    }
}

/// How a bearer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// The token or its session was revoked.
    Revoked,
    /// The user changed since; a refresh brings a good token.
    Stale,
}

#[async_trait]
pub trait Revocations: Send + Sync {
    /// Revokes until `until`; returns when every later [`Gatekeeper::admit`] will see it.
    async fn revoke(&self, what: Revocation, until: Timestamp) -> Result<(), StoreError>;
    /// `Good` for bearers never seen. On `Err` the caller refuses the request.
    async fn standing(&self, bearer: Bearer, now: Timestamp) -> Result<Standing, StoreError>;
    /// The same without waiting; `None` when this process doesn't know for sure.
    fn standing_at_once(&self, _bearer: Bearer, _now: Timestamp) -> Option<Standing> {
        None
    }
    /// The lowest version of the user's tokens that still counts, where older ones are revoked.
    async fn revoked_below(&self, user: UserId, now: Timestamp) -> Result<Option<u64>, StoreError>;
    /// Reads what other processes have revoked just now, where that isn't followed anyway.
    async fn catch_up(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// Whether the store answers and takes writes, by writing something; for `/readyz`.
    async fn ping(&self) -> Result<(), StoreError>;
    /// How well this process knows them by itself; `None` when it asks for every request.
    fn mirroring(&self) -> Option<Mirroring> {
        None
    }
}

/// How good this process's copy of the revocations is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirroring {
    /// Nothing that was revoked longer ago than this is missing.
    pub age: Duration,
    /// `false` until the revocations have been read for the first time.
    pub is_filled: bool,
    /// Whether requests are answered from it; otherwise they ask the store.
    pub is_current: bool,
}

/// The answer of [`Gatekeeper::admit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// `Good` when no bearer was asked about.
    pub standing: Standing,
    /// One verdict per charge that was judged, in order. With a bearer that isn't `Good`, only the
    /// charges with `before_identity` are judged, in their order.
    pub verdicts: Vec<Verdict>,
    /// What this process knows is nearly used up: [`Gatekeeper::renewal`] should be asked for.
    pub runs_low: bool,
}

/// A question that nobody waits for.
pub type Renewal = BoxFuture<'static, Result<(), StoreError>>;

/// Revocation and limits together: one round trip where the state is remote.
#[async_trait]
pub trait Gatekeeper: Send + Sync {
    /// Looks up the bearer, then takes one from every charge's counter: all of them or, when one
    /// refuses, none. Uses the store's own clock.
    async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Result<Admission, StoreError>;

    /// The same without waiting, from what this process knows; asked first. `None`, and nothing
    /// taken, when [`admit`](Self::admit) has to be asked.
    fn admit_at_once(&self, _bearer: Option<Bearer>, _charges: &[Charge]) -> Option<Admission> {
        None
    }

    /// Asks the store for what [`admit_at_once`](Self::admit_at_once) will soon need for these charges,
    /// before a request has to wait for it. `None` when there is nothing to ask, or somebody does so
    /// already.
    fn renewal(&self, _charges: &[Charge]) -> Option<Renewal> {
        None
    }

    /// How high the charge's counter stood by the store's last word, in microseconds; also while the store is away.
    fn last_level_us(&self, _charge: &Charge) -> u64 {
        0
    }

    /// How the bearer stands, when this process knows for sure; also while the store is away.
    fn known_standing(&self, _bearer: Bearer) -> Option<Standing> {
        None
    }
}
