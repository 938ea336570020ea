//! The servers of one upstream: weighted round robin over resolved addresses, with servers that
//! could not be reached left out for a moment. Lives beside the policy, so a reload resets nothing.
//!
//! Our own, and not Pingora's load balancer: that one clones a map of boxes per choice, which cost
//! 3 % of a whole request (docs/performance.md).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config::policy::{Server, Upstream};

/// How long a server that refused a connection is passed over, as long as others are left.
const PASS_OVER: Duration = Duration::from_secs(2);
/// How often names are resolved again.
pub const RESOLVE_EVERY: Duration = Duration::from_secs(10);

pub struct Balancer {
    servers: Vec<Server>,
    turns: ArcSwap<Turns>,
    next: AtomicUsize,
    started: Instant,
}

/// Tells a target from all others of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetId(u64);

/// One address of a server.
#[derive(Debug)]
pub struct Target {
    pub id: TargetId,
    pub address: SocketAddr,
    /// For SNI and the certificate.
    pub host: String,
    pub tls: bool,
    weight: u32,
    /// Milliseconds since the balancer's start.
    passed_over_until: AtomicU64,
}

#[derive(Default)]
struct Turns {
    targets: Vec<Arc<Target>>,
    /// Indices into `targets`, each as often as its weight says, spread evenly.
    order: Vec<usize>,
}

impl Balancer {
    /// Resolves the servers once. Names that don't resolve are left out until they do.
    pub async fn open(upstream: &Upstream) -> Self {
        let balancer = Self {
            servers: upstream.servers.clone(),
            turns: ArcSwap::default(),
            next: AtomicUsize::new(0),
            started: Instant::now(),
        };
        balancer.resolve().await;
        balancer
    }

    /// Looks the names up again; if none resolves, the addresses known so far stay.
    pub async fn resolve(&self) {
        let mut targets = Vec::new();
        let known = self.turns.load_full();
        for server in &self.servers {
            match tokio::net::lookup_host((server.host.as_str(), server.port)).await {
                Ok(addresses) => targets.extend(addresses.map(|address| known.target(address, server))),
                Err(error) => {
                    tracing::warn!(host = %server.host, %error, "an upstream server could not be resolved")
                }
            }
        }
        if !targets.is_empty() {
            let order = spread(&targets.iter().map(|target| target.weight).collect::<Vec<_>>());
            self.turns.store(Arc::new(Turns { targets, order }));
        }
    }

    /// Whether it serves exactly these servers, so that a new edition can keep it.
    pub fn serves(&self, upstream: &Upstream) -> bool {
        self.servers == upstream.servers
    }

    /// Whether any server is a name that may come to stand for other addresses.
    pub fn needs_resolving(&self) -> bool {
        self.servers.iter().any(|server| server.host.parse::<std::net::IpAddr>().is_err())
    }

    /// The next target that wasn't tried and isn't passed over; else any that wasn't tried; else
    /// any at all. `None` when no name has resolved.
    pub fn next(&self, tried: &[Arc<Target>]) -> Option<Arc<Target>> {
        let turns = self.turns.load();
        let now = self.now_ms();
        let begin = self.next.fetch_add(1, Ordering::Relaxed);
        let of_turn =
            |turn: usize| turns.order.get((begin + turn) % turns.order.len()).map(|at| &turns.targets[*at]);
        let candidates = || (0..turns.order.len()).filter_map(of_turn);
        let is_new = |target: &&Arc<Target>| !tried.iter().any(|tried| Arc::ptr_eq(tried, target));
        let is_reachable = |target: &&Arc<Target>| target.passed_over_until.load(Ordering::Relaxed) <= now;
        let first = candidates().find(|target| is_new(target) && is_reachable(target));
        first.or_else(|| candidates().find(is_new)).or_else(|| candidates().next()).cloned()
    }

    /// Passes the target over for a moment.
    pub fn pass_over(&self, target: &Target) {
        let until = self.now_ms() + PASS_OVER.as_millis() as u64;
        target.passed_over_until.store(until, Ordering::Relaxed);
    }

    /// Each address, and whether it is passed over at the moment; for people.
    pub fn standing(&self) -> Vec<(SocketAddr, bool)> {
        let now = self.now_ms();
        let is_passed_over = |target: &Target| target.passed_over_until.load(Ordering::Relaxed) > now;
        self.turns.load().targets.iter().map(|target| (target.address, is_passed_over(target))).collect()
    }

    /// How many targets there are to try.
    pub fn target_count(&self) -> usize {
        self.turns.load().targets.len()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl TargetId {
    fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Turns {
    /// The target for an address, kept if it was known, so that what is known of it isn't lost.
    fn target(&self, address: SocketAddr, server: &Server) -> Arc<Target> {
        let same = |target: &&Arc<Target>| target.address == address && target.host == server.host;
        self.targets.iter().find(same).cloned().unwrap_or_else(|| {
            Arc::new(Target {
                id: TargetId::next(),
                address,
                host: server.host.clone(),
                tls: server.tls,
                weight: server.weight,
                passed_over_until: AtomicU64::new(0),
            })
        })
    }
}

/// Smooth weighted round robin: 5, 1, 1 gives a a b a c a a, not a a a a a b c.
fn spread(weights: &[u32]) -> Vec<usize> {
    let divisor = weights.iter().copied().reduce(greatest_common_divisor).unwrap_or(1).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        credit.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
        // The first of the richest.
        let Some(at) = (0..credit.len()).rev().max_by_key(|&at| credit[at]) else { break };
        credit[at] -= total;
        order.push(at);
    }
    order
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_by_weight() {
        assert_eq!(spread(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(spread(&[100, 100]), [0, 1]);
        assert_eq!(spread(&[3]), [0]);
        assert_eq!(spread(&[]), [] as [usize; 0]);
    }
}
