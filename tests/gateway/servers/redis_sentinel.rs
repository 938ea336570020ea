//! Three sentinels of one's own, and the master with two replicas that they watch.

use std::time::{Duration, Instant};

use super::redis::Redis;
use super::redis_access::Access;
use super::wait_until_ready;
use crate::harness::PATIENCE;

const MASTER: &str = "mymaster";
/// How long the master has to be silent until it is replaced.
const DOWN_AFTER_MS: u32 = 1500;
/// A sentinel does nothing for so long once its timer was two seconds late, as on a machine that stood still.
const TILT: Duration = Duration::from_secs(30);

/// Six processes, gone when dropped.
pub struct RedisSentinel {
    access: Access,
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl RedisSentinel {
    /// Ready: the replicas are in step, and the sentinels know them and each other.
    pub fn start() -> Self {
        Self::accessed(Access::default())
    }

    /// The same, over TLS and with passwords only.
    pub fn start_secured() -> Self {
        Self::accessed(Access::secured())
    }

    fn accessed(access: Access) -> Self {
        let durable = ["--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"];
        let master = Redis::accessed(&access, &durable);
        let port = master.port().to_string();
        let replica = || {
            let replica =
                Redis::accessed(&access, &[&durable[..], &["--replicaof", "127.0.0.1", &port]].concat());
            wait_until_ready("a replica", &replica.log(), || {
                replica.info("master_link_status").as_deref() == Some("up")
            });
            replica
        };
        let servers = vec![replica(), replica()];
        let monitoring = format!(
            "sentinel monitor {MASTER} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {MASTER} 5000\n\
             sentinel parallel-syncs {MASTER} 2\n"
        );
        let configuration = monitoring + &access.directives_of_sentinel(MASTER).join("\n");
        let sentinel = |_| Redis::sentinel(access.of_sentinels(), &configuration);
        let sentinels: Vec<Redis> = (0..3).map(sentinel).collect();
        let servers = std::iter::once(master).chain(servers).collect();
        let all = Self { access, servers, sentinels };
        all.until_acquainted();
        all
    }

    pub fn url(&self) -> String {
        let sentinels: Vec<String> =
            self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect();
        let servers = format!("{}/{MASTER}/0", sentinels.join(","));
        self.access.url("+sentinel", &servers) + &self.access.parameters()
    }

    /// What those trust who speak TLS to it.
    pub fn ca(&self) -> &str {
        self.access.ca()
    }

    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// The server that all sentinels name and that says itself that it is the master.
    pub fn master(&self) -> Option<&Redis> {
        let named = |sentinel: &Redis| -> Option<(String, u16)> {
            sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER])
        };
        let mut named = self.sentinels.iter().filter_map(named);
        let (_, port) = named.next()?;
        let is_agreed = named.all(|(_, other)| other == port);
        let server = self.servers.iter().find(|server| server.port() == port)?;
        (is_agreed && server.info("role").as_deref() == Some("master")).then_some(server)
    }

    /// Waits for another master than `old`.
    pub async fn until_replaced(&self, old: &Redis) {
        let deadline = Instant::now() + TILT + PATIENCE;
        while self.master().is_none_or(|master| master.port() == old.port()) {
            assert!(Instant::now() < deadline, "the sentinels elected nobody");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until whatever has been written is at all running replicas, too.
    pub fn until_replicated(&self) {
        let master = self.master().expect("there is one");
        let offset = |server: &Redis, field| server.info(field)?.parse::<u64>().ok();
        let written = offset(master, "master_repl_offset");
        let replicas = self.servers.iter().filter(|server| server.info("role").as_deref() == Some("slave"));
        for replica in replicas {
            wait_until_ready("a replica", &replica.log(), || offset(replica, "slave_repl_offset") >= written);
        }
    }

    fn until_acquainted(&self) {
        for sentinel in &self.sentinels {
            wait_until_ready("a sentinel", &sentinel.log(), || {
                let about: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", MASTER]).unwrap_or_default();
                let says = |field: &str, value: &str| {
                    about.chunks(2).any(|pair| matches!(pair, [name, held] if name == field && held == value))
                };
                says("num-slaves", "2") && says("num-other-sentinels", "2")
            });
        }
    }
}
