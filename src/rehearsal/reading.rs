//! From an exchange that has passed the stages to its explanation.

use std::collections::BTreeMap;

use http::{HeaderMap, Method};
use pingora::http::RequestHeader;

use super::explanation::{
    CacheSeen, CallerSeen, Decision, Explanation, HeadersSeen, LimitSeen, RefusedTokenSeen, RouteSeen,
    UpstreamSeen,
};
use super::question::Asked;
use crate::config::policy::{
    Access, Destination, MethodSet, OnStoreError, Policy, Requirement, Route, VaryBy,
};
use crate::exchange::Exchange;
use crate::pipeline::cache;
use crate::pipeline::forward::rewrite_request;
use crate::rejection::Rejection;
use crate::store::Charge;

pub fn read(
    asked: &Asked,
    exchange: &Exchange,
    decision: Result<(), Rejection>,
    charges: &[Charge],
) -> Explanation {
    let request = &asked.request;
    let route = exchange.route.as_deref();
    let is_forwarded = decision.is_ok() && !exchange.is_for_auth();
    let cache = route.and_then(|_| cached(request, exchange));
    let may_be_cached = cache.as_ref().is_some_and(|cache| cache.may_answer);
    let mut notes = Vec::new();
    let headers = match is_forwarded.then(|| headers(asked, exchange, may_be_cached)) {
        Some(Ok(headers)) => Some(headers),
        Some(Err(problem)) => {
            notes.push(format!("the request can't be rewritten: {problem}"));
            None
        }
        None => None,
    };
    Explanation {
        method: request.method.to_string(),
        path: Some(exchange.path.clone()).filter(|path| !path.is_empty()),
        host: exchange.client.host.clone(),
        address: exchange.client.address_text.clone(),
        decision: read_decision(decision),
        would_deny: exchange.would_deny.map(|code| code.as_str().to_owned()),
        caller: exchange.identity.as_ref().map(|identity| CallerSeen {
            user_id: identity.user_id.to_string(),
            username: identity.username.clone(),
            roles: identity.roles.clone(),
            scopes: identity.scopes.clone(),
            mfa: identity.has_mfa(),
        }),
        refused_token: exchange.refused_token.as_ref().map(|refused| RefusedTokenSeen {
            issuer: refused.issuer.clone(),
            cause: refused.cause.as_str().to_owned(),
            detail: refused.cause.describe().to_owned(),
        }),
        route: route.map(|route| read_route(route, exchange)),
        limits: charges.iter().filter_map(|charge| limit(charge, &exchange.edition.policy)).collect(),
        cache,
        upstream: route.and_then(|route| upstream(route, exchange)),
        endpoint: exchange.auth_endpoint().map(|endpoint| endpoint.as_str().to_owned()),
        headers,
        notes,
    }
}

fn read_decision(decision: Result<(), Rejection>) -> Decision {
    match decision {
        Ok(()) => Decision { allowed: true, code: "ok".to_owned(), status: None, detail: None, allow: None },
        Err(rejection) => Decision {
            allowed: false,
            code: rejection.code.as_str().to_owned(),
            status: Some(rejection.code.status().as_u16()),
            detail: Some(rejection.detail.unwrap_or_else(|| rejection.code.detail().to_owned())),
            allow: rejection.allow,
        },
    }
}

fn read_route(route: &Route, exchange: &Exchange) -> RouteSeen {
    let passed_over = passed_over(route, exchange);
    let others = match passed_over.is_empty() {
        true => "the only one with this path",
        false => "the most specific path",
    };
    let why = match &route.host {
        Some(host) => format!("names the host {host}; {others}"),
        None => others.to_owned(),
    };
    RouteSeen {
        name: route.name.clone(),
        host: route.host.clone(),
        path: route.path.clone(),
        methods: methods(&route.methods),
        parameters: exchange
            .params
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        access: describe(&route.access),
        why,
        passed_over,
    }
}

fn methods(methods: &MethodSet) -> Option<Vec<String>> {
    match methods {
        MethodSet::Any => None,
        MethodSet::Only(methods) => Some(methods.iter().map(Method::to_string).collect()),
    }
}

/// Routes that would take this path if the chosen one weren't there.
fn passed_over(chosen: &Route, exchange: &Exchange) -> Vec<String> {
    let policy = &exchange.edition.policy;
    let reaches = |route: &&std::sync::Arc<Route>| {
        let host = exchange.client.host.rsplit_once(':').map_or(&*exchange.client.host, |(host, _)| host);
        route.index != chosen.index
            && route.path != chosen.path
            && route.host.as_deref().is_none_or(|own| own == host)
            && matches_alone(&route.path, &exchange.path)
    };
    policy.routes.routes().iter().filter(reaches).map(|route| route.name.clone()).collect()
}

fn matches_alone(pattern: &str, path: &str) -> bool {
    let mut router = matchit::Router::new();
    router.insert(pattern, ()).is_ok() && router.at(path).is_ok()
}

/// The rule in one line.
pub fn describe(access: &Access) -> String {
    match access {
        Access::Public => "public".to_owned(),
        Access::Optional => "optional: a token isn't needed, but must be good".to_owned(),
        Access::Authenticated(requirement) => describe_requirement(requirement),
    }
}

fn describe_requirement(requirement: &Requirement) -> String {
    let mut parts = vec!["a good token".to_owned()];
    let mut list = |words: &str, names: &[String]| {
        if !names.is_empty() {
            parts.push(format!("{words} {}", names.join(", ")));
        }
    };
    list("one of the roles", &requirement.roles);
    list("all of the roles", &requirement.all_roles);
    list("all of the scopes", &requirement.scopes);
    if let Some(owner) = &requirement.owner {
        let mut part = format!("the user id that stands in {{{}}}", owner.parameter);
        if !owner.or_roles.is_empty() {
            part.push_str(&format!(" or one of the roles {}", owner.or_roles.join(", ")));
        }
        parts.push(part);
    }
    if requirement.mfa {
        parts.push("a second factor".to_owned());
    } else if !requirement.mfa_roles.is_empty() {
        parts.push(format!("a second factor with one of the roles {}", requirement.mfa_roles.join(", ")));
    }
    let rule = parts.join(", ");
    if requirement.observe { format!("observed only: {rule}") } else { rule }
}

fn limit(charge: &Charge, policy: &Policy) -> Option<LimitSeen> {
    // Keys begin with the limit's name, which holds no colon.
    let name = charge.key.split(':').next()?;
    let limit = policy.limits.iter().find(|limit| limit.name == name)?;
    let window = charge.quota.window;
    let window = match window.subsec_millis() {
        0 => format!("{}s", window.as_secs()),
        _ => format!("{}ms", window.as_millis()),
    };
    Some(LimitSeen {
        name: name.to_owned(),
        counter: charge.key.clone(),
        rate: format!("{}/{window}", charge.quota.count),
        burst: charge.quota.burst,
        on_store_error: match limit.on_store_error {
            OnStoreError::Local => "local",
            OnStoreError::Allow => "allow",
            OnStoreError::Deny => "deny",
        }
        .to_owned(),
        observe: limit.observe,
    })
}

fn cached(request: &RequestHeader, exchange: &Exchange) -> Option<CacheSeen> {
    let rule = exchange.cache_rule()?;
    let may_answer = cache::enable::may_answer(request);
    let key = cache::key::run(request, exchange).filter(|_| may_answer);
    Some(CacheSeen {
        may_answer,
        why: match may_answer {
            true => "the route has a cache",
            false => "only GET and HEAD without a body are cached",
        }
        .to_owned(),
        vary_by: match rule.vary_by {
            VaryBy::User => "user",
            VaryBy::Role => "set of roles",
            VaryBy::Shared => "everybody who may use the route",
        }
        .to_owned(),
        ttl_seconds: rule.ttl.as_secs(),
        key: key.map(|key| hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key).as_ref())),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn upstream(route: &Route, exchange: &Exchange) -> Option<UpstreamSeen> {
    let Destination::Upstream(upstream) = &route.destination else { return None };
    let balancer = exchange.edition.balancers.get(upstream.index);
    let choice = match balancer.map(|balancer| balancer.target_count()) {
        None => "by weight, in turn".to_owned(),
        Some(0) => "none of its names resolves".to_owned(),
        Some(count) => format!("by weight, in turn; {count} addresses known"),
    };
    let server = |server: &crate::config::policy::Server| {
        let scheme = if server.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", server.host, server.port)
    };
    let servers = upstream.servers.iter().map(server).collect();
    Some(UpstreamSeen { name: upstream.name.clone(), servers, choice })
}

fn headers(asked: &Asked, exchange: &Exchange, may_be_cached: bool) -> Result<HeadersSeen, String> {
    let mut request = asked.request.clone();
    let rule = exchange.cache_rule().filter(|_| may_be_cached);
    rewrite_request::run(&mut request, true, Some(asked.address), exchange, rule)
        .map_err(|error| error.to_string())?;
    let (before, after): (&HeaderMap, &HeaderMap) = (&asked.request.headers, &request.headers);
    let values = |map: &HeaderMap, name: &http::HeaderName| -> Vec<Vec<u8>> {
        map.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    };
    let mut removed: Vec<String> = before
        .keys()
        .filter(|name| values(before, name) != values(after, name))
        .map(|name| name.to_string())
        .collect();
    removed.sort_unstable();
    let added: BTreeMap<String, String> = after
        .iter()
        .filter(|(name, _)| values(before, name) != values(after, name))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Ok(HeadersSeen { removed, added })
}
