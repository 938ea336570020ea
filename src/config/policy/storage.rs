//! Which stores stand behind the gateway. Fixed at start.

use std::path::PathBuf;

use super::{PostgresUrl, RedisServers};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    pub users: UserStorage,
    pub state: StateStorage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStorage {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateStorage {
    /// Sessions and revocations in SQLite at this path, limits and cache in this process.
    Embedded(PathBuf),
    Redis {
        servers: RedisServers,
        /// The certificates that are trusted instead of the usual ones, in PEM.
        ca: Option<String>,
    },
}
