//! Lua scripts, called by their hash and sent in full only to a Redis that doesn't know them (a
//! new one, or one that was restarted).

use std::fmt::Display;

use redis::{Cmd, RedisWrite, ToRedisArgs, Value};

use super::connections::Connections;
use super::key::{Key, Layout};
use crate::store::StoreError;

pub(super) struct Script(redis::Script);

impl Script {
    pub fn new(source: &str) -> Self {
        Self(redis::Script::new(source))
    }

    /// A script that revokes by the functions of `revoking.lua`.
    pub fn revoking(layout: Layout, source: &str) -> Self {
        let names = format!("local STREAM, REVOKED = '{}', '{}'\n", layout.stream(), layout.revoked());
        Self::new(&[&names, include_str!("scripts/revoking.lua"), source].concat())
    }

    /// A call with `keys` keys, which have to be added first, and about `arguments` arguments.
    pub fn call(&self, keys: usize, arguments: usize) -> Call<'_> {
        let mut command = Cmd::with_capacity(3 + keys + arguments, 64 + 64 * keys + 16 * arguments);
        command.arg("EVALSHA").arg(self.0.get_hash()).arg(keys);
        Call { script: &self.0, command }
    }
}

/// One call, written straight into the command's buffer.
pub(super) struct Call<'a> {
    script: &'a redis::Script,
    command: Cmd,
}

impl Call<'_> {
    pub fn key(mut self, key: Key<'_>) -> Self {
        self.command.write_arg_fmt(key);
        self
    }

    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn text(mut self, argument: impl Display) -> Self {
        self.command.write_arg_fmt(argument);
        self
    }

    /// A field of a hash, left out when there is no value.
    pub fn field(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.arg(name).text(value),
            None => self,
        }
    }

    pub async fn run(self, connections: &Connections) -> Result<Value, StoreError> {
        connections.run_script(self.script, &self.command).await
    }
}
