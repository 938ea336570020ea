//! Sessions in a Redis Cluster, where a session, its user's set and the revocations have a slot each.
//!
//! Each step is atomic; the order makes a crash between two of them safe. A session is in its user's
//! set before it exists, so that ending all of them misses none. Whether its version is revoked is asked before
//! and once it exists: whoever revokes versions ends all sessions after that, and so either it is refused here or
//! it is ended there. What ends is revoked first: from then
//! on no access token of it counts, not even one that a refresh brings before the session is removed.
//! Whoever asked gets an error for a step that fails, and may ask again: every step can be repeated.

use std::sync::LazyLock;

use futures::future::try_join_all;
use redis::{Cmd, RedisWrite};

use super::{BEFORE_FIELDS, FIELDS, with_values};
use crate::clock::Timestamp;
use crate::identity::{SessionId, UserId};
use crate::store::redis::key::Key;
use crate::store::redis::script::{Call, Script};
use crate::store::redis::{RedisState, failed, millis, parse};
use crate::store::{Bound, Revocation, Revocations, Session, SessionPage, Sessions, Start, StoreError};

/// Sessions that are revoked by one script.
const BATCH: usize = 500;

static KEEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/keep_session.lua")));
static INDEX: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/index_session.lua")));
static REMOVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/remove_session.lua")));
/// Tells of reuse and leaves the session to its caller.
pub(super) static ROTATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!("local function end_session() end\n", include_str!("../scripts/rotate_session.lua")))
});

impl RedisState {
    pub(super) async fn start_in_steps(&self, session: &Session, bound: Bound) -> Result<Start, StoreError> {
        if let Some(below) = self.stale_below(session).await? {
            return Ok(Start::Stale { below });
        }
        for (script, key) in [(&INDEX, Key::SessionsOf(session.user_id)), (&KEEP, Key::Session(session.id))] {
            let call = script.call(1, BEFORE_FIELDS + 2 * FIELDS.len()).key(key);
            with_values(call, session, bound).run(&self.connections).await?;
        }
        let Some(below) = self.stale_below(session).await? else {
            return Ok(Start::Started { ended: self.make_room(session, bound).await? });
        };
        self.remove_session(session.id).await?;
        self.forget_sessions(session.user_id, &[session.id]).await?;
        Ok(Start::Stale { below })
    }

    /// Each start counts once its own session is there, so that after the last of several at once no more are left
    /// than there may be.
    async fn make_room(&self, session: &Session, bound: Bound) -> Result<Vec<SessionId>, StoreError> {
        let most = bound.most as usize;
        if self.session_ids(session.user_id).await?.len() <= most {
            return Ok(Vec::new());
        }
        let all = SessionPage { after: None, limit: u32::MAX };
        let mut alive = self.list(session.user_id, all, session.created_at).await?;
        alive.sort_by_key(|session| std::cmp::Reverse((session.rotated_at, session.id)));
        let mut ended = Vec::new();
        for session in alive.iter().skip(most) {
            self.end_in_steps(session.id, bound.revoked_until).await?;
            ended.push(session.id);
        }
        Ok(ended)
    }

    async fn stale_below(&self, session: &Session) -> Result<Option<u64>, StoreError> {
        let below = self.revoked_below(session.user_id, session.created_at).await?;
        Ok(below.filter(|below| session.version < *below))
    }

    pub(super) async fn end_in_steps(
        &self,
        id: SessionId,
        revoked_until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.revoke(Revocation::Session(id), revoked_until).await?;
        let owner = REMOVE.call(1, 0).key(Key::Session(id)).run(&self.connections).await?;
        let Some(owner) = parse::<Option<String>>(owner)? else {
            return Ok(false);
        };
        let owner: UserId = owner.parse().map_err(failed)?;
        self.forget_sessions(owner, &[id]).await?;
        Ok(true)
    }

    pub(super) async fn end_all_in_steps(
        &self,
        user: UserId,
        revoked_until: Timestamp,
    ) -> Result<u64, StoreError> {
        let ids = self.session_ids(user).await?;
        for batch in ids.chunks(BATCH) {
            self.revoke_sessions(batch, revoked_until).await?;
        }
        let mut ended = 0;
        for batch in ids.chunks(BATCH) {
            let removals = batch.iter().map(|id| self.remove_session(*id));
            ended += try_join_all(removals).await?.iter().sum::<u64>();
            self.forget_sessions(user, batch).await?;
        }
        Ok(ended)
    }

    async fn session_ids(&self, user: UserId) -> Result<Vec<SessionId>, StoreError> {
        let mut command = Cmd::new();
        command.arg("ZRANGE");
        command.write_arg_fmt(Key::SessionsOf(user));
        command.arg(0).arg(-1);
        let ids: Vec<String> = parse(self.connections.run(&command).await?)?;
        ids.iter().map(|id| id.parse().map_err(failed)).collect()
    }

    async fn revoke_sessions(&self, ids: &[SessionId], until: Timestamp) -> Result<(), StoreError> {
        let what = || ids.iter().map(|id| Revocation::Session(*id));
        let call = self.revoke_script().call(ids.len(), 2);
        let call = what().map(|session| self.key_of(session)).fold(call, Call::key);
        call.arg(1).arg(millis(until)).run(&self.connections).await?;
        self.note_revoked(what(), until);
        Ok(())
    }

    async fn remove_session(&self, id: SessionId) -> Result<u64, StoreError> {
        let mut command = Cmd::new();
        command.arg("DEL");
        command.write_arg_fmt(Key::Session(id));
        parse(self.connections.run(&command).await?)
    }

    /// Only these: others may have begun meanwhile.
    async fn forget_sessions(&self, user: UserId, ids: &[SessionId]) -> Result<(), StoreError> {
        let mut command = Cmd::new();
        command.arg("ZREM");
        command.write_arg_fmt(Key::SessionsOf(user));
        for id in ids {
            command.write_arg_fmt(id);
        }
        self.connections.run(&command).await.map(drop)
    }
}
