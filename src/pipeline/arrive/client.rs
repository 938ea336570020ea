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
    let known = |address| Client {
        address,
        address_text: text(address),
        scheme,
        is_scheme_known: tls,
        host,
        forwarded_host: None,
    };
    if !is_trusted(policy, peer) {
        return known(peer);
    }
    let mut client = known(farthest_trusted(headers, peer, policy));
    if let Some(said) = first_said(headers, "x-forwarded-proto").and_then(scheme_of) {
        (client.scheme, client.is_scheme_known) = (said, true);
    }
    client.forwarded_host =
        single(headers, "x-forwarded-host").filter(|said| is_authority(said)).map(plain_authority);
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

/// Walks `X-Forwarded-For` from the right while the speakers are trusted. What can't be read ends the walk at the
/// last address that could: whatever stands left of it may be of a stranger's making.
fn farthest_trusted(headers: &HeaderMap, peer: IpAddr, policy: &Policy) -> IpAddr {
    let mut address = peer;
    for entry in forwarded_for(headers) {
        let Some(said) = hop(entry) else { break };
        address = said;
        if !is_trusted(policy, address) {
            break;
        }
    }
    address
}

/// The entries of all `X-Forwarded-For` fields, the last one first.
fn forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all("x-forwarded-for").iter().rev();
    fields.flat_map(|field| field.as_bytes().rsplit(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// What a trusted proxy has said of the way so far, as it is told to the upstream: up to the first entry, from the
/// right, that can't be read. An upstream mustn't find a client there that this gateway hasn't seen.
pub fn readable_hops(headers: &HeaderMap) -> Vec<&str> {
    let readable = forwarded_for(headers).take_while(|entry| hop(entry).is_some());
    let mut hops: Vec<&str> = readable.filter_map(|entry| std::str::from_utf8(entry).ok()).collect();
    hops.reverse();
    hops
}

/// An address, with or without a port (`203.0.113.7:51812`, `[2001:db8::1]:443`) and a zone (`fe80::1%eth0`).
fn hop(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?;
    let (host, port) = match entry.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match entry.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (entry, None),
        },
    };
    if port.is_some_and(|port| !is_port(port)) {
        return None;
    }
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

pub fn is_trusted(policy: &Policy, address: IpAddr) -> bool {
    policy.trusted_proxies.iter().any(|net| net.contains(&address))
}

/// The value of a field that came exactly once.
pub fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// What the first of the proxies has said, in a field that each of them may have added to.
fn first_said<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let said = headers.get(name)?.to_str().ok()?;
    Some(said.split(',').next()?.trim_ascii())
}

/// A proxy of WebSockets may say their own schemes.
fn scheme_of(said: &str) -> Option<&'static str> {
    let is = |scheme: &str| said.eq_ignore_ascii_case(scheme);
    match () {
        () if is("https") || is("wss") => Some("https"),
        () if is("http") || is("ws") => Some("http"),
        () => None,
    }
}

/// In lower case; and `localhost.` is `localhost`: the final dot only says that the name is complete (RFC 3986
/// §3.2.2). Takes a valid authority.
pub fn plain_authority(authority: &str) -> String {
    let mut authority = authority.to_ascii_lowercase();
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let end = port.unwrap_or(authority.len());
    if authority[..end].ends_with('.') {
        authority.remove(end - 1);
    }
    authority
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; no user info. A name may end with one dot.
pub fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| !is_port(port)) {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let host = host.strip_suffix('.').unwrap_or(host);
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
        for good in ["a", "a.b:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "my_host", "a.", "a.:80"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "", ":80", "a:", "a:b", "a:99999", "a..", ".", "a..:80", "a b", "u@a", "a/b", "[::1", "::1",
            "a:+80", "a..b",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
