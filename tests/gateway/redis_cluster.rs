//! Gateways on a Redis Cluster: a primary that dies under load, and a cluster that is away.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::failover::Fleet;
use crate::harness::{self, Client, Gateway, PASSWORD, PATIENCE, Reason, Setup, Stores, eventually};
use crate::servers::redis::Redis;
use crate::servers::redis_cluster::RedisCluster;

const STREAM: &str = "portcullis:{revoked}:stream";
/// After which a primary counts as dead.
const TIMEOUT: Duration = Duration::from_millis(2000);

/// Until another node serves the slot of the key and all nodes know it.
pub async fn until_replaced(cluster: &RedisCluster, key: &str, dead: &Redis) {
    let deadline = Instant::now() + PATIENCE;
    let is_replaced = || {
        let primary = cluster.primary_of(key);
        primary.is_some_and(|primary| primary.port() != dead.port()) && cluster.is_well()
    };
    while !is_replaced() {
        assert!(Instant::now() < deadline, "nobody took over from a dead primary");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primaries_that_die_under_load_cost_no_revocation_and_no_session() {
    let cluster = RedisCluster::start(TIMEOUT);
    let mut fleet = Fleet::start(cluster.url()).await;
    let session = cluster
        .nodes()
        .iter()
        .flat_map(|node| node.ask::<Vec<String>>(&["KEYS", "portcullis:session:*"]).unwrap_or_default())
        .find(|key| cluster.primary_of(key).map(Redis::port) != cluster.primary_of(STREAM).map(Redis::port));
    let session = session.expect("of four sessions, one lies elsewhere than the revocations");

    for key in [STREAM, session.as_str()] {
        cluster.until_replicated();
        let dead = cluster.primary_of(key).expect("every slot is served");

        let (served, _) = fleet
            .under_load(async || {
                dead.kill();
                until_replaced(&cluster, key, dead).await;
            })
            .await;

        assert!(served > 100, "mirror and leases carry most of the load; {served} were served");
        fleet.assert_nothing_was_lost().await;
        fleet.assert_works().await;
        dead.restart();
        eventually("the dead node to follow", async || {
            (dead.info("master_link_status").as_deref() == Some("up")).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_under_load_is_replaced_and_follows_when_it_goes_on() {
    let cluster = RedisCluster::start(TIMEOUT);
    let mut fleet = Fleet::start(cluster.url()).await;
    cluster.until_replicated();
    let hung = cluster.primary_of(STREAM).expect("every slot is served");

    fleet.assert_outlives_a_hang(hung, async || until_replaced(&cluster, STREAM, hung).await).await;
}

const COUNTED: &str = "
    limits:
      strictly: { rate: 1000/1h, burst: 100, by: user, on_store_error: deny }
      roughly: { rate: 1000/1h, burst: 100, by: user, on_store_error: local }
    routes:
      - { path: /protected, upstream: example, limits: [strictly] }
      - { path: \"/secure/{*rest}\", upstream: example, limits: [roughly] }
";

/// Somebody whose counter of this limit is at the node, or isn't.
async fn counted(cluster: &RedisCluster, gw: &Gateway, node: &Redis, limit: &str, is_there: bool) -> Client {
    for number in 0.. {
        let client = gw.register(&format!("{limit}-{is_there}-{number}")).await;
        let key = format!("portcullis:limit:{limit}:user:{}", client.id().await);
        let primary = cluster.primary_of(&key).expect("every slot is served");
        if (primary.port() == node.port()) == is_there {
            return client;
        }
    }
    unreachable!("numbers don't end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_holds_up_its_own_slots_only_and_is_used_again_when_it_goes_on() {
    // Nobody takes over.
    let cluster = RedisCluster::start(Duration::from_secs(600));
    let stores = Stores::on_redis(cluster.url()).await;
    let gw = harness::gateway(Setup::from(COUNTED).stores(&stores)).await;
    let revocations = cluster.primary_of(STREAM).expect("every slot is served").port();
    let is_another =
        |node: &&Redis| node.info("role").as_deref() == Some("master") && node.port() != revocations;
    let hung = cluster.nodes().iter().find(is_another).expect("there are three");
    let there = counted(&cluster, &gw, hung, "strictly", true).await;
    let elsewhere = counted(&cluster, &gw, hung, "strictly", false).await;
    let counted_roughly = counted(&cluster, &gw, hung, "roughly", true).await;

    hung.pause();

    let asked = Instant::now();
    let refused = futures::future::join_all((0..50).map(|_| there.get("/protected"))).await;
    assert!(refused.iter().all(|answer| answer.reason() == Some("store_unavailable")));
    assert!(asked.elapsed() < Duration::from_secs(3), "50 at once took {:?}", asked.elapsed());
    assert_eq!(counted_roughly.get("/secure/data").await.status(), 200, "on_store_error: local");
    let asked = Instant::now();
    for _ in 0..20 {
        assert_eq!(elsewhere.get("/protected").await.status(), 200);
    }
    assert!(asked.elapsed() < Duration::from_secs(1), "20 elsewhere took {:?}", asked.elapsed());
    assert_eq!(gw.metrics().await.value("revocation_mirrored", &[]), Some(1.0));

    hung.resume();

    eventually("it to be asked again", async || {
        (there.get("/protected").await.status() == 200).then_some(())
    })
    .await;
    for client in [&there, &elsewhere] {
        assert_eq!(client.get("/protected").await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_away_is_answered_as_stated_and_used_again_when_it_is_back() {
    let cluster = RedisCluster::start(TIMEOUT);
    let mut fleet = Fleet::start(cluster.url()).await;
    cluster.until_replicated();
    let alice = fleet.kept[0].clone();

    cluster.nodes().iter().for_each(Redis::kill);

    assert_eq!(alice.get("/protected").await.status(), 200, "the mirror is still fresh");
    eventually("the mirror to be stale", async || {
        (alice.get("/protected").await.reason() == Some("store_unavailable")).then_some(())
    })
    .await;
    let asked = Instant::now();
    let credentials = serde_json::json!({ "username": "alice", "password": PASSWORD });
    for (path, body) in [("/auth/login", Some(&credentials)), ("/auth/refresh", None)] {
        let request = alice.request_without_token(Method::POST, path);
        let answer = alice.send(body.into_iter().fold(request, |request, body| request.json(body))).await;
        assert_eq!((answer.status().as_u16(), answer.reason()), (503, Some("store_unavailable")), "{path}");
    }
    assert!(asked.elapsed() < Duration::from_secs(5), "two refusals took {:?}", asked.elapsed());

    cluster.nodes().iter().for_each(Redis::restart);

    fleet.assert_nothing_was_lost().await;
    fleet.assert_works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_its_keys_along_unnoticed() {
    let cluster = RedisCluster::start(Duration::from_secs(60));
    let mut fleet = Fleet::start(cluster.url()).await;
    let from = cluster.primary_of(STREAM).expect("every slot is served");
    let slot: u16 = from.ask(&["CLUSTER", "KEYSLOT", STREAM]).expect("it runs");
    let is_primary = |node: &&Redis| node.info("role").as_deref() == Some("master");
    let to =
        cluster.nodes().iter().filter(is_primary).find(|node| node.port() != from.port()).expect("three");
    let [from_id, to_id] = [from, to].map(|node| node.ask::<String>(&["CLUSTER", "MYID"]).expect("it runs"));
    let slot = slot.to_string();

    let (_, unavailable) = fleet
        .under_load(async || {
            let set = |node: &Redis, state: &str, id: &str| {
                node.ask::<()>(&["CLUSTER", "SETSLOT", &slot, state, id]).expect("it runs");
            };
            set(to, "IMPORTING", &from_id);
            set(from, "MIGRATING", &to_id);
            let keys: HashSet<String> =
                from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100000"]).expect("it runs");
            assert!(keys.contains(STREAM), "the revocations are here");
            let port = to.port().to_string();
            for key in keys {
                from.ask::<()>(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]).expect("it moves");
            }
            for node in [to, from] {
                set(node, "NODE", &to_id);
            }
        })
        .await;

    assert_eq!(unavailable, 0, "requests went on from the mirror");
    fleet.assert_nothing_was_lost().await;
    fleet.assert_works().await;
    assert_eq!(cluster.primary_of(STREAM).map(Redis::port), Some(to.port()));
}
