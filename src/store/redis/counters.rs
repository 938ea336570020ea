//! Counters of limits, for operators.

use std::sync::LazyLock;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::key::Key;
use super::script::Script;
use super::{RedisState, parse};
use crate::store::{Counters, StoreError};

/// In microseconds until the bucket is empty.
static LEVEL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
return string.format('%.0f', math.max((tonumber(redis.call('GET', KEYS[1])) or 0) - now, 0))",
    )
});
static RESET: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('DEL', KEYS[1])"));

/// One call for each: in a cluster each has a slot of its own.
#[async_trait]
impl Counters for RedisState {
    async fn levels_us(&self, counters: &[String]) -> Result<Vec<u64>, StoreError> {
        let level = async |counter: &String| {
            let level: String =
                parse(LEVEL.call(1, 0).key(Key::Limit(counter)).run(&self.connections).await?)?;
            level.parse().map_err(super::failed)
        };
        try_join_all(counters.iter().map(level)).await
    }

    async fn reset(&self, counters: &[String]) -> Result<(), StoreError> {
        let reset = |counter: &String| RESET.call(1, 0).key(Key::Limit(counter)).run(&self.connections);
        try_join_all(counters.iter().map(reset)).await.map(drop)
    }
}
