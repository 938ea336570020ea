//! The embedded stores: [`SqliteUsers`] (accounts, audit log, generated keys) and [`SqliteState`]
//! (sessions, revocations, lockouts), each in a database file of its own.

mod accounts;
mod api_keys;
mod audit;
mod column;
mod database;
mod follower;
mod keys;
mod lockouts;
mod names;
mod notices;
mod one_time_tokens;
mod priority;
mod revocations;
mod second_factors;
mod sessions;
mod users;

use std::path::Path;
use std::sync::Arc;

use sqlx::SqlitePool;
use sqlx::migrate::Migrator;

use super::StoreError;
use super::memory::RevokedSet;

static USERS_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static STATE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite-state");

/// Readers don't block each other in WAL mode.
const USERS_CONNECTIONS: u32 = 4;
/// Nearly everything writes, and SQLite has one writer: queueing for the connection is fair and
/// costs no polling for the lock.
const STATE_CONNECTIONS: u32 = 1;

/// `storage.users` in SQLite.
pub struct SqliteUsers {
    pool: SqlitePool,
}

impl SqliteUsers {
    /// Creates the file if need be and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let pool = database::open(path, &USERS_MIGRATIONS, USERS_CONNECTIONS).await?;
        Ok(Self { pool })
    }
}

/// `storage.state: embedded`. Survives a restart, and may be written by the command line while the
/// gateway runs.
pub struct SqliteState {
    pool: SqlitePool,
    /// All live revocations, also those that other processes wrote; see [`follower`].
    revoked: Arc<RevokedSet>,
}

impl SqliteState {
    /// Creates the file if need be, brings its schema up to date, and reads the revocations.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let pool = database::open(path, &STATE_MIGRATIONS, STATE_CONNECTIONS).await?;
        let revoked = Arc::new(RevokedSet::default());
        follower::start(path, &revoked).await?;
        Ok(Self { pool, revoked })
    }
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::new("sqlite", error)
}
