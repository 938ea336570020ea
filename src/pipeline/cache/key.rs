//! The key of a stored answer: every part of the request that may change the answer, as the upstream is sent it, each
//! with its length before it, so that no two different requests share one (classes 75, 76, 79).

use http::{HeaderName, header};
use pingora::http::RequestHeader;
use uuid::Uuid;

use crate::config::policy::{CacheRule, QueryKey, VaryBy};
use crate::exchange::{Client, Exchange};
use crate::identity::Identity;
use crate::pipeline::forward::identity_headers::set_of_roles;
use crate::pipeline::forward::sent_fields::SentFields;

/// Changes whenever the parts or their order do, so that old entries are not found.
const VERSION: &str = "2";

/// `None` for a route without a cache rule.
pub fn run(request: &RequestHeader, exchange: &Exchange) -> Option<Vec<u8>> {
    let route = exchange.route.as_ref()?;
    let rule = route.cache.as_ref()?;
    let asked = Asked {
        request,
        client: &exchange.client,
        route: &route.name,
        identity: exchange.identity.as_deref(),
        sent: SentFields::of(&request.headers, exchange)?,
    };
    Some(asked.key(rule))
}

/// All that a key may depend on beside the rule.
struct Asked<'a> {
    request: &'a RequestHeader,
    client: &'a Client,
    route: &'a str,
    identity: Option<&'a Identity>,
    sent: SentFields<'a>,
}

impl Asked<'_> {
    fn key(&self, rule: &CacheRule) -> Vec<u8> {
        let mut key = Vec::with_capacity(384);
        part(&mut key, VERSION);
        part(&mut key, self.client.scheme);
        part(&mut key, &self.client.host);
        // The upstream is told, so it may answer by it.
        part(&mut key, self.client.believed_host());
        part(&mut key, self.route);
        // GET and HEAD share an answer.
        part(&mut key, "GET");
        // Not the decoded one: the upstream sees how it is written.
        part(&mut key, self.request.uri.path());
        put_query(&mut key, self.request.uri.query(), &rule.query);
        put_fields(&mut key, self.sent, rule);
        put_identity(&mut key, self.identity, rule.vary_by);
        key
    }
}

/// As the upstream is sent it: the whole, or the chosen parameters in their order.
fn put_query(key: &mut Vec<u8>, query: Option<&str>, rule: &QueryKey) {
    match rule {
        QueryKey::All => list(key, query.as_slice()),
        QueryKey::Only(names) => list(key, &selected_query(query.unwrap_or_default(), names)),
    }
}

/// The query's parameters that count, sorted by name, as the upstream is sent them: their order doesn't matter, but
/// that of several values of one name may.
pub fn selected_query<'a>(query: &'a str, names: &[String]) -> Vec<&'a str> {
    let mut pairs: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(|pair| names.iter().any(|name| *name == name_of(pair)))
        .collect();
    pairs.sort_by_key(|pair| name_of(pair));
    pairs
}

fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

/// Those that the rule names; and `Origin`, by which upstreams allow other sites to read an answer.
fn put_fields(key: &mut Vec<u8>, sent: SentFields<'_>, rule: &CacheRule) {
    put_field(key, sent, &header::ORIGIN);
    for name in &rule.headers {
        part(key, name);
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => put_field(key, sent, &name),
            // It can't be in a request either.
            Err(_) => part(key, 0_u64.to_be_bytes()),
        }
    }
}

fn put_field(key: &mut Vec<u8>, sent: SentFields<'_>, name: &HeaderName) {
    let at = key.len();
    key.extend_from_slice(&0_u64.to_be_bytes());
    let mut count = 0_u64;
    for value in sent.values(name) {
        part(key, value);
        count += 1;
    }
    if let Some(place) = key.get_mut(at..at + size_of::<u64>()) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}

/// All that the upstream is told of the caller, by headers or an assertion. Anonymous callers of an optional route
/// share a part that no user has.
fn put_identity(key: &mut Vec<u8>, identity: Option<&Identity>, vary_by: VaryBy) {
    match (vary_by, identity) {
        (VaryBy::Shared, _) => list(key, &["shared"]),
        (_, None) => list(key, &["anonymous"]),
        (VaryBy::User, Some(identity)) => {
            let mut digits = Uuid::encode_buffer();
            list(key, &["user", identity.user_id.hyphenated().encode_lower(&mut digits), &identity.username]);
            list(key, identity.email.as_slice());
            list(key, &identity.roles);
            list(key, &identity.scopes);
            list(key, &identity.amr);
        }
        (VaryBy::Role, Some(identity)) => {
            list(key, &["roles"]);
            list(key, &set_of_roles(identity));
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
