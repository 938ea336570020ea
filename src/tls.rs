//! The TLS side of the proxy's listeners: handshakes, and which certificate is served. Pingora only accepts the
//! TCP connections, because its own TLS listener reads the certificate once and for all, writes an ERROR line for
//! each handshake that fails, and panics over a certificate that it can't use.

mod plain_http;
mod tickets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{Peek, Stream};
use pingora::time::timeout;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::Serialize;

use self::tickets::Tickets;
use crate::certificate::Certificate;
use crate::clock::Timestamp;

/// From the connection to the end of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// The proxy's listeners, each with what it serves.
pub struct Listeners {
    listeners: Vec<Listener>,
    tickets: Arc<Tickets>,
}

struct Listener {
    address: SocketAddr,
    tls: Option<Tls>,
}

struct Tls {
    served: Arc<Served>,
    acceptor: Acceptor,
}

/// The certificate that a listener serves at the moment.
#[derive(Debug)]
struct Served(ArcSwap<Certificate>);

/// What is served where, for operators.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct ServedCertificate {
    pub listener: SocketAddr,
    pub serial: String,
    pub not_after: Timestamp,
}

impl Listeners {
    /// `Err` says what the TLS library refuses.
    pub fn new(
        listeners: impl IntoIterator<Item = (SocketAddr, Option<Arc<Certificate>>)>,
    ) -> Result<Self, rustls::Error> {
        let tickets = Arc::new(Tickets::new());
        let listener = |(address, certificate): (SocketAddr, Option<Arc<Certificate>>)| {
            let tls = certificate.map(|certificate| Tls::new(certificate, tickets.clone())).transpose()?;
            Ok(Listener { address, tls })
        };
        let listeners = listeners.into_iter().map(listener).collect::<Result<_, rustls::Error>>()?;
        Ok(Self { listeners, tickets })
    }

    /// Serves these certificates from now on, to new connections. Returns those that are new.
    pub fn renew<'c>(
        &self,
        certificates: impl IntoIterator<Item = (SocketAddr, Option<&'c Arc<Certificate>>)>,
    ) -> Vec<ServedCertificate> {
        let mut renewed = Vec::new();
        for (address, certificate) in certificates {
            let listener = self.listeners.iter().find(|listener| listener.address == address);
            let tls = listener.and_then(|listener| listener.tls.as_ref());
            let (Some(tls), Some(certificate)) = (tls, certificate) else { continue };
            if **tls.served.0.load() != **certificate {
                tls.served.0.store(certificate.clone());
                renewed.push(describe(address, certificate));
            }
        }
        renewed
    }

    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let served = |listener: &Listener| {
            let tls = listener.tls.as_ref()?;
            Some(describe(listener.address, &tls.served.0.load()))
        };
        self.listeners.iter().filter_map(served).collect()
    }

    /// Session tickets are made from this, and are good at every gateway that has the same.
    pub fn share_tickets(&self, secret: &[u8; 32]) {
        self.tickets.set_secret(secret);
    }

    /// The connection, after the TLS handshake where its listener speaks TLS; `None` if that failed.
    pub async fn open(&self, stream: Stream) -> Option<Stream> {
        let Some(tls) = self.of(&stream).and_then(|listener| listener.tls.as_ref()) else {
            return Some(stream);
        };
        let stream = stream.into_any().downcast::<TcpStream>().ok()?;
        // Boxed, so that plain connections don't carry its size.
        match Box::pin(timeout(HANDSHAKE_TIMEOUT, tls.accept(*stream))).await {
            Ok(stream) => stream,
            Err(_) => {
                tracing::debug!("a TLS handshake took longer than {HANDSHAKE_TIMEOUT:?}");
                None
            }
        }
    }

    /// The listener that has accepted the connection. One with port 0 may have any.
    fn of(&self, stream: &Stream) -> Option<&Listener> {
        let digest = stream.get_socket_digest()?;
        let local = digest.local_addr()?.as_inet()?;
        let fits = |listener: &&Listener| {
            listener.address.ip().is_unspecified() || listener.address.ip() == local.ip().to_canonical()
        };
        let with_port = |port: u16| {
            self.listeners.iter().filter(move |listener| listener.address.port() == port).find(fits)
        };
        with_port(local.port()).or_else(|| with_port(0))
    }
}

impl Tls {
    fn new(certificate: Arc<Certificate>, tickets: Arc<Tickets>) -> Result<Self, rustls::Error> {
        let served = Arc::new(Served(ArcSwap::new(certificate)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(served.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets;
        Ok(Self { served, acceptor: Acceptor::from_server_config(Arc::new(config)) })
    }

    async fn accept(&self, mut stream: TcpStream) -> Option<Stream> {
        let mut first = [0];
        // A probe connects and says nothing.
        stream.try_peek(&mut first).await.ok()?;
        if first[0] != HANDSHAKE_RECORD {
            plain_http::refuse(stream, first[0]).await;
            return None;
        }
        match self.acceptor.tls_handshake(stream).await {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified().clone())
    }
}

fn describe(listener: SocketAddr, certificate: &Certificate) -> ServedCertificate {
    let facts = &certificate.facts;
    ServedCertificate { listener, serial: facts.serial.clone(), not_after: facts.not_after }
}
