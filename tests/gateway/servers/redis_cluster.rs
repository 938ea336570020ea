//! A Redis Cluster of one's own: three primaries with a replica each.

use std::sync::Mutex;
use std::time::Duration;

use redis::{Value, from_redis_value};

use super::ports::{self, ReservedPort};
use super::redis::Redis;
use super::redis_access::Access;
use super::wait_until_ready;

const PRIMARIES: usize = 3;
const NODES: usize = 2 * PRIMARIES;
const SLOTS: usize = 16_384;
/// Whatever a client was told is on the disk.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Six nodes, gone when dropped.
pub struct RedisCluster {
    access: Access,
    nodes: Vec<Redis>,
    _bus_ports: Vec<ReservedPort>,
}

impl RedisCluster {
    /// Ready, and every replica in step. A primary that is away for `timeout` is replaced. Nodes have their data
    /// again after a kill and restart.
    pub fn start(timeout: Duration) -> Self {
        Self::accessed(Access::default(), timeout, &DURABLE)
    }

    /// The same, over TLS and with passwords only.
    pub fn start_secured(timeout: Duration) -> Self {
        Self::accessed(Access::secured(), timeout, &DURABLE)
    }

    fn accessed(access: Access, timeout: Duration, arguments: &[&str]) -> Self {
        let bus_ports: Vec<ReservedPort> = (0..NODES).map(|_| ports::reserve()).collect();
        let node = |bus_port| start_node(&access, bus_port, timeout, arguments);
        let nodes = bus_ports.iter().map(node).collect();
        let cluster = Self { access, nodes, _bus_ports: bus_ports };
        cluster.assign_slots();
        cluster.introduce();
        cluster.replicate();
        cluster
    }

    /// Names three of the six; the others are found.
    pub fn url(&self) -> String {
        let seeds: Vec<String> = self.nodes[..3].iter().map(|node| node.address().to_string()).collect();
        self.access.url("+cluster", &seeds.join(","))
    }

    /// What those trust who speak TLS to it.
    pub fn ca(&self) -> &str {
        self.access.ca()
    }

    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Of the nodes that run, the one that serves the key's slot; `None` while nobody says so of himself.
    pub fn primary_of(&self, key: &str) -> Option<&Redis> {
        let slot: u16 = self.ask_any(&["CLUSTER", "KEYSLOT", key])?;
        self.nodes.iter().find(|node| {
            primaries(node).iter().any(|(slots, port)| slots.contains(&slot) && *port == node.port())
        })
    }

    /// Whether all nodes that run agree that all slots are served.
    pub fn is_well(&self) -> bool {
        let states = self.nodes.iter().filter_map(|node| node.ask::<String>(&["CLUSTER", "INFO"]));
        states.into_iter().all(|state| state.contains("cluster_state:ok"))
    }

    /// Waits until whatever has been written is at a replica of its primary, too.
    pub fn until_replicated(&self) {
        for primary in self.nodes.iter().filter(|node| node.info("role").as_deref() == Some("master")) {
            let Some(offset) = offset(primary, "master_repl_offset") else { continue };
            self.wait_for(primary, || {
                let replicas = self.nodes.iter().filter(|node| {
                    node.info("master_port") == Some(primary.port().to_string())
                        && node.info("master_link_status").as_deref() == Some("up")
                });
                replicas.into_iter().any(|node| self::offset(node, "slave_repl_offset") >= Some(offset))
            });
        }
    }

    fn flush(&self) {
        for node in self.nodes.iter().filter(|node| node.info("role").as_deref() == Some("master")) {
            node.ask::<()>(&["FLUSHALL"]).expect("it runs");
        }
    }

    fn assign_slots(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).expect("it is new");
        }
        for (index, node) in self.nodes[..PRIMARIES].iter().enumerate() {
            let start = index * SLOTS / PRIMARIES;
            let end = (index + 1) * SLOTS / PRIMARIES - 1;
            let range = [start.to_string(), end.to_string()];
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).expect("they are free");
        }
    }

    fn introduce(&self) {
        for (node, bus_port) in self.nodes.iter().zip(&self._bus_ports).skip(1) {
            let ports = [node.port(), bus_port.number()].map(|port| port.to_string());
            self.nodes[0]
                .ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &ports[0], &ports[1]])
                .expect("the address is right");
        }
        for node in &self.nodes {
            self.wait_for(node, || {
                let state: Option<String> = node.ask(&["CLUSTER", "INFO"]);
                state.is_some_and(|state| {
                    state.contains("cluster_state:ok")
                        && state.contains(&format!("cluster_known_nodes:{NODES}"))
                })
            });
        }
    }

    fn replicate(&self) {
        for (primary, replica) in self.nodes[..PRIMARIES].iter().zip(&self.nodes[PRIMARIES..]) {
            let id: String = primary.ask(&["CLUSTER", "MYID"]).expect("it runs");
            self.wait_for(replica, || replica.ask::<()>(&["CLUSTER", "REPLICATE", &id]).is_some());
            self.wait_for(replica, || replica.info("master_link_status").as_deref() == Some("up"));
        }
        for node in &self.nodes {
            self.wait_for(node, || {
                let entries: Option<Vec<Vec<Value>>> = node.ask(&["CLUSTER", "SLOTS"]);
                entries.is_some_and(|entries| {
                    entries.len() == PRIMARIES && entries.iter().all(|entry| entry.len() == 4)
                })
            });
        }
    }

    fn wait_for(&self, node: &Redis, ready: impl FnMut() -> bool) {
        wait_until_ready("a node of the cluster", &node.log(), ready);
    }

    fn ask_any<T: redis::FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        self.nodes.iter().find_map(|node| node.ask(words))
    }
}

fn start_node(access: &Access, bus_port: &ReservedPort, timeout: Duration, arguments: &[&str]) -> Redis {
    let (bus_port, timeout) = (bus_port.number().to_string(), timeout.as_millis().to_string());
    let of_cluster = [
        ["--cluster-enabled", "yes"],
        ["--cluster-port", &bus_port],
        ["--cluster-node-timeout", &timeout],
        ["--repl-diskless-sync-delay", "0"],
    ];
    Redis::accessed(access, &[of_cluster.as_flattened(), arguments].concat())
}

/// The ranges of slots that a node knows, and the ports of their primaries.
fn primaries(node: &Redis) -> Vec<(std::ops::RangeInclusive<u16>, u16)> {
    let entries: Vec<Vec<Value>> = node.ask(&["CLUSTER", "SLOTS"]).unwrap_or_default();
    let entries = entries.into_iter().map(|entry| {
        let mut entry = entry.into_iter();
        let mut number =
            || entry.next().and_then(|value| from_redis_value::<u16>(value).ok()).expect("a slot");
        let slots = number()..=number();
        let primary: Vec<Value> = from_redis_value(entry.next().expect("a primary")).expect("a list");
        let port = primary.into_iter().nth(1).expect("a port");
        (slots, from_redis_value(port).expect("a number"))
    });
    entries.collect()
}

fn offset(node: &Redis, field: &str) -> Option<u64> {
    node.info(field)?.parse().ok()
}

static SPARE: Mutex<Vec<RedisCluster>> = Mutex::new(Vec::new());

/// A cluster that other tests use, too, one after the other; empty at first.
pub struct BorrowedCluster(Option<RedisCluster>);

impl BorrowedCluster {
    pub fn take() -> Self {
        let spare = SPARE.lock().expect("no holder panics").pop();
        // No test that borrows one kills a node, so neither a busy machine should make it look dead, nor a busy
        // disk keep its answers back for longer than gateways wait: they would go on without it.
        let start =
            || RedisCluster::accessed(Access::default(), Duration::from_secs(60), &["--appendonly", "no"]);
        Self(Some(spare.unwrap_or_else(start)))
    }
}

impl std::ops::Deref for BorrowedCluster {
    type Target = RedisCluster;

    fn deref(&self) -> &RedisCluster {
        self.0.as_ref().expect("it is there until dropped")
    }
}

impl Drop for BorrowedCluster {
    fn drop(&mut self) {
        let Some(cluster) = self.0.take().filter(|_| !std::thread::panicking()) else { return };
        cluster.flush();
        SPARE.lock().expect("no holder panics").push(cluster);
    }
}
