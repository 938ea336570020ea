//! The key of a stored answer: every part of the request that may change the answer, each with
//! its length before it, so that no two different requests share one (classes 75, 76).

use http::HeaderMap;
use pingora::http::RequestHeader;
use uuid::Uuid;

use crate::config::policy::{CacheRule, QueryKey, VaryBy};
use crate::exchange::{Client, Exchange};
use crate::identity::Identity;

/// Changes whenever the parts or their order do, so that old entries are not found.
const VERSION: &str = "1";

/// `None` for a route without a cache rule.
pub fn run(request: &RequestHeader, exchange: &Exchange) -> Option<Vec<u8>> {
    let route = exchange.route.as_ref()?;
    let rule = route.cache.as_ref()?;
    let asked = Asked {
        request,
        client: &exchange.client,
        route: &route.name,
        path: &exchange.path,
        identity: exchange.identity.as_deref(),
    };
    Some(asked.key(rule))
}

/// All that a key may depend on beside the rule.
struct Asked<'a> {
    request: &'a RequestHeader,
    client: &'a Client,
    route: &'a str,
    path: &'a str,
    identity: Option<&'a Identity>,
}

impl Asked<'_> {
    fn key(&self, rule: &CacheRule) -> Vec<u8> {
        let mut key = Vec::with_capacity(256);
        part(&mut key, VERSION);
        part(&mut key, self.client.scheme);
        part(&mut key, &self.client.host);
        // The upstream is told, so it may answer by it.
        part(&mut key, self.client.believed_host());
        part(&mut key, self.route);
        // GET and HEAD share an answer.
        part(&mut key, "GET");
        part(&mut key, self.path);
        list(&mut key, &selected_query(self.request.uri.query().unwrap_or(""), &rule.query));
        list(&mut key, &header_values(&self.request.headers, rule));
        put_identity(&mut key, self.identity, rule.vary_by);
        key
    }
}

/// The query's parameters that count, sorted by name: their order doesn't matter, but that of
/// several values of one name may.
pub fn selected_query<'a>(query: &'a str, rule: &QueryKey) -> Vec<&'a str> {
    let mut pairs: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(|pair| match rule {
            QueryKey::All => true,
            QueryKey::Only(names) => names.iter().any(|name| *name == name_of(pair)),
        })
        .collect();
    pairs.sort_by_key(|pair| name_of(pair));
    pairs
}

fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

fn header_values(headers: &HeaderMap, rule: &CacheRule) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for name in &rule.headers {
        let of_name: Vec<&[u8]> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
        values.push(name.as_bytes().to_vec());
        values.push(of_name.len().to_be_bytes().to_vec());
        values.extend(of_name.into_iter().map(<[u8]>::to_vec));
    }
    values
}

/// Anonymous callers of an optional route share a part that no user has.
fn put_identity(key: &mut Vec<u8>, identity: Option<&Identity>, vary_by: VaryBy) {
    match (vary_by, identity) {
        (VaryBy::Shared, _) => list(key, &["shared"]),
        (_, None) => list(key, &["anonymous"]),
        (VaryBy::User, Some(identity)) => {
            let mut digits = Uuid::encode_buffer();
            list(key, &["user", identity.user_id.hyphenated().encode_lower(&mut digits)]);
        }
        (VaryBy::Role, Some(identity)) => {
            let mut roles: Vec<&str> = identity.roles.iter().map(String::as_str).collect();
            roles.sort_unstable();
            roles.dedup();
            roles.insert(0, "roles");
            list(key, &roles);
        }
    }
}

fn part(key: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    key.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    key.extend_from_slice(bytes);
}

fn list(key: &mut Vec<u8>, parts: &[impl AsRef<[u8]>]) {
    key.extend_from_slice(&(parts.len() as u64).to_be_bytes());
    for bytes in parts {
        part(key, bytes);
    }
}

#[cfg(test)]
mod tests;
