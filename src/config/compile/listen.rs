//! `listen:`

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{
    ClientTimeouts, ControlSocket, Listen, MaxConnections, ProxyListener, UserStorage,
};
use crate::config::raw;

const DEFAULT_PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// More than a process can have open.
const MOST_CONNECTIONS: u32 = 10_000_000;

/// The parser of HTTP/1 has room for a few more.
const MAX_FIELDS: u32 = 250;
/// Some systems take no more, the last of them a zero.
const MAX_SOCKET_PATH: usize = 103;

impl Compiler<'_> {
    pub fn listen(&mut self, raw: raw::Listen, users: Option<&UserStorage>, at: &Place<'_>) -> Listen {
        let admin = match raw.admin {
            Some(address) => self.socket_address(&at.key("admin"), &address).unwrap_or(DEFAULT_ADMIN),
            None => DEFAULT_ADMIN,
        };
        let proxy = match raw.proxy {
            Some(listeners) => self.proxy_listeners(listeners, admin, &at.key("proxy")),
            None => vec![ProxyListener { address: DEFAULT_PROXY, tls: None }],
        };
        Listen {
            proxy,
            admin,
            control: self.control_socket(raw.control, users, &at.key("control")),
            max_fields: self.number(at, "max_fields", raw.max_fields, 100, 16..=MAX_FIELDS),
            idle_timeout: self.positive_duration(
                at,
                "idle_timeout",
                raw.idle_timeout,
                Duration::from_secs(75),
            ),
            timeouts: self.client_timeouts(raw.timeouts.unwrap_or_default(), &at.key("timeouts")),
            max_connections: self
                .max_connections(raw.max_connections.unwrap_or_default(), &at.key("max_connections")),
            drain: self.duration(at, "drain", raw.drain, Duration::ZERO),
            shutdown_timeout: self.duration(
                at,
                "shutdown_timeout",
                raw.shutdown_timeout,
                Duration::from_secs(30),
            ),
        }
    }

    fn client_timeouts(&mut self, raw: raw::ClientTimeouts, at: &Place<'_>) -> ClientTimeouts {
        let seconds = Duration::from_secs;
        ClientTimeouts {
            header: self.positive_duration(at, "header", raw.header, seconds(10)),
            body: self.positive_duration(at, "body", raw.body, seconds(60)),
            send: self.positive_duration(at, "send", raw.send, seconds(60)),
        }
    }

    fn max_connections(&mut self, raw: raw::MaxConnections, at: &Place<'_>) -> MaxConnections {
        let mut number = |key, said: Option<u64>| {
            said.is_some().then(|| self.number(at, key, said, MOST_CONNECTIONS, 1..=MOST_CONNECTIONS))
        };
        MaxConnections {
            total: number("total", raw.total),
            per_address: number("per_address", raw.per_address),
        }
    }

    fn control_socket(
        &mut self,
        raw: Option<String>,
        users: Option<&UserStorage>,
        at: &Place<'_>,
    ) -> ControlSocket {
        let Some(path) = raw else {
            return ControlSocket { path: ControlSocket::beside(users), is_required: false };
        };
        let is_file = !path.is_empty() && !path.ends_with('/');
        if !is_file {
            self.problems.error(at, "expected the path of a socket; write it like data/portcullis.sock");
        } else if path.len() > MAX_SOCKET_PATH {
            let message = format!("a socket's path may have {MAX_SOCKET_PATH} bytes; choose a shorter one");
            self.problems.error(at, message);
        }
        ControlSocket { path: self.surroundings.locate(&path), is_required: true }
    }

    fn proxy_listeners(
        &mut self,
        raw: raw::List<raw::ProxyListener>,
        admin: SocketAddr,
        at: &Place<'_>,
    ) -> Vec<ProxyListener> {
        if raw.is_empty() {
            self.problems.error(at, "without an address nobody can call; add `- address: 0.0.0.0:8080`");
        }
        let mut listeners: Vec<ProxyListener> = Vec::new();
        for (index, listener) in self.items(raw, at) {
            let place = at.item(index);
            let tls = listener.tls.and_then(|tls| self.tls(tls, &place.key("tls")));
            let Some(address) = listener.address else {
                self.problems.missing(&place, "address", "write `address: 0.0.0.0:8080`");
                continue;
            };
            let Some(address) = self.socket_address(&place.key("address"), &address) else {
                continue;
            };
            if overlap(address, admin) {
                let message = format!("{admin} is the admin address; it must have a port of its own");
                self.problems.error(&place.key("address"), message);
            }
            if listeners.iter().any(|other| overlap(other.address, address)) {
                self.problems.error(&place.key("address"), format!("{address} is taken by an entry above"));
            }
            listeners.push(ProxyListener { address, tls });
        }
        listeners
    }

    fn socket_address(&mut self, at: &Place<'_>, text: &str) -> Option<SocketAddr> {
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let example = format!("127.0.0.1:{}", port.unwrap_or(8080));
        self.problems.error(at, format!("{text:?} isn't an IP address with a port; write it like {example}"));
        None
    }
}

/// Whether both can't be listened on at once. Port 0 stands for any free port.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_host
}
