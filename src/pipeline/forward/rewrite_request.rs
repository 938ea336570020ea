//! What the upstream sees: the client's request without anything only we may say, then our words.
//! Runs after Pingora has removed hop-by-hop fields and what `Connection` names, so that a client
//! can't have our headers removed (class 24).

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};

use super::choose_upstream::upstream;
use super::identity_headers;
use super::sent_fields::is_sent;
use crate::config::policy::{CacheRule, QueryKey, Upstream, VaryBy};
use crate::edition::Secrets;
use crate::exchange::Exchange;
use crate::field_values::FieldValues;
use crate::identity::Identity;
use crate::pipeline::arrive;
use crate::pipeline::arrive::begin_trace::{self, TRACEPARENT, TRACESTATE};
use crate::pipeline::cache::key::selected_query;
use crate::telemetry::trace::OpenSpan;

/// Every cookie of ours has this in its name.
const OUR_COOKIES: &str = "portcullis_";
/// What a refresh token's cookie is called elsewhere, without `-` and `_`: by the backends' own logins before this
/// gateway, and by Flask-JWT-Extended. A browser that was signed in then still sends it.
const OTHER_REFRESH_COOKIES: [&str; 4] =
    ["refreshtoken", "refreshtokencookie", "jwtrefreshtoken", "jwtrefresh"];
/// Room for all that is added, so that the map grows once.
const ADDED: usize = 10;
/// For the values of all that is added, in bytes.
const ROOM: usize = 320;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_AUTH_ASSERTION: HeaderName = HeaderName::from_static("x-auth-assertion");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `cached` is the route's rule when the answer may be stored.
pub fn run(
    request: &mut RequestHeader,
    has_body: bool,
    peer: Option<IpAddr>,
    exchange: &Exchange,
    cached: Option<&CacheRule>,
) -> Result<()> {
    let ends_with_head = request.send_end_stream().unwrap_or(true);
    let placeholder = Request::new(()).into_parts().0;
    let mut parts = Parts::from(std::mem::replace(request, RequestHeader::from(placeholder)));
    parts.headers = fields(&parts.headers, peer, exchange, cached)?;
    if !has_body {
        announce_empty_body(&parts.method, &mut parts.headers);
    }
    *request = RequestHeader::from(parts);
    request.set_send_end_stream(ends_with_head);
    cached.map_or(Ok(()), |rule| remove_unkeyed_query(request, &rule.query))
}

/// A parameter that doesn't tell stored answers apart mustn't shape one (class 79).
fn remove_unkeyed_query(request: &mut RequestHeader, keyed: &QueryKey) -> Result<()> {
    let (QueryKey::Only(names), Some(query)) = (keyed, request.uri.query()) else { return Ok(()) };
    let kept = selected_query(query, names).join("&");
    let path = request.uri.path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") };
    request.set_raw_path(target.as_bytes())
}

/// The upstream's fields, made from what came without what concerns only the client's connection.
///
/// Names are in lower case, as over HTTP/2: keeping each client's own spelling would mean a second
/// map per request.
pub fn fields(
    received: &HeaderMap,
    peer: Option<IpAddr>,
    exchange: &Exchange,
    cached: Option<&CacheRule>,
) -> Result<HeaderMap> {
    let Some(upstream) = upstream(exchange) else {
        return Error::e_explain(ErrorType::InternalError, "only routes with an upstream are forwarded");
    };
    let keeps_authorization = upstream.keep_authorization && cached.is_none();
    let mut fields = passed_on(received, keeps_authorization, upstream, cached)?;
    let mut values = FieldValues::with_room(ROOM);
    if cached.is_some() {
        // As it is in the key.
        fields.insert(header::HOST, values.put(&exchange.client.host)?);
    } else {
        if let Some(cookies) = foreign_cookies(received) {
            fields.insert(header::COOKIE, cookies);
        }
        if fields.get(header::HOST).is_some_and(|host| has_final_dot(host.as_bytes(), exchange)) {
            fields.insert(header::HOST, values.put(&exchange.client.host)?);
        }
    }
    let vary_by = cached.map(|rule| rule.vary_by);
    if let Some(identity) = &exchange.identity {
        identity_headers::set(&mut fields, upstream.identity, identity, vary_by, &mut values)?;
        // It names one user, so that an answer for others mustn't be made of it.
        if upstream.assertion
            && matches!(vary_by, None | Some(VaryBy::User))
            && let Some(assertion) = assertion(identity, upstream, exchange)
        {
            fields.insert(X_AUTH_ASSERTION, assertion);
        }
    }
    set_forwarded(&mut fields, received, peer, exchange, &mut values)?;
    fields.insert(X_REQUEST_ID, values.put(exchange.request_id.as_str())?);
    set_trace(&mut fields, received, exchange, &mut values)?;
    Ok(fields)
}

/// Whether the host was matched without the final dot that it has here.
pub fn has_final_dot(authority: &[u8], exchange: &Exchange) -> bool {
    authority.len() > exchange.client.host.len() && !exchange.client.host.is_empty()
}

/// A request that could have a body and has none says so (RFC 9110 §8.6): HTTP/2 does it by its framing, and many
/// servers answer 411 to an HTTP/1.1 request without it.
pub fn announce_empty_body(method: &Method, fields: &mut HeaderMap) {
    let may_have_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    let is_framed =
        fields.contains_key(header::CONTENT_LENGTH) || fields.contains_key(header::TRANSFER_ENCODING);
    if may_have_body && !is_framed {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// A simulation has no key to sign one with, and says only that there would be one.
fn assertion(identity: &Arc<Identity>, upstream: &Upstream, exchange: &Exchange) -> Option<HeaderValue> {
    match &exchange.edition.secrets {
        Some(Secrets { assertions, .. }) => {
            Some(assertions.as_ref()?.of(identity, upstream, exchange.arrived_at))
        }
        None => Some(HeaderValue::from_static("<assertion>")),
    }
}

/// A valid trace goes on, with our own span in between if we record it; anything else makes place for a
/// trace that begins here (W3C Trace Context §4.3).
fn set_trace(
    fields: &mut HeaderMap,
    received: &HeaderMap,
    exchange: &Exchange,
    values: &mut FieldValues,
) -> Result<()> {
    let parent = begin_trace::parent(received);
    if parent.is_none() {
        fields.remove(TRACESTATE);
    }
    if let Some(trace) = &exchange.trace {
        let asking = exchange.upstream_span.as_ref().map_or(trace.span_id, OpenSpan::id);
        fields.insert(TRACEPARENT, values.put(trace.context(asking).to_field())?);
    } else if parent.is_none() {
        fields.insert(TRACEPARENT, values.put(exchange.request_id.traceparent())?);
    }
    Ok(())
}

/// Everything but the reserved names, cookies, our API keys and, unless it is kept, the bearer token; for an answer
/// that may be stored, what may shape it.
fn passed_on(
    received: &HeaderMap,
    keeps_authorization: bool,
    upstream: &Upstream,
    cached: Option<&CacheRule>,
) -> Result<HeaderMap> {
    let too_many = "too many header fields";
    let mut fields = HeaderMap::try_with_capacity(received.len() + ADDED)
        .or_err(ErrorType::InvalidHTTPHeader, too_many)?;
    for (name, value) in received {
        if is_sent(name, value, (keeps_authorization, &upstream.reserved), cached) {
            fields.try_append(name.clone(), value.clone()).or_err(ErrorType::InvalidHTTPHeader, too_many)?;
        }
    }
    Ok(fields)
}

/// All cookies but ours in one line (RFC 9113 §8.2.3: HTTP/2 splits it, HTTP/1.1 must not see that).
fn foreign_cookies(received: &HeaderMap) -> Option<HeaderValue> {
    let lines = received.get_all(header::COOKIE).iter();
    let cookies = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
    let mut joined = Vec::new();
    for cookie in cookies.filter(|cookie| !cookie.is_empty() && !is_ours(cookie)) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(cookie);
    }
    HeaderValue::from_bytes(&joined).ok().filter(|_| !joined.is_empty())
}

fn is_ours(cookie: &[u8]) -> bool {
    let name = cookie.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii();
    name.windows(OUR_COOKIES.len()).any(|part| part.eq_ignore_ascii_case(OUR_COOKIES.as_bytes()))
        || OTHER_REFRESH_COOKIES.iter().any(|other| is_called(name, other))
}

/// In any case, with or without `-`, `_` and a prefix that browsers know (`__Host-`, `__Secure-`).
fn is_called(name: &[u8], plain: &str) -> bool {
    let prefixes: [&[u8]; 2] = [b"__host-", b"__secure-"];
    let prefix = prefixes
        .iter()
        .find(|prefix| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix)));
    let name = prefix.and_then(|prefix| name.get(prefix.len()..)).unwrap_or(name);
    let letters = name.iter().filter(|byte| !matches!(byte, b'-' | b'_')).map(u8::to_ascii_lowercase);
    letters.eq(plain.bytes())
}

/// `X-Forwarded-*`: a trusted proxy's chain is continued, anybody else's replaced. Background
/// requests have no peer and say nothing.
fn set_forwarded(
    fields: &mut HeaderMap,
    received: &HeaderMap,
    peer: Option<IpAddr>,
    exchange: &Exchange,
    values: &mut FieldValues,
) -> Result<()> {
    let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return Ok(()) };
    let chain = if arrive::is_trusted(&exchange.edition.policy, peer) {
        let mut hops = arrive::readable_hops(received);
        let peer = peer.to_string();
        hops.push(&peer);
        values.put(hops.join(", "))?
    } else {
        values.put(&exchange.client.address_text)?
    };
    fields.insert(X_FORWARDED_FOR, chain);
    fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(exchange.client.scheme));
    fields.insert(X_FORWARDED_HOST, values.put(exchange.client.believed_host())?);
    Ok(())
}
