//! Revocations: one key each, which Redis itself forgets in time, and one stream that tells every
//! gateway of them.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::{Cmd, RedisWrite};

use super::key::{Key, Layout};
use super::script::Script;
use super::{RedisState, millis, parse};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{Bearer, Mirroring, Revocation, Revocations, Standing, StoreError};

/// Nobody reads what a probe has written.
const PROBE_KEPT_MS: u32 = 10_000;

static REVOKE: LazyLock<Script> = LazyLock::new(|| revoking(Layout::OneServer));
static REVOKE_IN_CLUSTER: LazyLock<Script> = LazyLock::new(|| revoking(Layout::Cluster));

fn revoking(layout: Layout) -> Script {
    Script::revoking(layout, include_str!("scripts/revoke.lua"))
}

#[async_trait]
impl Revocations for RedisState {
    async fn revoke(&self, what: Revocation, until: Timestamp) -> Result<(), StoreError> {
        let value = match what {
            Revocation::Token(_) | Revocation::Session(_) => 1,
            Revocation::UserBelow(_, version) => version,
        };
        let call = self.revoke_script().call(1, 2).key(self.key_of(what));
        call.arg(value).arg(millis(until)).run(&self.connections).await?;
        self.note_revoked([what], until);
        Ok(())
    }

    /// Redis forgets by its own clock, so `now` isn't needed.
    async fn standing(&self, bearer: Bearer, _now: Timestamp) -> Result<Standing, StoreError> {
        let mut command = Cmd::new();
        command.arg("MGET");
        for key in self.keys_of(bearer) {
            command.write_arg_fmt(key);
        }
        let answer = self.connections.run(&command).await?;
        Ok(match parse::<[Option<u64>; 3]>(answer)? {
            [None, None, Some(version)] if bearer.version < version => Standing::Stale,
            [None, None, _] => Standing::Good,
            _ => Standing::Revoked,
        })
    }

    /// Redis forgets by its own clock, so `now` isn't needed.
    async fn revoked_below(&self, user: UserId, _now: Timestamp) -> Result<Option<u64>, StoreError> {
        let mut command = Cmd::new();
        command.arg("GET");
        command.write_arg_fmt(Key::RevokedUser(self.layout(), user));
        parse(self.connections.run(&command).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(Key::Probe(self.layout()).to_string()).arg(1).arg("PX").arg(PROBE_KEPT_MS);
        self.connections.run(&command).await?;
        Ok(())
    }

    fn standing_at_once(&self, bearer: Bearer, now: Timestamp) -> Option<Standing> {
        self.mirror.get()?.standing(bearer, now)
    }

    fn mirroring(&self) -> Option<Mirroring> {
        self.mirror.get().map(|mirror| mirror.mirroring())
    }
}

impl RedisState {
    /// For any number of keys at once, and the value and the time of all.
    pub(super) fn revoke_script(&self) -> &'static Script {
        match self.layout() {
            Layout::OneServer => &REVOKE,
            Layout::Cluster => &REVOKE_IN_CLUSTER,
        }
    }

    pub(super) fn key_of(&self, what: Revocation) -> Key<'static> {
        let layout = self.layout();
        match what {
            Revocation::Token(id) => Key::RevokedToken(layout, id),
            Revocation::Session(id) => Key::RevokedSession(layout, id),
            Revocation::UserBelow(id, _) => Key::RevokedUser(layout, id),
        }
    }

    /// Whatever may have revoked the bearer.
    pub(super) fn keys_of(&self, bearer: Bearer) -> [Key<'static>; 3] {
        let layout = self.layout();
        [
            Key::RevokedToken(layout, bearer.token),
            Key::RevokedSession(layout, bearer.session),
            Key::RevokedUser(layout, bearer.user),
        ]
    }
}
