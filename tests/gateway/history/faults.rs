//! What happens to gateways and stores during a run.

use super::fleet::Fleet;
use crate::harness::CableState as State;
use crate::random::Random;

/// How much people do during a fault, and how much until the next.
const OPERATIONS_DURING: u64 = 25;
const OPERATIONS_BETWEEN: u64 = 50;

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    GatewayKilled,
    GatewayPaused,
    RedisKilled,
    RedisPaused,
    RedisCutOff,
    RedisSilent,
    PostgresKilled,
    PostgresPaused,
}

impl Fault {
    pub const ALL: [Self; 8] = [
        Self::GatewayKilled,
        Self::RedisPaused,
        Self::PostgresKilled,
        Self::RedisCutOff,
        Self::GatewayPaused,
        Self::PostgresPaused,
        Self::RedisKilled,
        Self::RedisSilent,
    ];

    /// Begins it, lets people go on meanwhile, ends it, and waits until all is well again.
    pub async fn cause(self, fleet: &Fleet, random: &mut Random) {
        fleet.until_operations(OPERATIONS_BETWEEN).await;
        eprintln!("fault: {self:?}");
        let one = random.below(2);
        match self {
            Self::GatewayKilled => fleet.gateway(one).restart().await,
            Self::GatewayPaused => {
                fleet.gateway(one).signal("STOP");
                fleet.until_operations(OPERATIONS_DURING).await;
                fleet.gateway(one).signal("CONT");
            }
            Self::RedisKilled => {
                fleet.redis().kill();
                fleet.until_operations(OPERATIONS_DURING).await;
                fleet.redis().restart();
            }
            Self::RedisPaused => {
                fleet.redis().pause();
                fleet.until_operations(OPERATIONS_DURING).await;
                fleet.redis().resume();
            }
            Self::RedisCutOff | Self::RedisSilent => {
                let state = if matches!(self, Self::RedisCutOff) { State::Cut } else { State::Silent };
                fleet.cable(one).set(state);
                fleet.until_operations(OPERATIONS_DURING).await;
                fleet.cable(one).set(State::Whole);
            }
            Self::PostgresKilled => {
                fleet.postgres().kill();
                fleet.until_operations(OPERATIONS_DURING).await;
                fleet.postgres().restart();
            }
            Self::PostgresPaused => {
                fleet.postgres().pause();
                fleet.until_operations(OPERATIONS_DURING).await;
                fleet.postgres().resume();
            }
        }
        fleet.until_ready().await;
    }
}
