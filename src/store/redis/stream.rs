//! What followers of a stream have in common: a connection of their own to the server that holds the
//! revocations, and the question for what they haven't read yet.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};

use super::connections::Connections;
use super::failed;
use super::server::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use crate::config::policy::RedisAddress;
use crate::store::StoreError;

static FOLLOW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/follow.lua")));

/// Before everything: the whole stream is read.
pub(super) const START: &str = "0-0";
/// Entries per question, some 100 bytes each.
pub(super) const BATCH: usize = 1000;
/// Between two attempts to reach a Redis that is away.
pub(super) const REST: Duration = Duration::from_millis(50);

/// Each with its id.
pub(super) type Entries = Vec<(String, HashMap<String, String>)>;

pub(super) struct Line {
    connections: Arc<Connections>,
    config: AsyncConnectionConfig,
    connection: Option<MultiplexedConnection>,
    /// Which of the sentinels' servers that leads to.
    server: Option<RedisAddress>,
    confirm_every: Duration,
    confirmed_at: Instant,
    was_connected: bool,
}

impl Line {
    /// For blocking reads of up to `round`.
    pub fn new(connections: Arc<Connections>, round: Duration, confirm_every: Duration) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(round + ANSWER_TIMEOUT));
        Self {
            connections,
            config,
            connection: None,
            server: None,
            confirm_every,
            confirmed_at: Instant::now(),
            was_connected: false,
        }
    }

    /// The connection, and whether it is a new one. It is kept only if it is given back with
    /// [`keep`](Self::keep): after an error the next one is new.
    pub async fn take(&mut self) -> Result<(MultiplexedConnection, bool), StoreError> {
        let Some(mut connection) = self.connection.take() else {
            let (connection, server) = self.connections.connect(&self.config).await.map_err(failed)?;
            (self.server, self.confirmed_at) = (server, Instant::now());
            // A server that is demoted breaks off blocking reads, and nothing else.
            if std::mem::replace(&mut self.was_connected, true) {
                self.connections.renew();
            }
            return Ok((connection, true));
        };
        // A server that was replaced would have nothing new to tell, or only what its successor tells it.
        if self.confirmed_at.elapsed() >= self.confirm_every {
            let confirm = self.connections.confirm(&mut connection, self.server.as_ref());
            confirm.await.map_err(failed)?;
            self.confirmed_at = Instant::now();
        }
        Ok((connection, false))
    }

    pub fn keep(&mut self, connection: MultiplexedConnection) {
        self.connection = Some(connection);
    }
}

/// Where a reader at `position` has to be taken to stand (another place, if the stream isn't the one it
/// has read), and the next entries: fewer than [`BATCH`] at the end.
pub(super) async fn unread(
    connection: &mut MultiplexedConnection,
    stream: &str,
    position: &str,
) -> Result<(String, Entries), StoreError> {
    FOLLOW.key(stream).arg(position).arg(BATCH).invoke_async(connection).await.map_err(failed)
}

/// What arrives in any of the streams after the positions, within `round`.
pub(super) async fn await_entries(
    connection: &mut MultiplexedConnection,
    round: Duration,
    streams: &[&str],
    positions: &[&str],
) -> Result<Vec<(String, Entries)>, StoreError> {
    let mut command = redis::cmd("XREAD");
    let block = u64::try_from(round.as_millis()).unwrap_or(u64::MAX);
    command.arg("COUNT").arg(BATCH).arg("BLOCK").arg(block).arg("STREAMS").arg(streams).arg(positions);
    let arrived: Option<_> = command.query_async(connection).await.map_err(failed)?;
    Ok(arrived.unwrap_or_default())
}
