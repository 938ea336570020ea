//! The request on its way up: the body read whole, the head made anew, both sent.

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Request, Uri, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr, Result};

use super::Upstream;
use crate::exchange::Exchange;
use crate::pipeline::arrive::{self, content_length};
use crate::pipeline::forward::{choose_upstream, request_body, rewrite_request};

/// The whole body, which `qualify` found to be short; `None` when there is none.
///
/// `Err` unless it is as long as the head says: the head goes on as it is, and a server that waits
/// for more would take the next request on the connection for it (class 65).
pub async fn read_body(session: &mut Session, exchange: &mut Exchange) -> Result<Option<Bytes>> {
    let mut whole = BytesMut::new();
    if !session.is_body_empty() {
        while let Some(piece) = session.read_request_body().await.map_err(|error| error.into_down())? {
            whole.extend_from_slice(&piece);
            request_body::run(&mut Some(piece), false, exchange)?;
        }
    }
    let promised = content_length(&session.req_header().headers).ok().flatten().unwrap_or(0);
    if whole.len() as u64 != promised {
        let error =
            Error::explain(ErrorType::InvalidHTTPHeader, "a body of another length than its head says");
        return Err(error.into_down());
    }
    Ok(Some(whole.freeze()).filter(|body| !body.is_empty()))
}

pub async fn send(
    upstream: &mut Upstream,
    session: &Session,
    exchange: &Exchange,
    body: Option<&Bytes>,
) -> Result<()> {
    if let Some(settings) = choose_upstream::upstream(exchange) {
        upstream.read_timeout = Some(settings.timeouts.read);
        upstream.write_timeout = Some(settings.timeouts.write);
    }
    let head = head(session, exchange, body.is_some())?;
    upstream.write_request_header(Box::new(head)).await.map_err(|error| error.into_up())?;
    let Some(body) = body else { return Ok(()) };
    upstream.write_body(body).await.map_err(|error| error.into_up())?;
    upstream.finish_body().await.map_err(|error| error.into_up())?;
    Ok(())
}

/// In origin-form over HTTP/1.1, whatever the client spoke.
fn head(session: &Session, exchange: &Exchange, has_body: bool) -> Result<RequestHeader> {
    let client = session.req_header();
    let peer = arrive::peer_address(session);
    let mut fields = rewrite_request::fields(&client.headers, peer, exchange, None)?;
    fields.remove(header::CONNECTION);
    if !has_body {
        rewrite_request::announce_empty_body(&client.method, &mut fields);
    }
    let mut parts: Parts = Request::new(()).into_parts().0;
    parts.method = client.method.clone();
    parts.version = Version::HTTP_11;
    if let Some(target) = client.uri.path_and_query() {
        parts.uri = Uri::from(target.clone());
    }
    if let Some(authority) = client.uri.authority() {
        let has_final_dot = rewrite_request::has_final_dot(authority.as_str().as_bytes(), exchange);
        let host = if has_final_dot { &exchange.client.host } else { authority.as_str() };
        let host = HeaderValue::from_str(host);
        fields.insert(header::HOST, host.or_err(ErrorType::InvalidHTTPHeader, "an authority in HTTP/2")?);
    }
    parts.headers = fields;
    Ok(RequestHeader::from(parts))
}
