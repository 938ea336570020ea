//! What can be used but probably isn't meant: routes in each other's way, and what leaves no trace in a
//! single value.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::policy::{Access, Assignment, Destination, MethodSet, Policy, Route, RouteTable};
use crate::identity::secret::is_sample;
use crate::pace;

/// Methods that may change something.
const UNSAFE: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The file's routes, each with its index there.
type Routes<'t> = Vec<(usize, &'t Arc<Route>)>;

impl Compiler<'_> {
    /// `items` says which route of the file each of the table is; `None` for the gateway's own.
    pub fn warn_of_routes(&mut self, table: &RouteTable, items: &[Option<usize>], at: &Place<'_>) {
        let routes: Routes<'_> =
            items.iter().zip(table.routes()).filter_map(|(item, route)| Some(((*item)?, route))).collect();
        self.warn_of_public_wildcards(table, items, at);
        self.warn_of_shadowed(table, &routes, at);
        self.warn_of_fall_through(&routes, at);
        self.warn_of_cached_changes(&routes, at);
    }

    /// A public wildcard makes everything public that isn't named beside it, misspellings included.
    fn warn_of_public_wildcards(&mut self, table: &RouteTable, items: &[Option<usize>], at: &Place<'_>) {
        let public = table.routes().iter().zip(items).filter_map(|(route, item)| match &route.access {
            // Whoever asks for the methods of a path learns nothing that is behind it.
            Access::Public if !takes_options_only(&route.methods) => {
                Some(((*item)?, route, pattern::wildcard_prefix(&route.path)?))
            }
            _ => None,
        });
        let mut public = public.peekable();
        if public.peek().is_none() {
            return;
        }
        let mut protected: Vec<(Option<&str>, &str)> = table
            .routes()
            .iter()
            .filter(|route| matches!(route.access, Access::Authenticated(_)))
            .filter(|route| matches!(route.destination, Destination::Upstream(_)))
            .map(|route| (route.host.as_deref(), route.path.as_str()))
            .collect();
        protected.sort_unstable();
        for (item, route, prefix) in public {
            let host = route.host.as_deref();
            let first = protected.partition_point(|entry| *entry < (host, prefix));
            let beneath = protected.get(first).filter(|entry| entry.0 == host && entry.1.starts_with(prefix));
            if let Some((_, path)) = beneath {
                let message = format!(
                    "public, with the protected {path:?} beneath it: whatever no other route names is public too"
                );
                self.problems.warning(&at.item(item).key("path"), message);
            }
        }
    }

    /// A host's own wildcard goes before every route that names no host.
    fn warn_of_shadowed(&mut self, table: &RouteTable, routes: &Routes<'_>, at: &Place<'_>) {
        let mut hosts: Vec<&str> = routes.iter().filter_map(|(_, route)| route.host.as_deref()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        if hosts.is_empty() {
            return;
        }
        for (item, route) in routes.iter().filter(|(_, route)| route.host.is_none()) {
            let (path, method) = (pattern::sample(&route.path), first_method(&route.methods));
            let shadow = hosts.iter().find_map(|host| match table.assign(host, &method, &path) {
                Assignment::Route(other, _) if other.index != route.index && other.path != route.path => {
                    Some((*host, Some(other)))
                }
                Assignment::WrongMethod(_) => Some((*host, None)),
                _ => None,
            });
            if let Some((host, other)) = shadow {
                let who = other.map_or("a route".to_owned(), |other| format!("{:?}", other.path));
                let message = format!(
                    "shadowed on the host {host}: {who} of that host goes before every route without one; repeat this route with `host: {host}` if it is meant there too"
                );
                self.problems.warning(&at.item(*item).key("path"), message);
            }
        }
    }

    /// A path whose routes take some methods only isn't looked up again under a wildcard.
    fn warn_of_fall_through(&mut self, routes: &Routes<'_>, at: &Place<'_>) {
        let mut groups: HashMap<(Option<&str>, &str), Vec<&Route>> = HashMap::new();
        for (_, route) in routes.iter().filter(|(_, route)| route.methods != MethodSet::Any) {
            groups.insert((route.host.as_deref(), &route.path), Vec::new());
        }
        if groups.is_empty() {
            return;
        }
        let mut wildcards: HashMap<(Option<&str>, &str), Vec<&Route>> = HashMap::new();
        for (_, route) in routes {
            pace::step();
            let host = route.host.as_deref();
            if let Some(prefix) = pattern::wildcard_prefix(&route.path) {
                wildcards.entry((host, prefix)).or_default().push(route);
            }
            if let Some(group) = groups.get_mut(&(host, &*route.path)) {
                group.push(route);
            }
        }
        for (item, route) in routes {
            pace::step();
            let MethodSet::Only(_) = &route.methods else { continue };
            let host = route.host.as_deref();
            let group = &groups[&(host, &*route.path)];
            if group[0].index != route.index {
                continue;
            }
            let taken = |method: &Method| group.iter().any(|other| other.methods.contains(method));
            let own = pattern::wildcard_prefix(&route.path).unwrap_or(&route.path);
            let beneath = own.char_indices().rev().filter(|(at, c)| *c == '/' && at + 1 < own.len());
            let lost = beneath.filter_map(|(at, _)| wildcards.get(&(host, &own[..=at]))).flatten().find_map(
                |wider| {
                    UNSAFE
                        .iter()
                        .chain([&Method::GET])
                        .find(|m| wider.methods.contains(m) && !taken(m))
                        .map(|m| (m, wider))
                },
            );
            if let Some((method, wider)) = lost {
                let message = format!(
                    "{method} gets method_not_allowed here and doesn't fall through to {:?}; name it in `methods`, or add a route for it",
                    wider.path
                );
                self.problems.warning(&at.item(*item).key("methods"), message);
            }
        }
    }

    fn warn_of_cached_changes(&mut self, routes: &Routes<'_>, at: &Place<'_>) {
        for (item, route) in routes.iter().filter(|(_, route)| route.cache.is_some()) {
            let Some(method) = UNSAFE.iter().find(|method| route.methods.contains(method)) else { continue };
            let drops = match route.cache.as_ref().is_some_and(|rule| rule.invalidate) {
                true => {
                    "it drops the kept answer to its own URL and caller only, while whatever else it changes is kept"
                }
                false => "it drops no kept answer, so that what it changes is kept",
            };
            let message = format!(
                "{method} passes here, too, and {drops} until `ttl` is over; write `methods: [GET]` and give the others a route of their own"
            );
            self.problems.warning(&at.item(*item).key("cache"), message);
        }
    }

    /// Of the finished policy.
    pub fn warn_of_policy(&mut self, policy: &Policy) {
        let root = Place::Root;
        if let Some(host) = plain_remote_host(&policy.tokens.issuer) {
            let message = format!(
                "browsers send the refresh cookie over HTTPS only, save to localhost; write https://{host}, and put TLS in front"
            );
            self.problems.warning(&root.key("tokens").key("issuer"), message);
        }
        if policy.auth.registration_open {
            self.warn_of_registration(policy);
        }
    }

    /// Anybody can have an account then, and choose its name.
    fn warn_of_registration(&mut self, policy: &Policy) {
        let root = Place::Root;
        let routes = policy.routes.routes().iter();
        let mut passed = routes.filter(|route| asks_for_no_more_than_a_token(route));
        if let Some(first) = passed.next() {
            let others = match passed.count() {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            let message = format!(
                "anybody can make an account here, and any account's token passes {:?}{others}; write `registration: closed`, or give these routes `access: {{ roles: [...] }}`",
                first.path
            );
            self.problems.warning(&root.key("auth").key("registration"), message);
        }
        for upstream in policy.upstreams.iter().filter(|upstream| upstream.identity.tells_name_only()) {
            let message = "registration is open, and this preset tells a backend who calls by a username that anybody chooses: whoever takes a name that the backend knows is taken for its owner; write `registration: closed`, or `identity: forwarded`, which tells the account's id";
            let place = root.key("upstreams");
            self.problems.warning(&place.key(&upstream.name).key("identity"), message);
        }
    }

    /// Of the URL of a store.
    pub fn warn_of_password(&mut self, url: &str, at: &Place<'_>) {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let Some((user_info, host)) = rest.rsplit_once('@') else { return };
        let Some((user, password)) = user_info.split_once(':') else { return };
        let is_local = is_local(host.split(['/', '?', ':']).next().unwrap_or_default());
        if !is_local && (is_sample(password.as_bytes()) || password == user || password.len() < 8) {
            let message = "the password in this URL is a sample or easily guessed; give the store a fresh one: openssl rand -hex 24";
            self.problems.warning(at, message);
        }
    }
}

/// As CORS asks for them, in a route of their own.
fn takes_options_only(methods: &MethodSet) -> bool {
    methods.contains(&Method::OPTIONS)
        && !UNSAFE.iter().chain([&Method::GET, &Method::HEAD]).any(|method| methods.contains(method))
}

/// Other issuers' accounts aren't made here.
fn asks_for_no_more_than_a_token(route: &Route) -> bool {
    let Access::Authenticated(requirement) = &route.access else { return false };
    let is_of_upstream = matches!(route.destination, Destination::Upstream(_));
    is_of_upstream && route.issuers.own && requirement.takes_any_account()
}

fn first_method(methods: &MethodSet) -> Method {
    match methods {
        MethodSet::Only(methods) if !methods.is_empty() => methods[0].clone(),
        _ => Method::GET,
    }
}

/// The host of a plain URL that isn't this machine's.
fn plain_remote_host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    };
    (!is_local(host)).then_some(authority)
}

fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1")
}
