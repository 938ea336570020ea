//! Where the gateway listens. Fixed at start; a reload that changes it says so in the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub proxy: Vec<ProxyListener>,
    pub admin: SocketAddr,
    /// A client's connection without a request is closed after this; up to a quarter later over HTTP/1.
    pub idle_timeout: Duration,
    /// On SIGTERM: how long `/readyz` says 503 while requests are still taken.
    pub drain: Duration,
    /// After that: how long running requests may still take.
    pub shutdown_timeout: Duration,
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
