//! Redis over TLS and with passwords: one server, a cluster, and a master that sentinels watch.

use std::process::Output;
use std::time::Duration;

use crate::failover::Fleet;
use crate::redis_cluster::until_replaced;
use crate::servers::redis::Redis;
use crate::servers::redis_access::Certificate;
use crate::servers::redis_cluster::RedisCluster;
use crate::servers::redis_sentinel::RedisSentinel;

const STREAM: &str = "portcullis:{revoked}:stream";

/// A gateway beside the running ones, with another URL or certificate.
fn serve(fleet: &Fleet, redis_url: &str, ca: &str) -> Output {
    let gateway = &fleet.gateways[0];
    let yaml = std::fs::read_to_string(gateway.home().join("gateway.yaml")).expect("it runs by it");
    let other = yaml.replace("redis-ca.pem", "other-ca.pem");
    std::fs::write(gateway.home().join("other.yaml"), other).expect("the folder is the test's");
    std::fs::write(gateway.home().join("other-ca.pem"), ca).expect("the same");
    let mut command = gateway.command(env!("CARGO_BIN_EXE_portcullis"));
    command.env("REDIS_URL", redis_url).args(["serve", "--config", "other.yaml"]);
    command.output().expect("the program was built with this test")
}

/// It ends at once, names the server, says why, and shows no password.
fn assert_refused(output: &Output, reasons: [&str; 2]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["opening the stores: redis: ", reasons[0], reasons[1]] {
        assert!(said.contains(part), "{part:?} isn't in {said}");
    }
    assert!(!said.contains("wrong-Xq4"), "{said}");
}

/// The certificate of somebody else, no TLS at all, and a wrong password.
fn assert_strangers_are_refused(fleet: &Fleet, redis_url: &str, ca: &str) {
    let stranger = Certificate::generate();
    let password =
        redis_url.split_once("gate:").and_then(|(_, rest)| rest.split_once('@')).expect("a login").0;

    let untrusted = serve(fleet, redis_url, &stranger.pem);
    assert_refused(&untrusted, ["127.0.0.1:", "no TLS that can be trusted: invalid peer certificate"]);
    let wrong = serve(fleet, &redis_url.replace(password, "wrong-Xq4"), ca);
    assert_refused(&wrong, ["it doesn't let the gateway in", "uthentication failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_serves_those_who_know_the_password_and_is_trusted_by_its_certificate() {
    let redis = Redis::start_secured();
    let mut fleet = Fleet::trusting(redis.url(), redis.ca()).await;

    fleet.assert_works().await;
    fleet.assert_shares().await;

    assert_strangers_are_refused(&fleet, &redis.url(), redis.ca());
    fleet.assert_nothing_was_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_followed_over_tls_when_a_primary_dies() {
    let cluster = RedisCluster::start_secured(Duration::from_secs(2));
    let mut fleet = Fleet::trusting(cluster.url(), cluster.ca()).await;
    fleet.assert_shares().await;
    assert_strangers_are_refused(&fleet, &cluster.url(), cluster.ca());
    cluster.until_replicated();
    let dead = cluster.primary_of(STREAM).expect("every slot is served");

    let (served, _) = fleet
        .under_load(async || {
            dead.kill();
            until_replaced(&cluster, STREAM, dead).await;
        })
        .await;

    assert!(served > 100, "mirror and leases carry most of the load; {served} were served");
    fleet.assert_nothing_was_lost().await;
    fleet.assert_works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_found_over_tls_by_sentinels_that_have_a_password_of_their_own() {
    let redis = RedisSentinel::start_secured();
    let mut fleet = Fleet::trusting(redis.url(), redis.ca()).await;
    fleet.assert_shares().await;
    assert_strangers_are_refused(&fleet, &redis.url(), redis.ca());
    let (url, _) =
        redis.url().rsplit_once('=').map(|(url, own)| (url.to_owned(), own.to_owned())).expect("it");
    let wrong = serve(&fleet, &format!("{url}=wrong-Xq4"), redis.ca());
    assert_refused(&wrong, ["127.0.0.1:", "it doesn't let the gateway in"]);
    redis.until_replicated();
    let old = redis.master().expect("it was just started");

    redis.sentinels()[0].ask::<()>(&["SENTINEL", "FAILOVER", "mymaster"]).expect("a replica is fit");
    redis.until_replaced(old).await;
    // Until then the old one acknowledges what it will throw away, as Redis replicates.
    old.until_replica().await;

    fleet.assert_nothing_was_lost().await;
    fleet.assert_works().await;
}
