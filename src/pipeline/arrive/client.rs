//! Where a request comes from: the peer, or what a trusted proxy says of its own peer.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;
use pingora::proxy::Session;

use crate::config::policy::Policy;
use crate::exchange::Client;

/// Who holds the other end of the connection; `None` only for background requests of our own.
pub fn peer_address(session: &Session) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip())
}

/// Of what is no request: nobody but the peer speaks.
pub fn unknown(session: &Session, policy: &Policy) -> Client {
    identify(peer_address(session), false, String::new(), &HeaderMap::new(), policy)
}

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
    let known = |address| Client { address, address_text: text(address), scheme, host, forwarded_host: None };
    if !is_trusted(policy, peer) {
        return known(peer);
    }
    let mut client = known(farthest_trusted(headers, peer, policy));
    client.scheme = single(headers, "x-forwarded-proto").and_then(scheme_of).unwrap_or(scheme);
    client.forwarded_host =
        single(headers, "x-forwarded-host").filter(|said| is_authority(said)).map(str::to_ascii_lowercase);
    client
}

/// `IpAddr`'s own formatting costs more than the whole route look-up.
fn text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity(15);
    for octet in address.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
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

/// `host`, `host:port`, `[v6]` or `[v6]:port`; no user info, no trailing dot.
pub fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port
        .is_some_and(|port| port.parse::<u16>().is_err() || !port.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= 253
        && !host.ends_with('.')
        && !host.as_bytes().windows(2).any(|pair| pair == b"..")
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["a", "a.b:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "my_host"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "", ":80", "a:", "a:b", "a:99999", "a.", "a.:80", "a b", "u@a", "a/b", "[::1", "::1", "a:+80",
            "a..b",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
