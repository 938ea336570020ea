//! The log of purges: one stream, which every gateway follows on a connection of its own.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script, cmd};

use super::connections::Connections;
use super::flights::LANDINGS;
use super::server::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use super::{RedisState, failed};
use crate::config::policy::RedisAddress;
use crate::store::{Epoch, Landings, Marks, Purge, Purges, StoreError};

/// With the hash tag of the revocations: one server of a cluster holds, and one connection reaches, both.
pub(super) const STREAM: &str = "portcullis:{revoked}:purges";
/// A gateway that hasn't read the log for so long serves nothing from the cache.
pub(super) const MAX_STALENESS: Duration = Duration::from_secs(1);
const ROUND_MS: u64 = 100;
const ROUND: Duration = Duration::from_millis(ROUND_MS);
const REST: Duration = Duration::from_millis(50);
const CONFIRM_EVERY: Duration = Duration::from_millis(500);
const START: &str = "0-0";
const BATCH: usize = 1000;

static PURGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/purge.lua")));
static FOLLOW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/follow.lua")));

type Entries = Vec<(String, HashMap<String, String>)>;

#[async_trait]
impl Purges for RedisState {
    async fn purge(&self, what: &Purge) -> Result<(), StoreError> {
        let what = serde_json::to_string(what).map_err(failed)?;
        let mut command = cmd("EVALSHA");
        command.arg(PURGE.get_hash()).arg(1).arg(STREAM).arg(what).arg(super::responses::LONGEST_LIFE_MS);
        self.connections.run_script(&PURGE, &command).await.map(drop)
    }

    fn marks(&self) -> &Marks {
        &self.marks
    }
}

impl RedisState {
    /// From now on the marks are kept up to date, on the current runtime and until this is dropped.
    pub fn follow_purges(&self) {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ROUND + ANSWER_TIMEOUT));
        let follower = Follower {
            connections: self.connections.clone(),
            config,
            connection: None,
            position: START.to_owned(),
            server: None,
            confirmed_at: Instant::now(),
            landed: START.to_owned(),
            landings: self.landings.clone(),
        };
        tokio::spawn(follower.run(Arc::downgrade(&self.marks)));
    }
}

struct Follower {
    connections: Arc<Connections>,
    config: AsyncConnectionConfig,
    connection: Option<MultiplexedConnection>,
    position: String,
    /// Which of the sentinels' servers that leads to.
    server: Option<RedisAddress>,
    confirmed_at: Instant,
    /// Of the stream of landings.
    landed: String,
    landings: Arc<Landings>,
}

impl Follower {
    async fn run(mut self, marks: Weak<Marks>) {
        let mut is_failing = false;
        while let Some(marks) = marks.upgrade() {
            match self.step(&marks).await {
                Ok(()) => is_failing = false,
                Err(error) => {
                    self.connection = None;
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "purges can't be followed; the response cache is bypassed");
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn step(&mut self, marks: &Marks) -> Result<(), StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                // Whether it is the same Redis isn't known: the log is read from its beginning.
                self.position = START.to_owned();
                let (mut connection, server) =
                    self.connections.connect(&self.config).await.map_err(failed)?;
                (self.server, self.confirmed_at) = (server, Instant::now());
                self.landed = last_landing(&mut connection).await?;
                connection
            }
        };
        self.confirm().await?;
        self.catch_up(&mut connection, marks).await?;
        self.wait(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// A server that was replaced without knowing it would have nothing new to tell.
    async fn confirm(&mut self) -> Result<(), StoreError> {
        if self.confirmed_at.elapsed() >= CONFIRM_EVERY {
            self.connections.confirm(self.server.as_ref()).await.map_err(failed)?;
            self.confirmed_at = Instant::now();
        }
        Ok(())
    }

    /// Reads to the end of the log.
    async fn catch_up(
        &mut self,
        connection: &mut MultiplexedConnection,
        marks: &Marks,
    ) -> Result<(), StoreError> {
        loop {
            let asked = Instant::now();
            let mut call = FOLLOW.key(STREAM);
            let call = call.arg(&self.position).arg(BATCH);
            let (position, entries): (String, Entries) =
                call.invoke_async(connection).await.map_err(failed)?;
            if position != self.position {
                marks.restart();
                self.position = position;
            }
            let is_last = entries.len() < BATCH;
            self.take_in(entries, marks)?;
            if is_last {
                marks.note_complete(asked);
                return Ok(());
            }
        }
    }

    /// Until something is purged or computed or the round is over; what was purged is read by the next
    /// step.
    async fn wait(&mut self, connection: &mut MultiplexedConnection) -> Result<(), StoreError> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(BATCH).arg("BLOCK").arg(ROUND_MS);
        command.arg("STREAMS").arg(STREAM).arg(LANDINGS).arg(&self.position).arg(&self.landed);
        let streams: Option<Vec<(String, Entries)>> =
            command.query_async(connection).await.map_err(failed)?;
        let ended = streams.unwrap_or_default().into_iter().filter(|(name, _)| name == LANDINGS);
        for (id, fields) in ended.flat_map(|(_, entries)| entries) {
            if let (Some(key), Some(is_kept)) = (fields.get("key"), fields.get("kept")) {
                self.landings.announce(key, is_kept == "1");
            }
            self.landed = id;
        }
        Ok(())
    }

    /// An entry that can't be read stays in the way: without it the marks aren't complete.
    fn take_in(&mut self, entries: Entries, marks: &Marks) -> Result<(), StoreError> {
        for (id, fields) in entries {
            let unreadable = || failed(format_args!("entry {id} of {STREAM} is unreadable"));
            let at: Epoch = id.parse().map_err(|()| unreadable())?;
            let what = fields.get("what").and_then(|what| serde_json::from_str(what).ok());
            marks.insert(at, what.ok_or_else(unreadable)?);
            self.position = id;
        }
        Ok(())
    }
}

/// Those who wait began to after this.
async fn last_landing(connection: &mut MultiplexedConnection) -> Result<String, StoreError> {
    let mut command = cmd("XREVRANGE");
    command.arg(LANDINGS).arg("+").arg("-").arg("COUNT").arg(1);
    let last: Entries = command.query_async(connection).await.map_err(failed)?;
    Ok(last.into_iter().next().map_or_else(|| START.to_owned(), |(id, _)| id))
}
