//! What the stages look at when a request arrives, apart from the connection it came over: so that
//! `rehearsal` can ask the same stages about a request that nobody sent.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::client;
use crate::identity::Identity;

pub struct Arrival<'r> {
    pub request: &'r RequestHeader,
    /// `None` only for background requests of our own.
    pub peer: Option<IpAddr>,
    pub tls: bool,
    /// The request line as it came, for HTTP/1 by Pingora's session, which drops a fragment and encodes illegal
    /// bytes before anybody sees the target.
    pub request_line: Option<Bytes>,
    /// False for background revalidations, which nobody asked for.
    pub charged: bool,
    /// In a simulation: whom the bearer token stands for, in place of verifying it.
    pub given: Option<Arc<Identity>>,
}

impl<'r> From<&'r Session> for Arrival<'r> {
    fn from(session: &'r Session) -> Self {
        Self {
            request: session.req_header(),
            peer: client::peer_address(session),
            tls: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
            request_line: request_line(session),
            charged: session.subrequest_ctx.is_none(),
            given: None,
        }
    }
}

fn request_line(session: &Session) -> Option<Bytes> {
    let head = session.as_http1()?.get_headers_raw_bytes();
    let end = head.iter().position(|&byte| byte == b'\r' || byte == b'\n')?;
    Some(head.slice(..end))
}
