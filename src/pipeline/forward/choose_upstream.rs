//! Which server gets the request, and how it may be spoken to.

use std::borrow::Cow;
use std::sync::Arc;

use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use crate::balancer::Target;
use crate::config::policy::{Destination, Route, Upstream};
use crate::exchange::Exchange;
use crate::rejection::Code;

/// A server that could not be reached is replaced by another one at most this often.
const MAX_TRIES: usize = 3;

/// The next server to try and how to speak to it; `Err` when there is none.
pub fn run(exchange: &mut Exchange) -> Result<HttpPeer, Code> {
    let target = next(exchange)?;
    peer(&target, exchange)
}

/// The next server to try, noted as tried; `Err` when there is none.
pub fn next(exchange: &mut Exchange) -> Result<Arc<Target>, Code> {
    let upstream = upstream(exchange).ok_or(Code::Internal)?;
    let balancer = exchange.edition.balancers.get(upstream.index).ok_or(Code::Internal)?;
    let target = balancer.next(&exchange.tried);
    if target.is_none() {
        exchange.failure = Some(Cow::Borrowed("dns"));
    }
    let target = target.ok_or(Code::UpstreamUnreachable)?;
    if exchange.trace.is_some() {
        begin_span(exchange, &target);
    }
    exchange.tried.push(target.clone());
    Ok(target)
}

/// Of this try. The one before has failed, or there would be no other.
fn begin_span(exchange: &mut Exchange, target: &Target) {
    if let Some(mut failed) = exchange.upstream_span.take() {
        failed.fail(Code::UpstreamUnreachable.as_str());
    } else if exchange.cache_rule().is_some() {
        exchange.enter("forward");
    }
    let Some(mut span) = exchange.span("upstream") else { return };
    span.say("server.address", target.address.ip().to_string());
    span.say("server.port", target.address.port().to_string());
    span.say("portcullis.upstream", upstream(exchange).map_or("-", |upstream| &upstream.name));
    exchange.upstream_span = Some(span);
}

/// The server in Pingora's words.
pub fn peer(target: &Target, exchange: &Exchange) -> Result<HttpPeer, Code> {
    let route = exchange.route.as_ref().ok_or(Code::RouteNotFound)?;
    let Destination::Upstream(upstream) = &route.destination else { return Err(Code::Internal) };
    let server_name = if target.tls { target.host.clone() } else { String::new() };
    let mut peer = HttpPeer::new(target.address, target.tls, server_name);
    set_options(&mut peer, upstream, route);
    Ok(peer)
}

/// Whether another server may be tried after the last one could not be reached. Nothing of the
/// request was sent yet, so this holds for every method.
pub fn may_try_another(exchange: &Exchange) -> bool {
    let Some(upstream) = upstream(exchange) else { return false };
    let Some(balancer) = exchange.edition.balancers.get(upstream.index) else { return false };
    if let Some(last) = exchange.tried.last() {
        balancer.pass_over(last);
    }
    exchange.tried.len() < balancer.target_count().min(MAX_TRIES)
}

/// The upstream of the assigned route.
pub fn upstream(exchange: &Exchange) -> Option<&Upstream> {
    match &exchange.route.as_ref()?.destination {
        Destination::Upstream(upstream) => Some(upstream),
        Destination::Auth(_) => None,
    }
}

fn set_options(peer: &mut HttpPeer, upstream: &Upstream, route: &Route) {
    let timeouts = &upstream.timeouts;
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect * 2);
    peer.options.read_timeout = Some(timeouts.read);
    peer.options.write_timeout = Some(timeouts.write);
    peer.options.idle_timeout = Some(timeouts.idle);
    if !route.websocket {
        // The default lets WebSocket handshakes through; a route must ask for that (class 61).
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    }
}
