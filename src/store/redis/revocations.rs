//! Revocations: one key each, which Redis itself forgets in time, and one stream that tells every
//! gateway of them.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::{Cmd, RedisWrite};

use super::key::Key;
use super::script::Script;
use super::{RedisState, millis, parse};
use crate::clock::Timestamp;
use crate::store::{Bearer, Mirroring, Revocation, Revocations, Standing, StoreError};

static REVOKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/revoking.lua"), include_str!("scripts/revoke.lua")))
});

#[async_trait]
impl Revocations for RedisState {
    async fn revoke(&self, what: Revocation, until: Timestamp) -> Result<(), StoreError> {
        let (key, value) = match what {
            Revocation::Token(id) => (Key::RevokedToken(id), 1),
            Revocation::Session(id) => (Key::RevokedSession(id), 1),
            Revocation::UserBelow(id, version) => (Key::RevokedUser(id), version),
        };
        REVOKE.call(1, 2).key(key).arg(value).arg(millis(until)).run(&self.connections).await?;
        self.note_revoked([what], until);
        Ok(())
    }

    /// Redis forgets by its own clock, so `now` isn't needed.
    async fn standing(&self, bearer: Bearer, _now: Timestamp) -> Result<Standing, StoreError> {
        let mut command = Cmd::new();
        command.arg("MGET");
        command.write_arg_fmt(Key::RevokedToken(bearer.token));
        command.write_arg_fmt(Key::RevokedSession(bearer.session));
        command.write_arg_fmt(Key::RevokedUser(bearer.user));
        let answer = self.connections.run(&command).await?;
        Ok(match parse::<[Option<u64>; 3]>(answer)? {
            [None, None, Some(version)] if bearer.version < version => Standing::Stale,
            [None, None, _] => Standing::Good,
            _ => Standing::Revoked,
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.connections.run(&redis::cmd("PING")).await?;
        Ok(())
    }

    fn standing_at_once(&self, bearer: Bearer, now: Timestamp) -> Option<Standing> {
        self.mirror.get()?.standing(bearer, now)
    }

    fn mirroring(&self) -> Option<Mirroring> {
        self.mirror.get().map(|mirror| mirror.mirroring())
    }
}
