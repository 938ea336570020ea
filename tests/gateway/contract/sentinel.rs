//! What is promised of an elected master beyond the suites.

use portcullis::store::{Revocation, Revocations};

use super::gateway_on_redis::GatewayOnRedis;
use super::revocations::bearer;
use super::{HOUR, eventually, now};
use crate::servers::redis_sentinel::RedisSentinel;

/// A master that hung while it was replaced takes itself for the master until the sentinels tell it
/// otherwise. What it is told then is lost.
#[test]
fn a_connection_that_slept_through_a_failover_is_not_used_again() {
    let redis = RedisSentinel::start();
    let gateway = GatewayOnRedis::strict_at(&redis.url());
    // A connection per runtime: the one sleeps, the other looks for the new master.
    let [sleeper, searcher] = [(); 2].map(|()| super::leases::runtime());
    sleeper.block_on(gateway.state.ping()).expect("it runs");
    redis.until_replicated();
    let old = redis.master().expect("it was just started");
    let ended = bearer();

    old.pause();
    searcher.block_on(eventually("the new master", async || gateway.state.ping().await.is_ok()));
    let is_known = || redis.master().is_some_and(|master| master.port() != old.port());
    searcher.block_on(eventually("all sentinels to know", async || is_known()));
    old.resume();
    let revoke = gateway.state.revoke(Revocation::Session(ended.session), now() + HOUR);
    sleeper.block_on(revoke).expect("there is a master");

    let new = redis.master().expect("the old one isn't named again");
    let key = format!("portcullis:revoked:sid:{}", ended.session);
    assert_eq!(new.ask::<bool>(&["EXISTS", &key]), Some(true));
}
