//! An HTTP/2 client that is scripted frame by frame, over TLS and ALPN.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Gateway;

/// One connection; closed when dropped.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub async fn open(gateway: &Gateway) -> Self {
        let tls = connect(gateway).await;
        let (requests, connection) = h2::client::handshake(tls).await.expect("an HTTP/2 handshake");
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// A request without a body.
    pub async fn get(&self, request: Request<()>) -> Result<Response<Bytes>, h2::Error> {
        let (answer, _) = self.ready().await?.send_request(request, true)?;
        read(answer.await?).await
    }

    /// A request with these DATA frames; the last one ends the stream unless trailers follow.
    pub async fn send(
        &self,
        request: Request<()>,
        frames: &[&'static [u8]],
        trailers: Option<HeaderMap>,
    ) -> Result<Response<Bytes>, h2::Error> {
        let (answer, mut body) = self.ready().await?.send_request(request, false)?;
        for (index, frame) in frames.iter().enumerate() {
            let is_last = index + 1 == frames.len() && trailers.is_none();
            body.send_data(Bytes::from_static(frame), is_last)?;
        }
        if let Some(trailers) = trailers {
            body.send_trailers(trailers)?;
        }
        read(answer.await?).await
    }

    /// A request whose body is still to be sent.
    pub async fn begin(
        &self,
        request: Request<()>,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        self.ready().await?.send_request(request, false)
    }

    async fn ready(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        self.requests.clone().ready().await
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A connection on which HTTP/2 is agreed upon.
pub(super) async fn connect(gateway: &Gateway) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(gateway.tls_address()).await.expect("the gateway listens");
    let name = ServerName::try_from("localhost").expect("it is a name");
    let tls = connector(gateway.certificate()).connect(name, tcp).await.expect("a TLS handshake");
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    tls
}

/// The whole answer.
pub async fn read(answer: Response<h2::RecvStream>) -> Result<Response<Bytes>, h2::Error> {
    let (head, mut stream) = answer.into_parts();
    let mut body = BytesMut::new();
    while let Some(part) = poll_fn(|cx| stream.poll_data(cx)).await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    Ok(Response::from_parts(head, body.freeze()))
}

fn connector(certificate: &str) -> TlsConnector {
    let mut trusted = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("rcgen writes PEM");
    trusted.add(certificate).expect("rcgen writes certificates");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has what they need")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}
