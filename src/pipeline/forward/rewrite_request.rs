//! What the upstream sees: the client's request without anything only we may say, then our words.
//! Runs after Pingora has removed hop-by-hop fields and what `Connection` names, so that a client
//! can't have our headers removed (class 24).

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};

use super::choose_upstream::upstream;
use super::identity_headers;
use super::reserved::is_reserved;
use crate::answer::value;
use crate::config::policy::{CacheRule, QueryKey, Upstream, VaryBy};
use crate::exchange::Exchange;
use crate::pipeline::arrive;
use crate::pipeline::cache::key::selected_query;

/// Every cookie of ours has this in its name.
const OUR_COOKIES: &str = "portcullis_";
/// Room for all that is added, so that the map grows once.
const ADDED: usize = 10;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// `client` holds the request as it came; `cached` is the route's rule when the answer may be
/// stored.
///
/// The upstream gets header names in lower case, as over HTTP/2: keeping each client's own
/// spelling would mean a second map per request.
pub fn run(
    client: &RequestHeader,
    peer: Option<IpAddr>,
    request: &mut RequestHeader,
    exchange: &Exchange,
    cached: Option<&CacheRule>,
) -> Result<()> {
    let Some(upstream) = upstream(exchange) else {
        return Error::e_explain(ErrorType::InternalError, "only routes with an upstream are forwarded");
    };
    let ends_with_head = request.send_end_stream().unwrap_or(true);
    let placeholder = Request::new(()).into_parts().0;
    let mut parts = Parts::from(std::mem::replace(request, RequestHeader::from(placeholder)));
    parts.headers.try_reserve(ADDED).or_err(ErrorType::InvalidHTTPHeader, "too many header fields")?;
    rewrite(&mut parts.headers, client, peer, exchange, (upstream, cached.map(|rule| rule.vary_by)))?;
    *request = RequestHeader::from(parts);
    request.set_send_end_stream(ends_with_head);
    cached.map_or(Ok(()), |rule| remove_unkeyed_query(request, &rule.query))
}

/// A parameter that doesn't tell stored answers apart mustn't shape one (class 79).
fn remove_unkeyed_query(request: &mut RequestHeader, keyed: &QueryKey) -> Result<()> {
    let (QueryKey::Only(_), Some(query)) = (keyed, request.uri.query()) else { return Ok(()) };
    let kept = selected_query(query, keyed).join("&");
    let path = request.uri.path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") };
    request.set_raw_path(target.as_bytes())
}

fn rewrite(
    headers: &mut HeaderMap,
    client: &RequestHeader,
    peer: Option<IpAddr>,
    exchange: &Exchange,
    (upstream, cached): (&Upstream, Option<VaryBy>),
) -> Result<()> {
    remove_reserved(headers);
    if !upstream.keep_authorization || cached.is_some() {
        headers.remove(header::AUTHORIZATION);
    }
    rewrite_cookies(headers, cached.is_some());
    if let Some(identity) = &exchange.identity {
        identity_headers::set(headers, upstream.identity, identity, cached)?;
    }
    set_forwarded(headers, client, peer, exchange)?;
    headers.insert(X_REQUEST_ID, value(exchange.request_id.as_str())?);
    // Passes a trace on, or begins one.
    if !headers.contains_key(TRACEPARENT) {
        headers.insert(TRACEPARENT, value(exchange.request_id.traceparent())?);
    }
    Ok(())
}

fn remove_reserved(headers: &mut HeaderMap) {
    let reserved: Vec<HeaderName> =
        headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// One `Cookie` line (RFC 9113 §8.2.3: HTTP/2 splits it, HTTP/1.1 must not see that) without our
/// own cookies; none at all when the answer may be stored for others.
fn rewrite_cookies(headers: &mut HeaderMap, cached: bool) {
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let mut joined = Vec::new();
    for line in headers.get_all(header::COOKIE) {
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
    headers.remove(header::COOKIE);
    if !cached
        && !joined.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&joined)
    {
        headers.insert(header::COOKIE, value);
    }
}

fn is_ours(cookie: &[u8]) -> bool {
    let name = cookie.split(|&byte| byte == b'=').next().unwrap_or_default();
    name.windows(OUR_COOKIES.len()).any(|part| part.eq_ignore_ascii_case(OUR_COOKIES.as_bytes()))
}

/// `X-Forwarded-*`: a trusted proxy's chain is continued, anybody else's replaced. Background
/// requests have no peer and say nothing.
fn set_forwarded(
    headers: &mut HeaderMap,
    client: &RequestHeader,
    peer: Option<IpAddr>,
    exchange: &Exchange,
) -> Result<()> {
    let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return Ok(()) };
    let chain = if arrive::is_trusted(&exchange.edition.policy, peer) {
        let said = client.headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        value(said.chain([peer.to_string().as_str()]).collect::<Vec<_>>().join(", "))?
    } else {
        value(&exchange.client.address_text)?
    };
    headers.insert(X_FORWARDED_FOR, chain);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(exchange.client.scheme));
    headers.insert(X_FORWARDED_HOST, value(exchange.client.believed_host())?);
    Ok(())
}
