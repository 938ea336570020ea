//! Which fields of a client's request the upstream is sent. The request that goes up, the key of its answer and
//! `Vary` all ask here: a field that isn't sent tells no answers apart, and what tells them apart is sent (class 79).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::choose_upstream::upstream;
use super::reserved::{is_reserved, is_reserved_by, is_spelling_of};
use crate::config::policy::{CacheRule, ReservedField, VaryBy};
use crate::exchange::Exchange;
use crate::identity::credentials;

/// What an upstream is sent for an answer that more than one user may get: fields that RFC 9110 and RFC 9111 define
/// for such answers, most of them with `Vary` in mind. `cache.headers` and `cache.forward` name more.
const OF_SHARED: [HeaderName; 13] = [
    header::ACCEPT,
    header::ACCEPT_CHARSET,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CACHE_CONTROL,
    header::HOST,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::ORIGIN,
    header::PRAGMA,
    header::RANGE,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
];

/// What Pingora removes before the request goes up: fields of the connection (RFC 9110 §7.6.1), and conditions and
/// ranges, which it answers itself.
const NOT_PASSED_ON: [HeaderName; 16] = [
    header::CONNECTION,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Whose value is another in each request, or names one client: an answer that varies by one of these is for no
/// other request.
pub const OF_ONE_REQUEST: [&str; 5] =
    ["x-request-id", "traceparent", "tracestate", "x-forwarded-for", "x-auth-assertion"];

/// Whether a field of a client goes to the upstream. Reserved names, cookies and credentials are left out here; those
/// that the upstream gets are set anew. The upstream says whether it keeps `Authorization`, and which names it reserves;
/// `cached` is the route's rule when the answer may be stored.
pub fn is_sent(
    name: &HeaderName,
    value: &HeaderValue,
    (keeps_authorization, reserved): (bool, &[ReservedField]),
    cached: Option<&CacheRule>,
) -> bool {
    let is_withheld = *name == header::COOKIE
        || (*name == header::AUTHORIZATION && !keeps_authorization)
        || is_reserved(name.as_str())
        || is_reserved_by(reserved, name.as_str())
        || credentials::is_api_key(name, value.as_bytes());
    !is_withheld && cached.is_none_or(|rule| may_shape_answer(name, rule))
}

/// Whether an answer that is stored by this rule may depend on the field.
fn may_shape_answer(name: &HeaderName, rule: &CacheRule) -> bool {
    let is_named = |names: &[String]| names.iter().any(|named| *named == *name.as_str());
    if is_named(&rule.headers) || is_named(&rule.forward) {
        return true;
    }
    match rule.vary_by {
        // Some servers read `X_K` as `X-K`, which is in the key.
        VaryBy::User => !rule.headers.iter().any(|keyed| is_spelling_of(name.as_str(), keyed)),
        VaryBy::Role | VaryBy::Shared => OF_SHARED.contains(name),
    }
}

/// The fields of a request to a cached route as the upstream is sent them, should its answer be stored.
#[derive(Clone, Copy)]
pub struct SentFields<'a> {
    received: &'a HeaderMap,
    rule: &'a CacheRule,
    /// By the upstream.
    reserved: &'a [ReservedField],
}

impl<'a> SentFields<'a> {
    pub fn new(received: &'a HeaderMap, rule: &'a CacheRule, reserved: &'a [ReservedField]) -> Self {
        Self { received, rule, reserved }
    }

    /// `None` for a route without a cache rule.
    pub fn of(received: &'a HeaderMap, exchange: &'a Exchange) -> Option<Self> {
        let reserved: &[ReservedField] = match upstream(exchange) {
            Some(upstream) => &upstream.reserved,
            None => &[],
        };
        Some(Self::new(received, exchange.cache_rule()?, reserved))
    }

    /// The values of one field in their order; none if it isn't sent.
    pub fn values(self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let is_gone = !self.received.contains_key(name)
            || NOT_PASSED_ON.contains(name)
            || is_nominated(self.received, name);
        let named = (!is_gone).then(|| self.received.get_all(name).iter());
        let (rule, name, of_upstream) = (self.rule, name.clone(), (false, self.reserved));
        let values = named.into_iter().flatten();
        values.filter(move |value| is_sent(&name, value, of_upstream, Some(rule))).map(HeaderValue::as_bytes)
    }
}

/// Whether `Connection` names the field, so that it ends here (RFC 9110 §7.6.1).
fn is_nominated(received: &HeaderMap, name: &HeaderName) -> bool {
    let said = received.get_all(header::CONNECTION).iter();
    let mut options = said.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::policy::QueryKey;

    fn rule(vary_by: VaryBy) -> CacheRule {
        CacheRule {
            ttl: Duration::from_secs(1),
            vary_by,
            query: QueryKey::All,
            headers: vec!["x-tenant-id".to_owned()],
            forward: vec!["x-trace".to_owned()],
            max_size: 1,
            statuses: vec![200],
            respect_origin: true,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            respect_client: false,
            hit_cost: 1000,
            invalidate: false,
        }
    }

    fn sent(fields: &[(&'static str, &'static str)], vary_by: VaryBy, name: &'static str) -> Vec<String> {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut received = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            received.append(name, value);
        }
        let rule = rule(vary_by);
        let reserved = [ReservedField::Name("x-employee".to_owned())];
        let values = SentFields::new(&received, &rule, &reserved);
        values
            .values(&HeaderName::from_static(name))
            .map(|value| String::from_utf8_lossy(value).into())
            .collect()
    }

    #[test]
    fn a_field_that_the_connection_names_is_not_sent() {
        for connection in ["x-tenant-id", "close, X-Tenant-Id", "keep-alive,x-tenant-id ,a"] {
            let fields = [("x-tenant-id", "1"), ("connection", connection)];
            assert_eq!(sent(&fields, VaryBy::Shared, "x-tenant-id"), [""; 0], "{connection}");
        }
        let fields = [("x-tenant-id", "1"), ("x-tenant-id", "2"), ("connection", "keep-alive")];
        assert_eq!(sent(&fields, VaryBy::Shared, "x-tenant-id"), ["1", "2"]);
    }

    #[test]
    fn shared_answers_are_made_of_known_and_named_fields_only() {
        for vary_by in [VaryBy::Shared, VaryBy::Role, VaryBy::User] {
            let is_own = vary_by == VaryBy::User;
            for (name, is_sent) in [
                ("accept-language", true),
                ("origin", true),
                ("x-tenant-id", true),
                ("x-trace", true),
                ("x_tenant_id", false),
                ("x-own", is_own),
                ("x-employee", false),
                ("x-api-key", is_own),
                ("cookie", false),
                ("authorization", false),
                ("x-forwarded-host", false),
                ("te", false),
                ("if-none-match", false),
            ] {
                let is_there = !sent(&[(name, "a")], vary_by, name).is_empty();
                assert_eq!(is_there, is_sent, "{name} by {vary_by:?}");
            }
        }
    }
}
