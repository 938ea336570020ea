//! Counts a connection with TLS before its handshake, until it is closed: only its stream sees both.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::PreTlsProcess;
use pingora::protocols::GetSocketDigest;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::{Tracer, Tracing};
use pingora::{Error, ErrorType, Result};

use super::limited_address;
use crate::downstream::{ConnectionLimits, Counted};
use crate::gateway::Gateway;

pub struct CountTls {
    pub gateway: Gateway,
    pub limits: Arc<ConnectionLimits>,
}

#[async_trait]
impl PreTlsProcess for CountTls {
    async fn process(&self, stream: &mut Stream) -> Result<()> {
        let socket = stream.get_socket_digest();
        let peer = socket.as_ref().and_then(|socket| socket.peer_addr()?.as_inet()).map(SocketAddr::ip);
        let Some(counted) = self.limits.add(limited_address(&self.gateway, peer)) else {
            return Error::e_explain(ErrorType::ConnectRefused, "too many connections");
        };
        stream.tracer = Some(Tracer(Box::new(UntilClosed(Arc::new(counted)))));
        Ok(())
    }
}

/// Dropped with the stream.
#[derive(Debug, Clone)]
struct UntilClosed(#[expect(dead_code, reason = "counts while it lives")] Arc<Counted>);

impl Tracing for UntilClosed {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {}

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(self.clone())
    }
}
