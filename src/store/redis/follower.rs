//! Follows the stream of revocations on a connection of its own and keeps the mirror up to date.
//!
//! Each round asks a script for what is new, which also notices a stream that vanished or went
//! back, and then waits in a blocking read: its end, with an entry or without, begins the next
//! round, so the rounds are the mirror's sign of life. Whatever goes wrong only lets the mirror
//! grow old, and then requests ask Redis themselves.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use super::connections::Connections;
use super::failed;
use super::key::Key;
use super::mirror::Mirror;
use super::stream::{BATCH, Entries, Line, REST, START, await_entries, unread};
use crate::clock::Timestamp;
use crate::store::{Revocation, StoreError};

/// A round takes at most this part of the time that the mirror may be old, so that several may
/// fail before anybody notices.
const ROUNDS: u32 = 8;
const LONGEST_ROUND: Duration = Duration::from_millis(500);
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Follower {
    line: Line,
    stream: String,
    /// The Redis whose stream was read.
    run_id: String,
    /// The last entry read.
    position: String,
    round: Duration,
    pruned_at: Instant,
    is_failing: bool,
}

impl Follower {
    pub fn new(connections: Arc<Connections>, max_staleness: Duration) -> Self {
        // A block of 0 would never end.
        let round = (max_staleness / ROUNDS).clamp(Duration::from_millis(1), LONGEST_ROUND);
        Self {
            stream: Key::Revocations(connections.layout()).to_string(),
            line: Line::new(connections, round, CONFIRM_EVERY),
            run_id: String::new(),
            position: START.to_owned(),
            round,
            pruned_at: Instant::now(),
            is_failing: false,
        }
    }

    /// For as long as somebody else holds the mirror.
    pub async fn run(mut self, mirror: Weak<Mirror>) {
        while let Some(mirror) = mirror.upgrade() {
            match self.step(&mirror).await {
                Ok(()) => self.note_success(),
                Err(error) => {
                    self.note_failure(&error);
                    tokio::time::sleep(REST).await;
                }
            }
            if self.pruned_at.elapsed() >= PRUNE_EVERY {
                self.pruned_at = Instant::now();
                mirror.prune();
            }
        }
    }

    async fn step(&mut self, mirror: &Mirror) -> Result<(), StoreError> {
        let (mut connection, is_new) = self.line.take().await?;
        if is_new {
            self.recognise(&mut connection).await;
        }
        self.catch_up(&mut connection, mirror).await?;
        self.wait(&mut connection, mirror).await?;
        self.line.keep(connection);
        Ok(())
    }

    /// What was read of another Redis, or of this one before it was started anew, says nothing
    /// about the ids of this one's stream. A Redis that doesn't tell which one it is might be either.
    async fn recognise(&mut self, connection: &mut MultiplexedConnection) {
        let about = redis::cmd("INFO").arg("server").query_async::<String>(connection).await;
        let about = about.unwrap_or_default();
        let run_id = about.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().trim();
        if run_id.is_empty() || run_id != self.run_id {
            self.position = START.to_owned();
        }
        self.run_id = run_id.to_owned();
    }

    /// Reads to the end of the stream.
    async fn catch_up(
        &mut self,
        connection: &mut MultiplexedConnection,
        mirror: &Mirror,
    ) -> Result<(), StoreError> {
        loop {
            let asked = Instant::now();
            let (position, entries) = unread(connection, &self.stream, &self.position).await?;
            self.position = position;
            let is_last = entries.len() < BATCH;
            self.take_in(entries, mirror)?;
            if is_last {
                mirror.note_complete(asked);
                return Ok(());
            }
        }
    }

    /// Until an entry arrives or the round is over.
    async fn wait(
        &mut self,
        connection: &mut MultiplexedConnection,
        mirror: &Mirror,
    ) -> Result<(), StoreError> {
        let arrived = await_entries(connection, self.round, &[&self.stream], &[&self.position]).await?;
        for (_, entries) in arrived {
            self.take_in(entries, mirror)?;
        }
        Ok(())
    }

    /// An entry that can't be read stays in the way: without it the mirror isn't complete.
    fn take_in(&mut self, entries: Entries, mirror: &Mirror) -> Result<(), StoreError> {
        for (id, fields) in entries {
            let (what, until) = revocation(&fields)
                .ok_or_else(|| failed(format_args!("entry {id} of {} is unreadable", self.stream)))?;
            mirror.insert(what, until);
            self.position = id;
        }
        Ok(())
    }

    fn note_success(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("revocations are followed again");
        }
    }

    fn note_failure(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(%error, "revocations can't be followed; requests will ask the store");
        }
    }
}

/// Starts the follower on the current runtime.
pub(super) fn start(connections: Arc<Connections>, max_staleness: Duration) -> Arc<Mirror> {
    let mirror = Arc::new(Mirror::new(max_staleness));
    tokio::spawn(Follower::new(connections, max_staleness).run(Arc::downgrade(&mirror)));
    mirror
}

/// What `announce` in `revoking.lua` wrote.
fn revocation(fields: &HashMap<String, String>) -> Option<(Revocation, Timestamp)> {
    let field = |name| fields.get(name);
    let id = field("id")?.parse().ok()?;
    let what = match field("kind")?.as_str() {
        "jti" => Revocation::Token(id),
        "sid" => Revocation::Session(id),
        "user" => Revocation::UserBelow(id, field("value")?.parse().ok()?),
        _ => return None,
    };
    Some((what, Timestamp::from_timestamp_millis(field("until")?.parse().ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, id: &str, value: &str, until: &str) -> Option<(Revocation, Timestamp)> {
        let fields = [("kind", kind), ("id", id), ("value", value), ("until", until)];
        revocation(&fields.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    #[test]
    fn an_entry_says_what_is_revoked_and_until_when() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let uuid = id.parse().expect("a UUID");
        let until = Timestamp::from_timestamp_millis(1_700_000_000_123).expect("a date");

        let at = "1700000000123";
        assert_eq!(read("jti", id, "1", at), Some((Revocation::Token(uuid), until)));
        assert_eq!(read("sid", id, "1", at), Some((Revocation::Session(uuid), until)));
        assert_eq!(read("user", id, "7", at), Some((Revocation::UserBelow(uuid, 7), until)));
        for (kind, id, value, until) in
            [("role", id, "1", at), ("jti", "x", "1", at), ("user", id, "-1", at), ("jti", id, "1", "soon")]
        {
            assert_eq!(read(kind, id, value, until), None);
        }
        assert_eq!(revocation(&HashMap::new()), None);
    }
}
