//! One behaviour suite per store trait, run against every implementation of it, and what is
//! promised of one implementation alone: faults, files, keys.

#![expect(clippy::unwrap_used, reason = "a behaviour is a test, though not marked as one; see `contract!`")]

mod account_changes;
mod accounts;
mod api_keys;
mod audit;
mod cluster;
mod gatekeeper;
mod gateway_on_redis;
mod keys;
mod lease_questions;
mod leases;
mod lockouts;
mod mirror;
mod notices;
mod one_time_tokens;
mod postgres;
mod redis;
mod responses;
mod revocations;
mod second_factors;
mod sentinel;
mod session_bounds;
mod session_rotations;
mod sessions;
mod sqlite;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::SubsecRound;
use portcullis::clock::{self, Timestamp};
use portcullis::store::memory::MemoryResponses;
use portcullis::store::postgres::PostgresUsers;
use portcullis::store::redis::RedisState;
use portcullis::store::sqlite::{SqliteState, SqliteUsers};

use self::gateway_on_redis::GatewayOnRedis;
use crate::servers;
use crate::servers::redis::Redis;
use crate::servers::redis_cluster::BorrowedCluster;

/// Makes a test of every behaviour with every implementation: `redis::locks_are_lifted_by_time`.
macro_rules! contract {
    (@one $implementation:ident { $($behaviour:ident)* }) => {
        mod $implementation {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let subject = crate::contract::$implementation().await;
                    super::$behaviour(subject.store.clone()).await;
                }
            )*
        }
    };
    ([$($implementation:ident),*] $behaviours:tt) => {
        $( crate::contract::contract!(@one $implementation $behaviours); )*
    };
}
use contract;

/// A store, and what has to stay alive while it is used.
struct Subject<S> {
    store: Arc<S>,
    _keep: Box<dyn Any + Send>,
}

async fn postgres_users() -> Subject<PostgresUsers> {
    let url = servers::postgres::database().await;
    let store = PostgresUsers::connect(&url).await.expect("the database is new");
    Subject { store: Arc::new(store), _keep: Box::new(()) }
}

async fn sqlite_users() -> Subject<SqliteUsers> {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let store = SqliteUsers::open(&folder.path().join("users.db")).await.expect("the folder is new");
    Subject { store: Arc::new(store), _keep: Box::new(folder) }
}

async fn redis_state() -> Subject<RedisState> {
    let redis = Redis::start();
    let store = RedisState::open(&redis.url()).expect("the URL is right");
    Subject { store: Arc::new(store), _keep: Box::new(redis) }
}

/// As a gateway uses it with `revocation.mode: strict`: leases, and no mirror.
async fn strict_redis() -> Subject<GatewayOnRedis> {
    let redis = Redis::start();
    Subject { store: Arc::new(GatewayOnRedis::strict(&redis)), _keep: Box::new(redis) }
}

/// As a gateway uses it by default: leases and a mirror.
async fn mirrored_redis() -> Subject<GatewayOnRedis> {
    let redis = Redis::start();
    let store = Arc::new(GatewayOnRedis::mirrored(&redis).await);
    Subject { store, _keep: Box::new(redis) }
}

/// An empty cluster that no other test uses at the same time.
async fn cluster_state() -> Subject<RedisState> {
    let cluster = BorrowedCluster::take();
    let store = RedisState::open(&cluster.url()).expect("the URL is right");
    Subject { store: Arc::new(store), _keep: Box::new(cluster) }
}

async fn strict_cluster() -> Subject<GatewayOnRedis> {
    let cluster = BorrowedCluster::take();
    Subject { store: Arc::new(GatewayOnRedis::strict_at(&cluster.url())), _keep: Box::new(cluster) }
}

async fn mirrored_cluster() -> Subject<GatewayOnRedis> {
    let cluster = BorrowedCluster::take();
    let store = Arc::new(GatewayOnRedis::mirrored_at(&cluster.url()).await);
    Subject { store, _keep: Box::new(cluster) }
}

async fn memory_responses() -> Subject<MemoryResponses> {
    Subject { store: Arc::new(MemoryResponses::new(64 << 20)), _keep: Box::new(()) }
}

async fn sqlite_state() -> Subject<SqliteState> {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let store = SqliteState::open(&folder.path().join("state.db")).await.expect("the folder is new");
    Subject { store: Arc::new(store), _keep: Box::new(folder) }
}

/// The present as stores keep it: to the microsecond.
fn now() -> Timestamp {
    clock::now().trunc_subsecs(6)
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Asks again and again until the answer is yes.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        // Between two questions, so that polling leaves others a core to answer on.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All at once, on several threads; the results in no particular order.
async fn in_parallel<T, F>(count: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: tokio::task::JoinSet<T> = (0..count).map(make).collect();
    tasks.join_all().await
}
