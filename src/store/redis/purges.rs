//! The log of purges: one stream, which every gateway follows on a connection of its own.

use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::key::Key;
use super::script::Script;
use super::stream::{BATCH, Entries, Line, REST, START, await_entries, unread};
use super::{RedisState, failed, parse};
use crate::store::{AnswerKey, Epoch, Landings, Marks, Purge, Purges, StoreError};

/// A gateway that hasn't read the log for so long serves nothing from the cache.
pub(super) const MAX_STALENESS: Duration = Duration::from_secs(1);
/// Several of these may fail before anybody notices.
const ROUND: Duration = Duration::from_millis(250);
const CONFIRM_EVERY: Duration = Duration::from_millis(500);
/// Whether the log is still the one that was read: answers are lost with a log.
const RECOGNISE_EVERY: Duration = Duration::from_secs(1);

static PURGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/purge.lua")));
static INVALIDATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/invalidate.lua")));

#[async_trait]
impl Purges for RedisState {
    async fn purge(&self, what: &Purge) -> Result<(), StoreError> {
        if let Purge::Answer(key) = what {
            return self.invalidate(*key).await;
        }
        let what = serde_json::to_string(what).map_err(failed)?;
        let call = PURGE.call(1, 2).key(Key::Purges).arg(what).arg(super::responses::LONGEST_LIFE_MS);
        call.run(&self.connections).await.map(drop)
    }

    fn marks(&self) -> &Marks {
        &self.marks
    }
}

impl RedisState {
    /// Counts here at once: whoever has caused it may ask next.
    async fn invalidate(&self, answer: AnswerKey) -> Result<(), StoreError> {
        let call = INVALIDATE.call(2, 2).key(Key::Purges).key(Key::Invalidations).text(answer);
        let call = call.arg(super::responses::LONGEST_LIFE_MS);
        let id: String = parse(call.run(&self.connections).await?)?;
        let at = id.parse().map_err(|()| failed("invalidate.lua answered without an id"))?;
        self.marks.insert(at, Purge::Answer(answer));
        Ok(())
    }

    /// From now on the marks are kept up to date, on the current runtime and until this is dropped.
    pub fn follow_purges(&self) {
        let follower = Follower {
            line: Line::new(self.connections.clone(), ROUND, CONFIRM_EVERY),
            stream: Key::Purges.to_string(),
            position: START.to_owned(),
            recognised_at: None,
            landed_in: Key::Landings.to_string(),
            landed: START.to_owned(),
            landings: self.landings.clone(),
        };
        tokio::spawn(follower.run(Arc::downgrade(&self.marks)));
    }
}

struct Follower {
    line: Line,
    stream: String,
    position: String,
    recognised_at: Option<Instant>,
    /// The stream of landings.
    landed_in: String,
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
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "purges can't be followed; the response cache is bypassed");
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn step(&mut self, marks: &Marks) -> Result<(), StoreError> {
        let (mut connection, is_new) = self.line.take().await?;
        if is_new {
            // Whether it is the same Redis isn't known: the log is read from its beginning.
            self.position = START.to_owned();
            self.recognised_at = None;
            self.landed = self.last_landing(&mut connection).await?;
        }
        if self.recognised_at.is_none_or(|at| at.elapsed() >= RECOGNISE_EVERY) {
            self.catch_up(&mut connection, marks).await?;
            self.recognised_at = Some(Instant::now());
        }
        self.wait(&mut connection, marks).await?;
        self.line.keep(connection);
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
            let (position, entries) = unread(connection, &self.stream, &self.position).await?;
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

    /// Until something is purged or computed or the round is over. Each is a sign of life: what was in the log
    /// when it began is known at its end.
    async fn wait(
        &mut self,
        connection: &mut MultiplexedConnection,
        marks: &Marks,
    ) -> Result<(), StoreError> {
        let asked = Instant::now();
        let (streams, positions) = ([&*self.stream, &*self.landed_in], [&*self.position, &*self.landed]);
        let arrived = await_entries(connection, ROUND, &streams, &positions).await?;
        let mut is_complete = true;
        for (stream, entries) in arrived {
            if stream == self.landed_in {
                self.announce(entries);
            } else {
                is_complete = entries.len() < BATCH;
                self.take_in(entries, marks)?;
            }
        }
        if is_complete {
            marks.note_complete(asked);
        }
        Ok(())
    }

    fn announce(&mut self, landed: Entries) {
        for (id, fields) in landed {
            if let (Some(key), Some(is_kept)) = (fields.get("key"), fields.get("kept")) {
                self.landings.announce(key, is_kept == "1");
            }
            self.landed = id;
        }
    }

    /// An entry that can't be read stays in the way: without it the marks aren't complete.
    fn take_in(&mut self, entries: Entries, marks: &Marks) -> Result<(), StoreError> {
        for (id, fields) in entries {
            let unreadable = || failed(format_args!("entry {id} of {} is unreadable", self.stream));
            let at: Epoch = id.parse().map_err(|()| unreadable())?;
            let what = match fields.get("answer") {
                Some(key) => key.parse().ok().map(Purge::Answer),
                None => fields.get("what").and_then(|what| serde_json::from_str(what).ok()),
            };
            marks.insert(at, what.ok_or_else(unreadable)?);
            self.position = id;
        }
        Ok(())
    }

    /// Those who wait began to after this.
    async fn last_landing(&self, connection: &mut MultiplexedConnection) -> Result<String, StoreError> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&self.landed_in).arg("+").arg("-").arg("COUNT").arg(1);
        let last: Entries = command.query_async(connection).await.map_err(failed)?;
        Ok(last.into_iter().next().map_or_else(|| START.to_owned(), |(id, _)| id))
    }
}
