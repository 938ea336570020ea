//! The servers of one upstream: weighted round robin over resolved addresses, with servers that
//! could not be reached left out for a moment. Lives beside the policy, so a reload resets nothing.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::lb::discovery::ServiceDiscovery;
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, Backends, LoadBalancer};

use crate::config::policy::{Server, Upstream};

/// How long a server that refused a connection is passed over, as long as others are left.
const PASS_OVER: Duration = Duration::from_secs(2);
/// How often names are resolved again.
pub const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// Round robin skips over at most this many servers in search of a good one.
const MAX_STEPS: usize = 64;

pub struct Balancer {
    servers: Vec<Server>,
    backends: LoadBalancer<RoundRobin>,
    /// `unreachable` is looked at only while this is set.
    any_unreachable: AtomicBool,
    unreachable: Mutex<HashMap<SocketAddr, Instant>>,
}

/// What a backend's address stands for; kept in `Backend::ext`.
#[derive(Clone)]
pub struct ServerName {
    /// For SNI and the certificate.
    pub host: String,
    pub tls: bool,
}

impl Balancer {
    /// Resolves the servers once. Names that don't resolve are left out until they do.
    pub async fn open(upstream: &Upstream) -> Self {
        let servers = upstream.servers.clone();
        let discovery = Box::new(Resolver { servers: servers.clone() });
        let balancer = Self {
            servers,
            backends: LoadBalancer::from_backends(Backends::new(discovery)),
            any_unreachable: AtomicBool::new(false),
            unreachable: Mutex::default(),
        };
        balancer.resolve().await;
        balancer
    }

    /// Looks the names up again; on failure the addresses known so far stay.
    pub async fn resolve(&self) {
        if let Err(error) = self.backends.update().await {
            tracing::warn!(%error, "upstream servers could not be resolved");
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

    /// The next server that wasn't tried and isn't passed over; else any that wasn't tried; else
    /// any at all. `None` when no name has resolved.
    pub fn next(&self, tried: &[Backend]) -> Option<Backend> {
        if tried.is_empty() && !self.any_unreachable.load(Ordering::Relaxed) {
            return self.backends.select(b"", MAX_STEPS);
        }
        let now = Instant::now();
        let unreachable = {
            let mut unreachable = self.unreachable.lock();
            unreachable.retain(|_, until| *until > now);
            self.any_unreachable.store(!unreachable.is_empty(), Ordering::Relaxed);
            unreachable.clone()
        };
        let is_passed_over =
            |backend: &Backend| address(backend).is_some_and(|address| unreachable.contains_key(&address));
        self.backends
            .select_with(b"", MAX_STEPS, |backend, _| !tried.contains(backend) && !is_passed_over(backend))
            .or_else(|| self.backends.select_with(b"", MAX_STEPS, |backend, _| !tried.contains(backend)))
            .or_else(|| self.backends.select(b"", MAX_STEPS))
    }

    /// Passes the server over for a moment.
    pub fn pass_over(&self, backend: &Backend) {
        let Some(address) = address(backend) else { return };
        self.unreachable.lock().insert(address, Instant::now() + PASS_OVER);
        self.any_unreachable.store(true, Ordering::Relaxed);
    }

    /// How many servers there are to try.
    pub fn len(&self) -> usize {
        self.backends.backends().get_backend().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn address(backend: &Backend) -> Option<SocketAddr> {
    backend.addr.as_inet().copied()
}

/// Turns configured servers into addresses.
struct Resolver {
    servers: Vec<Server>,
}

#[async_trait]
impl ServiceDiscovery for Resolver {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut backends = BTreeSet::new();
        for server in &self.servers {
            match tokio::net::lookup_host((server.host.as_str(), server.port)).await {
                Ok(addresses) => {
                    for address in addresses {
                        backends.insert(backend(address, server)?);
                    }
                }
                Err(error) => {
                    tracing::warn!(host = %server.host, %error, "an upstream server could not be resolved")
                }
            }
        }
        if backends.is_empty() {
            return pingora::Error::e_explain(
                pingora::ErrorType::ConnectError,
                "no server of the upstream resolves",
            );
        }
        Ok((backends, HashMap::new()))
    }
}

fn backend(address: SocketAddr, server: &Server) -> pingora::Result<Backend> {
    let mut backend = Backend::new_with_weight(&address.to_string(), server.weight as usize)?;
    backend.ext.insert(ServerName { host: server.host.clone(), tls: server.tls });
    Ok(backend)
}
