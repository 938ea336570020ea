//! Leases on computations: one key each, which Redis forgets when its gateway dies; and a short
//! stream that tells the gateways which have ended.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::{Cmd, RedisWrite};

use super::key::Key;
use super::script::Script;
use super::{RedisState, parse};
use crate::store::{FLIGHT_LEASE as LEASE, Flights, Landings, StoreError};

/// Whoever missed older ones looks after a lease.
const REMEMBERED: usize = 1000;

/// Also `1` for whoever has it already: its answer may have been lost, and it asks again.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0",
    )
});
static PROLONG: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});
static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])",
    )
});

#[async_trait]
impl Flights for RedisState {
    async fn begin(&self, key: &str, token: &str) -> Result<bool, StoreError> {
        let call = BEGIN.call(1, 2).key(Key::Computation(key)).arg(token).arg(lease_ms());
        let taken: u64 = parse(call.run(&self.connections).await?)?;
        Ok(taken == 1)
    }

    async fn prolong(&self, key: &str, token: &str) -> Result<bool, StoreError> {
        let call = PROLONG.call(1, 2).key(Key::Computation(key)).arg(token).arg(lease_ms());
        let held: u64 = parse(call.run(&self.connections).await?)?;
        Ok(held == 1)
    }

    async fn end(&self, key: &str, token: &str, is_kept: bool) -> Result<(), StoreError> {
        self.landings.announce(key, is_kept);
        END.call(1, 1).key(Key::Computation(key)).arg(token).run(&self.connections).await?;
        let mut command = Cmd::new();
        command.arg("XADD");
        command.write_arg_fmt(Key::Landings);
        command.arg("MAXLEN").arg("~").arg(REMEMBERED).arg("*");
        command.arg("key").arg(key).arg("kept").arg(u8::from(is_kept));
        self.connections.run(&command).await.map(drop)
    }

    fn landings(&self) -> &Landings {
        &self.landings
    }
}

fn lease_ms() -> u64 {
    u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX)
}
