//! Where the gateway listens. Fixed at start, but for the certificates; a reload that changes it says so in the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::UserStorage;
use crate::certificate::Certificate;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub proxy: Vec<ProxyListener>,
    pub admin: SocketAddr,
    pub control: ControlSocket,
    /// Header fields of a request; more are refused. A reload changes it.
    pub max_fields: u32,
    /// A client's connection without a request is closed after this; up to a quarter later over HTTP/1.
    pub idle_timeout: Duration,
    pub timeouts: ClientTimeouts,
    pub max_connections: MaxConnections,
    /// On SIGTERM: how long `/readyz` says 503 while requests are still taken.
    pub drain: Duration,
    /// After that: how long running requests may still take.
    pub shutdown_timeout: Duration,
}

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For a request's head, in all.
    pub header: Duration,
    /// Between two pieces of a request's body.
    pub body: Duration,
    /// Until it takes more of an answer.
    pub send: Duration,
}

/// How many connections clients may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxConnections {
    /// `None`: what the limit of open files leaves.
    pub total: Option<u32>,
    /// From one address, or one IPv6 /64, that is no trusted proxy.
    pub per_address: Option<u32>,
}

/// The Unix socket by which the command line reaches the gateway on its own machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSocket {
    pub path: PathBuf,
    /// Named by the file: then the gateway doesn't start without it.
    pub is_required: bool,
}

impl ControlSocket {
    const NAME: &str = "portcullis.sock";

    /// Where it lies if nobody says otherwise: beside the data.
    pub fn beside(users: Option<&UserStorage>) -> PathBuf {
        match users {
            Some(UserStorage::Sqlite(database)) => database.with_file_name(Self::NAME),
            _ => PathBuf::from("data").join(Self::NAME),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyListener {
    pub address: SocketAddr,
    /// HTTPS and, by ALPN, HTTP/2.
    pub tls: Option<Arc<Certificate>>,
}

impl Listen {
    /// Whether a gateway that runs with this can take up `next` without a restart: other certificates and bounds
    /// of requests, and nothing else.
    pub fn may_become(&self, next: &Self) -> bool {
        let mut renewed = self.clone();
        for (listener, next) in renewed.proxy.iter_mut().zip(&next.proxy) {
            if let (Some(certificate), Some(next)) = (&mut listener.tls, &next.tls) {
                *certificate = next.clone();
            }
        }
        renewed.max_fields = next.max_fields;
        renewed == *next
    }

    /// The proxy's addresses, each with its certificate if it speaks TLS.
    pub fn certificates(&self) -> impl Iterator<Item = (SocketAddr, Option<&Arc<Certificate>>)> {
        self.proxy.iter().map(|listener| (listener.address, listener.tls.as_ref()))
    }
}
