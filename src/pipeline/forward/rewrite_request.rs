//! What the upstream sees: the client's request without anything only we may say, then our words.
//! Runs after Pingora has removed hop-by-hop fields and what `Connection` names, so that a client
//! can't have our headers removed (class 24).

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;

use super::choose_upstream::upstream;
use super::identity_headers;
use super::reserved::is_reserved;
use crate::config::policy::VaryBy;
use crate::exchange::Exchange;
use crate::pipeline::arrive;

/// Every cookie of ours has this in its name.
const OUR_COOKIES: &str = "portcullis_";

/// `client` holds the request as it came; `cached` is the rule's `vary_by` when the answer may be
/// stored.
pub fn run(
    client: &RequestHeader,
    peer: Option<IpAddr>,
    request: &mut RequestHeader,
    exchange: &Exchange,
    cached: Option<VaryBy>,
) -> pingora::Result<()> {
    let Some(upstream) = upstream(exchange) else { return Ok(()) };
    remove_reserved(request);
    if !upstream.keep_authorization || cached.is_some() {
        request.remove_header(&header::AUTHORIZATION);
    }
    rewrite_cookies(request, cached.is_some())?;
    if let Some(identity) = &exchange.identity {
        identity_headers::set(request, upstream.identity, identity, cached)?;
    }
    set_forwarded(client, peer, request, exchange)?;
    request.insert_header("X-Request-Id", exchange.request_id.as_str())?;
    set_traceparent(request, &exchange.request_id)
}

fn remove_reserved(request: &mut RequestHeader) {
    let reserved: Vec<HeaderName> =
        request.headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in reserved {
        request.remove_header(&name);
    }
}

/// One `Cookie` line (RFC 9113 §8.2.3: HTTP/2 splits it, HTTP/1.1 must not see that) without our
/// own cookies; none at all when the answer may be stored for others.
fn rewrite_cookies(request: &mut RequestHeader, cached: bool) -> pingora::Result<()> {
    if !request.headers.contains_key(header::COOKIE) {
        return Ok(());
    }
    let mut joined = Vec::new();
    for line in request.headers.get_all(header::COOKIE) {
        for cookie in line.as_bytes().split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
            if cookie.is_empty() || is_ours(cookie) {
                continue;
            }
            if !joined.is_empty() {
                joined.extend_from_slice(b"; ");
            }
            joined.extend_from_slice(cookie);
        }
    }
    request.remove_header(&header::COOKIE);
    if cached || joined.is_empty() {
        return Ok(());
    }
    match HeaderValue::from_bytes(&joined) {
        Ok(value) => request.insert_header(header::COOKIE, value),
        Err(_) => Ok(()),
    }
}

fn is_ours(cookie: &[u8]) -> bool {
    let name = cookie.split(|&byte| byte == b'=').next().unwrap_or_default();
    name.windows(OUR_COOKIES.len()).any(|part| part.eq_ignore_ascii_case(OUR_COOKIES.as_bytes()))
}

/// `X-Forwarded-*`: a trusted proxy's chain is continued, anybody else's replaced.
fn set_forwarded(
    client: &RequestHeader,
    peer: Option<IpAddr>,
    request: &mut RequestHeader,
    exchange: &Exchange,
) -> pingora::Result<()> {
    let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return Ok(()) };
    let mut chain = String::new();
    if arrive::is_trusted(&exchange.edition.policy, peer) {
        for said in client.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()) {
            chain.push_str(said);
            chain.push_str(", ");
        }
    }
    chain.push_str(&peer.to_string());
    request.insert_header("X-Forwarded-For", chain)?;
    request.insert_header("X-Forwarded-Proto", exchange.client.scheme)?;
    request.insert_header("X-Forwarded-Host", exchange.client.believed_host())
}

/// Passes a trace on, or begins one (W3C Trace Context §3.2) that isn't sampled.
fn set_traceparent(request: &mut RequestHeader, request_id: &str) -> pingora::Result<()> {
    if request.headers.contains_key("traceparent") || request_id.len() != 32 {
        return Ok(());
    }
    request.insert_header("traceparent", format!("00-{request_id}-{}-00", &request_id[16..]))
}
