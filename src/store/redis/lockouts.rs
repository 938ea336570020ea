//! Failed logins in a row.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, RedisWrite};

use super::key::Key;
use super::script::Script;
use super::{RedisState, duration_micros, micros, parse};
use crate::clock::Timestamp;
use crate::store::{LockoutRule, Lockouts, StoreError};

static RECORD_FAILURE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/record_failure.lua")));

#[async_trait]
impl Lockouts for RedisState {
    async fn record_failure(
        &self,
        name: &str,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let call = RECORD_FAILURE.call(1, 3).key(Key::Lockout(name));
        let call = call.arg(rule.failures).arg(duration_micros(rule.for_)).arg(micros(now));
        parse(call.run(&self.connections).await?)
    }

    async fn locked_for(&self, name: &str, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        let mut command = Cmd::new();
        command.arg("HMGET");
        command.write_arg_fmt(Key::Lockout(name));
        command.arg("locked").arg("expires_at");
        let answer = self.connections.run(&command).await?;
        let (Some(true), Some(expires_at)) = parse::<(Option<bool>, Option<i64>)>(answer)? else {
            return Ok(None);
        };
        let left = u64::try_from(expires_at - micros(now)).unwrap_or(0);
        Ok((left > 0).then_some(Duration::from_micros(left)))
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        let mut command = Cmd::new();
        command.arg("DEL");
        command.write_arg_fmt(Key::Lockout(name));
        parse(self.connections.run(&command).await?)
    }
}
