//! Gateways on a master that sentinels watch: it dies under load, and comes back as a replica.

use crate::failover::Fleet;
use crate::harness::eventually;
use crate::servers::redis::Redis;
use crate::servers::redis_sentinel::RedisSentinel;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_under_load_costs_no_revocation_and_no_session() {
    let redis = RedisSentinel::start();
    let mut fleet = Fleet::start(redis.url()).await;
    redis.until_replicated();
    let dead = redis.master().expect("it was just started");

    let (served, _) = fleet
        .under_load(async || {
            dead.kill();
            redis.until_replaced(dead).await;
        })
        .await;

    assert!(served > 100, "mirror and leases carry most of the load; {served} were served");
    fleet.assert_nothing_was_lost().await;
    fleet.assert_works().await;

    // It still takes itself for a master until a sentinel tells it otherwise.
    dead.restart();
    eventually("the old master to be a replica", async || {
        (dead.info("role").as_deref() == Some("slave")
            && dead.info("master_link_status").as_deref() == Some("up"))
        .then_some(())
    })
    .await;
    fleet.assert_works().await;
    fleet.assert_nothing_was_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_under_load_is_replaced_and_follows_when_it_goes_on() {
    let redis = RedisSentinel::start();
    let mut fleet = Fleet::start(redis.url()).await;
    redis.until_replicated();
    let hung = redis.master().expect("it was just started");

    fleet.assert_outlives_a_hang(hung, async || redis.until_replaced(hung).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_replaced_while_it_runs_is_not_written_to_any_more() {
    let redis = RedisSentinel::start();
    let mut fleet = Fleet::start(redis.url()).await;
    redis.until_replicated();
    let old = redis.master().expect("it was just started");

    redis.sentinels()[0].ask::<()>(&["SENTINEL", "FAILOVER", "mymaster"]).expect("a replica is fit");
    redis.until_replaced(old).await;
    old.until_replica().await;

    fleet.assert_nothing_was_lost().await;
    fleet.assert_works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_sentinel_runs_the_master_is_found() {
    let redis = RedisSentinel::start();
    redis.sentinels()[..2].iter().for_each(Redis::kill);

    let mut fleet = Fleet::start(redis.url()).await;

    fleet.assert_works().await;
}
