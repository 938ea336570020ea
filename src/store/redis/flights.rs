//! Leases on computations: one key each, which Redis forgets when its gateway dies; and a short
//! stream that tells the gateways which have ended.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::{Script, cmd};

use super::{RedisState, parse};
use crate::store::{FLIGHT_LEASE as LEASE, Flights, Landings, StoreError};

/// Beside the purges, so that one read follows both.
pub(super) const LANDINGS: &str = "portcullis:{revoked}:landings";
/// Whoever missed older ones looks after a lease.
const REMEMBERED: usize = 1000;

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
        let mut command = cmd("SET");
        command.arg(lock(key)).arg(token).arg("NX").arg("PX").arg(lease_ms());
        let taken: Option<String> = parse(self.connections.run(&command).await?)?;
        Ok(taken.is_some())
    }

    async fn prolong(&self, key: &str, token: &str) -> Result<bool, StoreError> {
        let mut command = cmd("EVALSHA");
        command.arg(PROLONG.get_hash()).arg(1).arg(lock(key)).arg(token).arg(lease_ms());
        let held: u64 = parse(self.connections.run_script(&PROLONG, &command).await?)?;
        Ok(held == 1)
    }

    async fn end(&self, key: &str, token: &str, is_kept: bool) -> Result<(), StoreError> {
        self.landings.announce(key, is_kept);
        let mut command = cmd("EVALSHA");
        command.arg(END.get_hash()).arg(1).arg(lock(key)).arg(token);
        self.connections.run_script(&END, &command).await?;
        let mut command = cmd("XADD");
        command.arg(LANDINGS).arg("MAXLEN").arg("~").arg(REMEMBERED).arg("*");
        command.arg("key").arg(key).arg("kept").arg(u8::from(is_kept));
        self.connections.run(&command).await.map(drop)
    }

    fn landings(&self) -> &Landings {
        &self.landings
    }
}

fn lock(key: &str) -> String {
    format!("portcullis:cache:lock:{key}")
}

fn lease_ms() -> u64 {
    u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX)
}
