//! Stands between the gateway and a backend, passes everything on and remembers what the gateway
//! sent, byte for byte. With a certificate it also makes an HTTPS backend of a plain one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

type Tape = Arc<Mutex<Vec<Vec<u8>>>>;

/// Gone when dropped.
pub struct Wiretap {
    address: SocketAddr,
    tape: Tape,
    task: JoinHandle<()>,
    home: Option<TempDir>,
}

impl Wiretap {
    pub async fn before(backend: SocketAddr) -> Self {
        Self::start(backend, None, None).await
    }

    /// With TLS, by a fresh certificate for `name`.
    pub async fn with_tls_before(backend: SocketAddr, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("the name is valid");
        let home = tempfile::Builder::new().prefix("portcullis-wiretap-").tempdir();
        let home = home.expect("the temporary folder is writable");
        std::fs::write(home.path().join("ca.pem"), made.cert.pem()).expect("the same");
        let acceptor = acceptor(&made.cert.pem(), &made.signing_key.serialize_pem());
        Self::start(backend, Some(acceptor), Some(home)).await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client must trust; only with TLS.
    pub fn certificate_file(&self) -> PathBuf {
        self.home.as_ref().expect("only with TLS").path().join("ca.pem")
    }

    /// What the gateway sent so far, by connection in the order they were opened.
    pub fn heard(&self) -> Vec<String> {
        let tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        tape.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    async fn start(backend: SocketAddr, tls: Option<TlsAcceptor>, home: Option<TempDir>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let tape = Tape::default();
        let task = tokio::spawn(accept(listener, backend, tls, tape.clone()));
        Self { address, tape, task, home }
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, backend: SocketAddr, tls: Option<TlsAcceptor>, tape: Tape) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, tape) = (tls.clone(), tape.clone());
        let connection = {
            let mut connections = tape.lock().unwrap_or_else(PoisonError::into_inner);
            connections.push(Vec::new());
            connections.len() - 1
        };
        tokio::spawn(async move {
            match tls {
                None => relay(stream, backend, tape, connection).await,
                // A gateway that doesn't trust the certificate leaves here.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        relay(stream, backend, tape, connection).await;
                    }
                }
            }
        });
    }
}

/// Until either side ends.
async fn relay(stream: impl AsyncRead + AsyncWrite, backend: SocketAddr, tape: Tape, connection: usize) {
    let Ok(backend) = TcpStream::connect(backend).await else { return };
    let (mut from_gateway, mut to_gateway) = tokio::io::split(stream);
    let (mut from_backend, mut to_backend) = backend.into_split();
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_gateway.read(&mut buffer).await {
            tape.lock().unwrap_or_else(PoisonError::into_inner)[connection].extend(&buffer[..length]);
            if to_backend.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => (),
        _ = tokio::io::copy(&mut from_backend, &mut to_gateway) => (),
    }
}

fn acceptor(certificate: &str, key: &str) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("rcgen writes PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("rcgen writes PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has what they need")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.expect("rcgen makes a matching pair")))
}
