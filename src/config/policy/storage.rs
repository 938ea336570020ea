//! Which stores stand behind the gateway. Fixed at start.

use std::path::PathBuf;

use super::RedisServers;
use crate::identity::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    pub users: UserStorage,
    pub state: StateStorage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStorage {
    Sqlite(PathBuf),
    /// The connection URL, which may hold a password.
    Postgres(Secret),
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
