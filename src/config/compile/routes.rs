//! `routes:` and `defaults:`.

mod auth_wing;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::auth::CompiledAuth;
use super::names::Names;
use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::policy::{
    AcceptedIssuers, Access, Admin, Destination, Issuer, Limit, LimitBy, MethodSet, Route, RouteConflict,
    RouteTable, RouteTableBuilder, Upstream,
};
use crate::config::raw;
use crate::config::unchanged_routes::KnownRoute;
use crate::pace;

const DEFAULT_MAX_BODY: u64 = 10 << 20;
const LARGEST_MAX_BODY: u64 = 1 << 40;
/// What a route may name. TRACE and CONNECT are never forwarded.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// What routes speak of.
pub struct Surrounds<'p> {
    pub admin: &'p Admin,
    pub auth: &'p CompiledAuth,
    pub upstreams: &'p mut Names<Upstream>,
    pub limits: &'p mut Names<Limit>,
    pub issuers: &'p mut Names<Issuer>,
    pub defaults: Defaults,
}

/// What holds for routes that say nothing.
pub struct Defaults {
    limits: Vec<Arc<Limit>>,
    issuers: AcceptedIssuers,
}

/// The table as it grows, and which route of the file each of its routes is.
#[derive(Default)]
struct Growing {
    table: RouteTableBuilder,
    /// By index in the table; `None` for the auth wing's.
    items: Vec<Option<usize>>,
    names: HashMap<String, usize>,
}

impl Compiler<'_> {
    pub fn defaults(
        &mut self,
        raw: raw::Defaults,
        limits: &mut Names<Limit>,
        issuers: &mut Names<Issuer>,
    ) -> Defaults {
        let root = Place::Root;
        let at = root.key("defaults");
        Defaults {
            limits: self.named_limits(raw.limits.unwrap_or_default(), limits, &at.key("limits")),
            issuers: self.accepted_issuers(raw.issuers, issuers, &at.key("issuers")).unwrap_or_default(),
        }
    }

    pub fn routes(&mut self, read: &raw::List<Arc<KnownRoute>>, mut surrounds: Surrounds<'_>) -> RouteTable {
        let root = Place::Root;
        let at = root.key("routes");
        let table = RouteTableBuilder::for_routes(read.len());
        let mut growing = Growing { table, ..Growing::default() };
        self.auth_routes(surrounds.auth, &mut growing);
        for (index, route) in read.iter().enumerate() {
            pace::step();
            let place = at.item(index);
            let Some(route) = self.item(route.as_ref(), &place) else { continue };
            if let Some(route) = self.route(route.raw.clone(), &mut surrounds, &mut growing, index, &place) {
                self.add_route(route, &mut growing, index, &place);
            }
        }
        let table = growing.table.build();
        self.warn_of_routes(&table, &growing.items, &at);
        table
    }

    fn route(
        &mut self,
        raw: raw::Route,
        surrounds: &mut Surrounds<'_>,
        growing: &mut Growing,
        item: usize,
        at: &Place<'_>,
    ) -> Option<Route> {
        let upstream = self.route_upstream(raw.upstream, surrounds.upstreams, at);
        let upstream = upstream.unwrap_or_else(|| Arc::new(self.no_upstream()));
        let host = raw.host.and_then(|host| match pattern::host(&host) {
            Ok(host) => Some(host),
            Err(message) => {
                self.problems.error(&at.key("host"), message);
                None
            }
        });
        let parameters = self.route_path(raw.path.as_deref(), &surrounds.auth.policy.prefix, at);
        let parameters = parameters.as_deref();
        let methods = self.methods(raw.methods, &at.key("methods"));
        let mut access = self.access(raw.access, parameters, &at.key("access"));
        if let Access::Authenticated(requirement) = &mut access {
            requirement.mfa_roles.clone_from(&surrounds.auth.policy.mfa.required_roles);
        }
        self.warn_of_operator_role(&access, &surrounds.admin.roles, &at.key("access"));
        let issuers = self.accepted_issuers(raw.issuers, surrounds.issuers, &at.key("issuers"));
        let limits = self.route_limits(raw.limits, surrounds, parameters, at);
        let cache = raw.cache.map(|cache| self.cache(cache, &methods, &access, &at.key("cache")));
        let websocket = raw.websocket.unwrap_or(false);
        if websocket && cache.is_some() {
            self.problems.error(&at.key("websocket"), "a websocket can't be cached; remove one of the two");
        }
        let max_body = self.size(at, "max_body", raw.max_body, DEFAULT_MAX_BODY, 0..=LARGEST_MAX_BODY);
        let name = self.route_name(raw.name, growing, item, at);
        parameters?;
        let path = raw.path?;
        Some(Route {
            name: name.unwrap_or_else(|| default_name(host.as_deref(), &path, &methods)),
            index: growing.table.next_index(),
            host,
            path,
            methods,
            destination: Destination::Upstream(upstream),
            access,
            issuers: issuers.unwrap_or_else(|| surrounds.defaults.issuers.clone()),
            limits,
            cache: cache.flatten(),
            websocket,
            max_body,
            translation: None,
            waives_reauthentication: false,
        })
    }

    fn route_upstream(
        &mut self,
        name: Option<String>,
        upstreams: &mut Names<Upstream>,
        at: &Place<'_>,
    ) -> Option<Arc<Upstream>> {
        match name {
            Some(name) => upstreams.resolve(&name, &at.key("upstream"), &mut self.problems),
            None => {
                self.problems.missing(at, "upstream", "name one of `upstreams:`");
                None
            }
        }
    }

    /// In place of an upstream that is wrong, which has been said: the route's path may be, too.
    fn no_upstream(&mut self) -> Upstream {
        Upstream {
            name: String::new(),
            index: 0,
            servers: Vec::new(),
            timeouts: self.timeouts(raw::Timeouts::default(), &Place::Root),
            identity: raw::Identity::Forwarded.into(),
            keep_authorization: false,
            assertion: false,
            reserved: Vec::new(),
        }
    }

    /// The path's parameters; `None` if it is missing or wrong, which has been said.
    fn route_path<'p>(
        &mut self,
        path: Option<&'p str>,
        auth_prefix: &str,
        at: &Place<'_>,
    ) -> Option<Vec<&'p str>> {
        let Some(path) = path else {
            self.problems.missing(at, "path", "write it like `path: \"/users/{id}\"`");
            return None;
        };
        let problem = match pattern::parameters(path) {
            Ok(_) if pattern::is_within(path, auth_prefix) => {
                format!("{auth_prefix} belongs to the gateway; move `auth.prefix` or this route")
            }
            Ok(parameters) => return Some(parameters),
            Err(message) => message,
        };
        self.problems.error(&at.key("path"), problem);
        None
    }

    pub fn methods(&mut self, raw: Option<raw::List<String>>, at: &Place<'_>) -> MethodSet {
        let Some(raw) = raw else {
            return MethodSet::Any;
        };
        if raw.is_empty() {
            self.problems.error(at, "an empty list lets no request in; remove the key to allow all methods");
        }
        let mut methods: Vec<Method> = Vec::new();
        for (index, name) in self.items(raw, at) {
            let place = at.item(index);
            match METHODS.iter().find(|method| method.as_str() == name) {
                Some(method) if methods.contains(method) => {
                    self.problems.error(&place, format!("{name} stands here twice"));
                }
                Some(method) => methods.push(method.clone()),
                None => {
                    let upper = name.to_ascii_uppercase();
                    let suggestion = self.problems.suggestion(&upper, METHODS.iter().map(Method::as_str));
                    self.problems.error(&place, format!("{name:?} isn't a method here{suggestion}"));
                }
            }
        }
        MethodSet::Only(methods)
    }

    fn route_limits(
        &mut self,
        raw: Option<raw::List<String>>,
        surrounds: &mut Surrounds<'_>,
        parameters: Option<&[&str]>,
        at: &Place<'_>,
    ) -> Vec<Arc<Limit>> {
        let is_default = raw.is_none();
        let limits = match raw {
            Some(raw) => self.named_limits(raw, surrounds.limits, &at.key("limits")),
            None => surrounds.defaults.limits.clone(),
        };
        let Some(parameters) = parameters else {
            return limits;
        };
        for limit in &limits {
            let LimitBy::Parameter(parameter) = &limit.by else {
                continue;
            };
            if !parameters.contains(&parameter.as_str()) {
                let origin = if is_default { " (from `defaults.limits`)" } else { "" };
                let message = format!(
                    "{:?}{origin} counts by {{{parameter}}}, which the path doesn't have; name other limits",
                    limit.name
                );
                self.problems.error(&at.key("limits"), message);
            }
        }
        limits
    }

    fn route_name(
        &mut self,
        name: Option<String>,
        growing: &mut Growing,
        item: usize,
        at: &Place<'_>,
    ) -> Option<String> {
        let place = at.key("name");
        let name = self.plain_text(&place, name?)?;
        if name.starts_with("auth:") {
            self.problems.error(&place, "names with `auth:` belong to the gateway's own routes");
        }
        if let Some(other) = growing.names.insert(name.clone(), item) {
            let other = self.route_for_people(other);
            self.problems.error(&place, format!("{name:?} is the name of {other}; each needs its own"));
        }
        Some(name)
    }

    fn add_route(&mut self, route: Route, growing: &mut Growing, item: usize, at: &Place<'_>) {
        let path = route.path.clone();
        let message = match growing.table.add(route) {
            Ok(()) => return growing.items.push(Some(item)),
            Err(RouteConflict::Pattern(message)) => message,
            Err(RouteConflict::Duplicate(other)) => match growing.items.get(other).copied().flatten() {
                Some(other) => format!(
                    "{} takes the same requests as {path:?}; change a path, or give each its methods",
                    self.route_for_people(other)
                ),
                None => format!("{path:?} is answered by the gateway itself (`auth:`)"),
            },
        };
        self.problems.error(&at.key("path"), message);
    }

    fn route_for_people(&self, item: usize) -> String {
        self.document.describe(&Place::Root.key("routes").item(item).path())
    }
}

/// `GET,POST api.example.com/users/{id}`
fn default_name(host: Option<&str>, path: &str, methods: &MethodSet) -> String {
    let target = format!("{}{path}", host.unwrap_or_default());
    match methods {
        MethodSet::Any => target,
        MethodSet::Only(methods) => {
            let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
            format!("{} {target}", methods.join(","))
        }
    }
}
