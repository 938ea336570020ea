//! Pingora's server: listeners, threads, pools.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::listening::Service;

use super::listeners::{Listeners, OnListeners};
use super::shutdown::{Remains, Signals};
use super::status::Status;
use super::{StartError, descriptors};
use crate::config::policy::{ClientTimeouts, Listen, MaxConnections};
use crate::downstream::{ConnectionLimits, Max, Patience, Refused};
use crate::front_door::{Clients, Connections, FrontDoor};
use crate::gateway::Gateway;
use crate::telemetry::Metrics;
use crate::tls;

/// Idle connections kept to upstreams. Below the number of concurrent requests it costs half the
/// throughput (docs/performance.md).
const UPSTREAM_POOL: usize = 1024;

/// Pingora's own end of the process, should ours fail, comes so much later.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until a signal ends it.
pub fn run(
    gateway: Gateway,
    listen: &Listen,
    served: Arc<tls::Listeners>,
    office: &tokio::runtime::Handle,
    status: Arc<Status>,
    remains: Remains,
) -> Result<(), StartError> {
    let listeners = Listeners::bind(listen.proxy.iter().map(|listener| listener.address)).map(Arc::new)?;
    let mut server = Server::new_with_opt_and_conf(None, conf(listen));
    server.bootstrap();
    let proxy = http_proxy(&server.configuration, gateway.clone());
    let alive = Box::new(Alive { status: status.clone(), remains: remains.clone() });
    let clients = Clients {
        listeners: served,
        patience: Arc::new(patience(listen, &status.metrics)),
        limits: Arc::new(limits(listen, &status.metrics)),
    };
    let door = FrontDoor::new(gateway, proxy, clients, listen.idle_timeout, alive);
    office.spawn(door.watch_idle());
    let connections = Connections::new(door, remains.connections.clone());
    let mut service = Service::new("proxy".to_owned(), connections);
    for listener in &listen.proxy {
        let endpoint = ListenerConfig::tcp(listener.address.to_string());
        service.add_listener(match &listener.tls {
            // Bodies are read in large pieces anyway, and most connections wait for a head.
            None => endpoint.l4_buffer(L4BufferSettings::default().read(0)),
            Some(_) => endpoint,
        });
    }
    office.spawn(note_when_listening(listeners.addresses(), status.clone()));
    server.add_service(OnListeners { service, listeners: listeners.clone() });
    let signals = Signals {
        drain: listen.drain,
        shutdown_timeout: listen.shutdown_timeout,
        status,
        listeners,
        remains: remains.clone(),
        office: office.clone(),
    };
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    remains.settle();
    Ok(())
}

fn limits(listen: &Listen, metrics: &Metrics) -> ConnectionLimits {
    let MaxConnections { total, per_address } = listen.max_connections;
    let max = Max { total: total.unwrap_or_else(descriptors::for_clients), per_address };
    let refused = Refused {
        total: metrics.refused_connections("total"),
        per_address: metrics.refused_connections("per_address"),
    };
    ConnectionLimits::new(max, metrics.client_connections.clone(), refused)
}

fn patience(listen: &Listen, metrics: &Metrics) -> Patience {
    let ClientTimeouts { header, body, send } = listen.timeouts;
    let late = |timeout| metrics.late_clients(timeout);
    Patience { header, body, send, late_header: late("header"), late_send: late("send") }
}

/// Held by the service that takes connections. Pingora goes on without it after a panic, as a process that
/// listens nowhere; then it is better to end, so that it is started again.
struct Alive {
    status: Arc<Status>,
    remains: Remains,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !self.status.is_draining() {
            tracing::error!("the proxy's listeners have ended; so does the process");
            self.remains.settle();
            std::process::exit(1);
        }
    }
}

fn conf(listen: &Listen) -> ServerConf {
    ServerConf {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        // Worth 5–10 % (docs/performance.md); each worker thread runs its own scheduler.
        work_stealing: false,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        // The process leaves earlier, with its last request or when their time is over (`shutdown`).
        grace_period_seconds: Some((listen.shutdown_timeout + GRACE).as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// `/readyz` is true only once every proxy port takes connections.
async fn note_when_listening(addresses: Vec<SocketAddr>, status: Arc<Status>) {
    for address in addresses {
        while tokio::net::TcpStream::connect(reachable(address)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    status.note_listening();
}

fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}
