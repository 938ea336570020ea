//! `upstreams:`

use std::time::Duration;

use super::Compiler;
use super::names::Names;
use crate::config::place::Place;
use crate::config::policy::{IdentityPreset, ReservedField, Server, Timeouts, Upstream};
use crate::config::raw;

/// What a message is read by.
const NEEDED: [&str; 5] = ["host", "content-length", "content-type", "transfer-encoding", "connection"];

impl Compiler<'_> {
    pub fn upstreams(&mut self, raw: raw::Table<raw::Upstream>, at: &Place<'_>) -> Names<Upstream> {
        let mut names = Names::new("upstream");
        for (name, upstream) in self.entries(raw, at) {
            let place = at.key(&name);
            let index = names.next_index();
            let upstream = upstream.and_then(|raw| self.upstream(&name, index, raw, &place));
            names.define(name, upstream);
        }
        names
    }

    fn upstream(&mut self, name: &str, index: usize, raw: raw::Upstream, at: &Place<'_>) -> Option<Upstream> {
        self.plain_text(at, name.to_owned())?;
        let timeouts = self.timeouts(raw.timeouts.unwrap_or_default(), &at.key("timeouts"));
        let Some(servers) = raw.servers else {
            self.problems.missing(at, "servers", "write `servers: [127.0.0.1:9000]`");
            return None;
        };
        let servers = self.servers(servers, &at.key("servers"))?;
        Some(Upstream {
            name: name.to_owned(),
            index,
            servers,
            timeouts,
            identity: raw.identity.map_or(IdentityPreset::Forwarded, IdentityPreset::from),
            keep_authorization: raw.keep_authorization.unwrap_or(false),
            assertion: raw.assertion.unwrap_or(false),
            reserved: self.reserved(raw.reserved.unwrap_or_default(), &at.key("reserved")),
        })
    }

    fn reserved(&mut self, raw: raw::List<String>, at: &Place<'_>) -> Vec<ReservedField> {
        let mut fields = Vec::new();
        for (index, text) in self.items(raw, at) {
            match parse_reserved(&text) {
                Ok(field) => fields.push(field),
                Err(message) => self.problems.error(&at.item(index), message),
            }
        }
        fields
    }

    fn servers(&mut self, raw: raw::List<raw::Server>, at: &Place<'_>) -> Option<Vec<Server>> {
        if raw.is_empty() {
            self.problems.error(at, "an upstream needs a server; write `[127.0.0.1:9000]`");
            return None;
        }
        let mut servers = Vec::new();
        for (index, server) in self.items(raw, at) {
            let place = at.item(index);
            let weight = self.number(&place, "weight", server.weight, 1, 1..=1000);
            let Some(address) = server.address else {
                self.problems.missing(&place, "address", "write it like `address: 127.0.0.1:9000`");
                continue;
            };
            match parse_server(&address, weight) {
                Ok(server) => servers.push(server),
                Err(message) => self.problems.error(&place, message),
            }
        }
        (!servers.is_empty()).then_some(servers)
    }

    pub fn timeouts(&mut self, raw: raw::Timeouts, at: &Place<'_>) -> Timeouts {
        let seconds = Duration::from_secs;
        Timeouts {
            connect: self.positive_duration(at, "connect", raw.connect, seconds(1)),
            read: self.positive_duration(at, "read", raw.read, seconds(30)),
            write: self.positive_duration(at, "write", raw.write, seconds(30)),
            idle: self.positive_duration(at, "idle", raw.idle, seconds(60)),
        }
    }
}

/// A name, or the beginning of names and `*`.
fn parse_reserved(text: &str) -> Result<ReservedField, String> {
    let begin = text.strip_suffix('*');
    let name = begin.unwrap_or(text);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{text:?} isn't a header name; write it like X-Employee-Id or X-Corp-*"));
    }
    let folded = folded(name);
    let is_meant =
        |needed: &str| if begin.is_some() { needed.starts_with(&folded) } else { needed == folded };
    if let Some(needed) = NEEDED.into_iter().find(|needed| is_meant(needed)) {
        return Err(format!("{text:?} would take {needed} from every request, which none can do without"));
    }
    Ok(if begin.is_some() { ReservedField::Family(folded) } else { ReservedField::Name(folded) })
}

/// As the fields of a request are compared with it: `_` and `.` are `-` to some servers.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// `host:port`, or a URL with nothing behind the host; there the port has a default.
fn parse_server(text: &str, weight: u32) -> Result<Server, String> {
    let (tls, authority, default_port) = match text.split_once("://") {
        None => (false, text, None),
        Some(("http", rest)) => (false, rest, Some(80)),
        Some(("https", rest)) => (true, rest, Some(443)),
        Some(_) => return Err("expected `host:port`, `http://host:port` or `https://host:port`".to_owned()),
    };
    let wrong = || format!("{text:?} isn't a server; write it like 127.0.0.1:9000 or https://host:443");
    if authority.contains('@') {
        return Err("a server takes no user or password".to_owned());
    }
    if authority.contains(['/', '?', '#']) {
        return Err(format!("{text:?} has a path; a server is a host and a port only"));
    }
    let (host, port) = split_port(authority).ok_or_else(wrong)?;
    let port = match (port, default_port) {
        (Some(port), _) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
        (None, Some(port)) => port,
        (None, None) => return Err(format!("{text:?} has no port; write it like {text}:9000")),
    };
    if !is_host(host) {
        return Err(wrong());
    }
    Ok(Server { host: host.to_owned(), port, tls, weight })
}

/// Host without brackets, and port if there is one.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match after {
            "" => Some((host, None)),
            _ => Some((host, Some(after.strip_prefix(':')?))),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

/// A DNS name or an address.
fn is_host(host: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    host.parse::<std::net::IpAddr>().is_ok()
        || (host.len() <= 253
            && host.chars().all(is_plain)
            && host.split('.').all(|label| !label.is_empty() && label.len() <= 63))
}

impl From<raw::Identity> for IdentityPreset {
    fn from(identity: raw::Identity) -> Self {
        match identity {
            raw::Identity::Forwarded => Self::Forwarded,
            raw::Identity::Remote => Self::Remote,
            raw::Identity::Webauth => Self::Webauth,
            raw::Identity::Consumer => Self::Consumer,
        }
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn servers_are_a_host_and_a_port() {
        let cases = [
            ("127.0.0.1:9000", ("127.0.0.1", 9000, false)),
            ("http://backend", ("backend", 80, false)),
            ("https://api.example.com", ("api.example.com", 443, true)),
            ("https://[::1]:8443", ("::1", 8443, true)),
            ("[2001:db8::1]:80", ("2001:db8::1", 80, false)),
        ];

        for (text, (host, port, tls)) in cases {
            let server = Server { host: host.to_owned(), port, tls, weight: 1 };
            assert_eq!(parse_server(text, 1), Ok(server), "{text}");
        }
    }

    #[test]
    fn reserved_fields_are_names_or_families() {
        let name = |name: &str| Ok(ReservedField::Name(name.to_owned()));
        assert_eq!(parse_reserved("X_Employee.Id"), name("x-employee-id"));
        assert_eq!(parse_reserved("X-Corp-*"), Ok(ReservedField::Family("x-corp-".to_owned())));
        for wrong in ["", "*", "a b", "a:", "x-*-y", "Host", "content_length", "c*", "Content-*"] {
            assert!(parse_reserved(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn anything_else_is_no_server() {
        for text in [
            "",
            "host",
            ":80",
            "host:",
            "host:0",
            "host:99999",
            "ftp://host:1",
            "http://a/b",
            "u:p@h:1",
            "::1:80",
            "[::1",
            "[::1]80",
            "[x]:1",
            "a b:1",
            "a..b:1",
            "host:80:90",
            "https://",
        ] {
            assert!(parse_server(text, 1).is_err(), "{text}");
        }
    }
}
