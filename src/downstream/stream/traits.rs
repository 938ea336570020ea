//! What Pingora's sessions ask of a stream beside bytes: passed on to the one below.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};

use super::ClientStream;

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // One that may still be sending is closed with the last of it, after what it sends.
        if !self.may_be_sending()
            && let Some(inner) = self.inner_mut()
        {
            Shutdown::shutdown(&mut **inner).await;
        }
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.inner().map_or(-1, |inner| inner.id())
    }
}

impl Ssl for ClientStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner()?.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner()?.selected_alpn_proto()
    }
}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner().map(|inner| inner.get_timing_digest()).unwrap_or_default()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner().map(|inner| inner.get_read_pending_time()).unwrap_or_default()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner().map(|inner| inner.get_write_pending_time()).unwrap_or_default()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner()?.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        if let Some(inner) = self.inner_mut() {
            inner.set_proxy_digest(digest);
        }
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner()?.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        if let Some(inner) = self.inner_mut() {
            inner.set_socket_digest(digest);
        }
    }
}

/// No peeking: only Pingora's HTTP/2 over plain TCP, which is off, would ask for it.
#[async_trait]
impl Peek for ClientStream {
    async fn try_peek(&mut self, _: &mut [u8]) -> io::Result<bool> {
        Ok(false)
    }
}

impl ClientStream {
    fn inner(&self) -> Option<&Stream> {
        self.inner.as_ref()
    }

    fn inner_mut(&mut self) -> Option<&mut Stream> {
        self.inner.as_mut()
    }
}
