//! Where a request comes from: the peer, or what a trusted proxy says of its own peer.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;

use crate::config::policy::Policy;
use crate::exchange::Client;

/// `peer` is `None` only for background requests of our own.
pub fn identify(
    peer: Option<IpAddr>,
    tls: bool,
    host: String,
    headers: &HeaderMap,
    policy: &Policy,
) -> Client {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.to_canonical());
    let scheme = if tls { "https" } else { "http" };
    if !is_trusted(policy, peer) {
        return Client { address: peer, scheme, host };
    }
    Client {
        address: farthest_trusted(headers, peer, policy),
        scheme: single(headers, "x-forwarded-proto").and_then(scheme_of).unwrap_or(scheme),
        host: single(headers, "x-forwarded-host").map_or(host, str::to_ascii_lowercase),
    }
}

/// Walks `X-Forwarded-For` from the right while the speakers are trusted. A malformed entry ends
/// the walk: whoever wrote it isn't believed.
fn farthest_trusted(headers: &HeaderMap, peer: IpAddr, policy: &Policy) -> IpAddr {
    let mut address = peer;
    let fields: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for entry in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        let Ok(said) = entry.trim().parse::<IpAddr>() else { break };
        address = said.to_canonical();
        if !is_trusted(policy, address) {
            break;
        }
    }
    address
}

pub fn is_trusted(policy: &Policy, address: IpAddr) -> bool {
    policy.trusted_proxies.iter().any(|net| net.contains(&address))
}

/// The value of a field that came exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn scheme_of(said: &str) -> Option<&'static str> {
    match said {
        "https" => Some("https"),
        "http" => Some("http"),
        _ => None,
    }
}
