//! Where the gateway listens. Fixed at start; a reload that changes it says so in the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::UserStorage;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub proxy: Vec<ProxyListener>,
    pub admin: SocketAddr,
    pub control: ControlSocket,
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
    pub tls: Option<TlsFiles>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}
