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
//! | `portcullis:probe` | `1`: a server that takes no writes shows by this one | ten seconds |
//! | `portcullis:lockout:{<user>}` | hash: failed logins in a row, and of strangers, devices and addresses | the former until a success or for a year, the others until `lockout.for` has gone by without one |
//! | `portcullis:lockout:{name:<name>}` | the same for a name that no account has | until `lockout.for` has gone by without a login |
//! | `portcullis:known:{<user>}` | hash: the addresses that signed in to the account, and until when they are known | 30 days after the last sign-in |
//! | `portcullis:limit:<counter>` | microseconds since the epoch at which the bucket is empty again | until then |
//! | `portcullis:cache:<hash>` | a stored answer: format, times, head, and the body if it isn't long | until it may not even be served stale |
//! | `portcullis:cache:part:{<id>}:<number>` | 256 KiB of a long body | a minute longer than its answer |
//! | `portcullis:cache:lock:<hash>` | which request computes an answer | three seconds, prolonged while it does |
//! | `portcullis:{revoked}:landings` | stream: which computations have ended | the last thousand |
//! | `portcullis:{revoked}:purges` | stream: what was purged from the cache | until no answer from before is kept |
//! | `portcullis:{revoked}:invalidations` | list: which entries of it are about single answers | the last 4096 |
//!
//! Whatever must be atomic is one script of `scripts/`. Refresh tokens are never here: only how many of
//! a session's were handed out.
//!
//! In a Redis Cluster a script reaches the keys of one slot. There, all revocations and their stream
//! share a hash tag (`portcullis:{revoked}:jti:<jti>`, `portcullis:{revoked}:stream`), so that a
//! revocation is one step as ever; the other keys go where they will, and what concerns several of
//! them is done in parts: `ask_in_parts` and `sessions/in_steps` say in which order and why.
//! docs/decisions/0010-redis-at-scale.md has the reasons.

mod ask;
mod ask_in_parts;
mod cluster;
mod connections;
mod counters;
mod flights;
mod follower;
mod gatekeeper;
mod key;
mod leases;
mod lockouts;
mod mirror;
mod purges;
mod responses;
mod revocations;
mod role;
mod script;
mod sentinels;
mod server;
mod sessions;
mod stream;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use connections::Connections;
use redis::{FromRedisValue, Value, from_redis_value};

use super::{Landings, Marks, Revocation, StoreError};
use crate::clock::Timestamp;
use crate::config::policy::RedisServers;
use key::Layout;
use mirror::Mirror;

pub use gatekeeper::RedisGatekeeper;

/// Sessions, revocations, lockouts and limits of one Redis.
pub struct RedisState {
    connections: Arc<Connections>,
    /// Filled by [`follow`](Self::follow).
    mirror: OnceLock<Arc<Mirror>>,
    /// Kept up to date after `follow_purges`.
    marks: Arc<Marks>,
    landings: Arc<Landings>,
}

impl RedisState {
    /// `Err` when the URL is none. Connects with the first question, so that it survives a Redis
    /// that is away; `ping` tells whether it is there.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let servers: RedisServers = url.parse().map_err(failed)?;
        Self::connect(&servers, None)
    }

    /// The same for servers that were named before, and whose certificates `ca` has signed: PEM, or
    /// nothing for those that everybody trusts.
    pub fn connect(servers: &RedisServers, ca: Option<&str>) -> Result<Self, StoreError> {
        let connections = Arc::new(Connections::open(servers, ca).map_err(failed)?);
        Ok(Self {
            connections,
            mirror: OnceLock::new(),
            marks: Arc::new(Marks::following(purges::MAX_STALENESS)),
            landings: Arc::default(),
        })
    }

    /// `Err` when a server that answers doesn't let us in, or isn't trusted: waiting wouldn't help. One that
    /// is away may come back.
    pub async fn check_access(&self) -> Result<(), StoreError> {
        self.connections.check_access().await.map_err(failed)
    }

    fn layout(&self) -> Layout {
        self.connections.layout()
    }

    /// From now on a copy of all revocations is kept up to date, on the current runtime and until
    /// this is dropped. A [`RedisGatekeeper`] goes by it while it isn't older than `max_staleness`.
    pub fn follow(&self, max_staleness: Duration) {
        self.mirror.get_or_init(|| follower::start(self.connections.clone(), max_staleness));
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
