//! Two gateways on a Redis behind one name, as a service of Kubernetes or a managed Redis is: after a failover
//! the name leads to another server, while the connections to the demoted one stay open.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};

use crate::failover::Fleet;
use crate::harness::eventually;
use crate::servers::redis::Redis;

/// What the name leads to.
type Target = Arc<Mutex<SocketAddr>>;

/// Connects each new connection to the server that the name leads to just then.
struct Name {
    address: SocketAddr,
    target: Target,
}

impl Name {
    async fn of(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let target = Target::new(Mutex::new(redis.address()));
        tokio::spawn(accept(listener, target.clone()));
        Self { address, target }
    }

    fn lead_to(&self, redis: &Redis) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = redis.address();
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

async fn accept(listener: TcpListener, target: Target) {
    while let Ok((mut client, _)) = listener.accept().await {
        let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(target).await {
                // Either side may break it off.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

fn follow(replica: &Redis, primary: &Redis) {
    let port = primary.port().to_string();
    replica.ask::<String>(&["REPLICAOF", "127.0.0.1", &port]).expect("it is ready");
}

fn offset(redis: &Redis, field: &str) -> Option<u64> {
    redis.info(field)?.parse().ok()
}

/// With all that was written until now.
async fn until_in_step(replica: &Redis, primary: &Redis) {
    let written = offset(primary, "master_repl_offset").expect("it is ready");
    eventually("the replica to be in step", async || {
        let is_linked = replica.info("master_link_status").as_deref() == Some("up");
        (is_linked && offset(replica, "slave_repl_offset") >= Some(written)).then_some(())
    })
    .await;
}

/// Those that gateways have opened.
fn connections(redis: &Redis) -> usize {
    let list: String = redis.ask(&["CLIENT", "LIST", "TYPE", "NORMAL"]).expect("it is ready");
    // One of them asks for the list.
    list.lines().count() - 1
}

/// Makes `next` the primary, `old` its replica, and the name lead to `next`.
async fn fail_over(name: &Name, old: &Redis, next: &Redis) {
    until_in_step(next, old).await;
    next.ask::<String>(&["REPLICAOF", "NO", "ONE"]).expect("it is ready");
    follow(old, next);
    until_in_step(old, next).await;
    name.lead_to(next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_redis_is_left_for_the_one_that_its_name_leads_to() {
    let (one, other) = (Redis::start(), Redis::start());
    follow(&other, &one);
    let name = Name::of(&one).await;
    let mut fleet = Fleet::start(name.url()).await;

    for (old, next) in [(&one, &other), (&other, &one)] {
        let (served, _) = fleet.under_load(async || fail_over(&name, old, next).await).await;
        assert!(served > 0, "mirror and leases carry the load");
        fleet.assert_works().await;
        fleet.assert_nothing_was_lost().await;
        eventually("the demoted server to be left alone", async || (connections(old) == 0).then_some(()))
            .await;
        for gateway in &fleet.gateways {
            eventually("/readyz", async || (gateway.readiness().await == Some(200)).then_some(())).await;
        }
    }
    fleet.assert_shares().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_only_reads_leaves_a_demoted_redis_too() {
    let (one, other) = (Redis::start(), Redis::start());
    follow(&other, &one);
    let name = Name::of(&one).await;
    let fleet = Fleet::start(name.url()).await;
    until_in_step(&other, &one).await;
    other.ask::<String>(&["REPLICAOF", "NO", "ONE"]).expect("it is ready");
    name.lead_to(&other);
    // From now on the old one is a replica that hears nothing of its primary.
    one.ask::<String>(&["REPLICAOF", "127.0.0.1", "1"]).expect("it is ready");

    // Nothing is asked of the gateways: their followers notice by themselves.
    eventually("the demoted server to be left alone", async || (connections(&one) == 0).then_some(())).await;

    for gateway in &fleet.gateways {
        eventually("the mirror", async || {
            (gateway.metrics().await.value("revocation_mirrored", &[]) == Some(1.0)).then_some(())
        })
        .await;
    }
    fleet.assert_nothing_was_lost().await;
}
