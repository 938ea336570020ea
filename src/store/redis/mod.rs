//! State in Redis, shared by all gateways: sessions, revocations, lockouts and rate limits.
//!
//! | key | holds | lives |
//! | --- | --- | --- |
//! | `portcullis:session:<sid>` | hash: one session | until idle for too long |
//! | `portcullis:sessions:<user>` | sorted set: the user's session ids by their latest end | until the last of them ends |
//! | `portcullis:revoked:jti:<jti>` | `1` | until the token has expired |
//! | `portcullis:revoked:sid:<sid>` | `1` | until the session's last token has expired |
//! | `portcullis:revoked:user:<user>` | the lowest version that still counts | until the last older token has expired |
//! | `portcullis:revocations` | stream: the same revocations in their order, for the gateways' mirrors | until the last of them expires; expired entries are removed with each new one |
//! | `portcullis:lockout:<name>` | hash: failed logins in a row | until `lockout.for` has gone by without one |
//! | `portcullis:limit:<counter>` | microseconds since the epoch at which the bucket is empty again | until then |
//! | `portcullis:cache:<hash>` | a stored answer: format, times, head, body | until it may not even be served stale |
//!
//! Whatever must be atomic is one script of `scripts/`. A script touches keys of a token, its
//! session, its user and of limits at once; no hash tag could join those, so this is for a single
//! Redis (with replicas), not for a Redis Cluster. Refresh tokens are never here: only how many of
//! a session's were handed out.

mod ask;
mod connections;
mod follower;
mod gatekeeper;
mod key;
mod leases;
mod lockouts;
mod mirror;
mod responses;
mod revocations;
mod script;
mod sessions;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use connections::Connections;
use redis::{FromRedisValue, Value, from_redis_value};

use super::{Revocation, StoreError};
use crate::clock::Timestamp;
use mirror::Mirror;

pub use gatekeeper::RedisGatekeeper;

/// Sessions, revocations, lockouts and limits of one Redis.
pub struct RedisState {
    connections: Connections,
    /// Filled by [`follow`](Self::follow).
    mirror: OnceLock<Arc<Mirror>>,
}

impl RedisState {
    /// `Err` when the URL is none. Connects with the first question, so that it survives a Redis
    /// that is away; `ping` tells whether it is there.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let connections = Connections::open(url).map_err(failed)?;
        Ok(Self { connections, mirror: OnceLock::new() })
    }

    /// From now on a copy of all revocations is kept up to date, on the current runtime and until
    /// this is dropped. A [`RedisGatekeeper`] goes by it while it isn't older than `max_staleness`.
    pub fn follow(&self, max_staleness: Duration) {
        self.mirror.get_or_init(|| follower::start(self.connections.client(), max_staleness));
    }

    /// What was revoked here counts here at once, without the way through the stream.
    fn note_revoked(&self, what: impl IntoIterator<Item = Revocation>, until: Timestamp) {
        let Some(mirror) = self.mirror.get() else { return };
        for revocation in what {
            mirror.insert(revocation, until);
        }
    }
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::new("redis", error)
}

fn parse<T: FromRedisValue>(answer: Value) -> Result<T, StoreError> {
    from_redis_value(answer).map_err(failed)
}

/// Instants are stored in microseconds; a double holds them exactly until the year 2255.
fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

/// Rounded up: a key must not expire before what it stands for.
fn millis(at: Timestamp) -> i64 {
    at.timestamp_micros().saturating_add(999).div_euclid(1000)
}

fn duration_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
