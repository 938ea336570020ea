//! Raw → policy: gives the file its meaning, and gathers everything that is wrong with it.

mod access;
mod admin;
mod aliases;
mod audit;
mod auth;
mod cache;
mod certificates;
mod endpoint_limits;
mod foreign_names;
mod issuers;
mod limits;
mod listen;
mod log;
mod mail;
mod names;
mod pattern;
mod quantity;
mod revocation;
mod roles;
mod routes;
mod storage;
mod tests;
mod tokens;
mod tracing;
mod upstreams;
mod warnings;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use self::roles::Roles;
use super::digest;
use super::document::Document;
use super::place::Place;
use super::policy::Policy;
use super::problem::{Problem, Problems};
use super::raw;
use super::substitute::{Surroundings, substitute};
use super::unchanged_routes::{KnownRoute, LastReading};
use crate::pace;

/// A file that can be used, and what is odd about it.
#[derive(Debug)]
pub struct Compiled {
    pub policy: Arc<Policy>,
    pub warnings: Vec<Problem>,
    /// For problems that are found later; its tree has been used up.
    pub document: Document,
    /// What needn't be read again.
    pub reading: Option<LastReading>,
}

/// All or nothing: `Err` holds every problem, with the warnings behind.
pub fn compile(mut document: Document, surroundings: &dyn Surroundings) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut tree = std::mem::take(&mut document.tree);
    substitute(&mut tree, surroundings, &mut problems);
    let items = std::mem::take(&mut document.routes);
    let list = tree.get_mut("routes").and_then(Value::as_array_mut).map(std::mem::take);
    let rest = digest::of_value(&tree);
    let gateway = raw::read(tree, &mut problems);
    let routes = read_routes(list.unwrap_or_default(), &items.known, &mut problems);
    for (path, message) in std::mem::take(&mut document.oddities) {
        problems.warning_at(path, message);
    }
    let digest = digest::of_file(&rest, routes.iter().flatten().map(|route| route.digest));
    let mut compiler = Compiler { problems, roles: Roles::default(), surroundings, document: &document };
    let policy = compiler.policy(gateway, &routes, digest);
    let (mut errors, warnings) = compiler.problems.into_lines(&document);
    match policy {
        Some(policy) if errors.is_empty() => {
            let reading = LastReading::new(document.sources[0].text.clone(), items, routes);
            Ok(Compiled { policy: Arc::new(policy), warnings, document, reading })
        }
        _ => {
            errors.extend(warnings);
            Err(errors)
        }
    }
}

/// Each with the digest of its values. Those that are known have null among the `values`.
fn read_routes(
    values: Vec<Value>,
    known: &raw::List<Arc<KnownRoute>>,
    problems: &mut Problems,
) -> raw::List<Arc<KnownRoute>> {
    let root = Place::Root;
    let list = root.key("routes");
    let read = |(index, value): (usize, Value)| {
        pace::step();
        if let Some(Some(known)) = known.get(index) {
            return Some(known.clone());
        }
        let digest = digest::of_value(&value);
        let raw = raw::read_route(value, &list.item(index), problems)?;
        Some(Arc::new(KnownRoute { raw, digest }))
    };
    values.into_iter().enumerate().map(read).collect()
}

/// Carried through all sections. Each returns `None`, or a default, where it found a problem.
struct Compiler<'s> {
    problems: Problems,
    roles: Roles,
    surroundings: &'s dyn Surroundings,
    /// Knows the files; its tree has been used up.
    document: &'s Document,
}

impl Compiler<'_> {
    fn policy(
        &mut self,
        gateway: raw::Gateway,
        routes: &raw::List<Arc<KnownRoute>>,
        digest: String,
    ) -> Option<Policy> {
        let root = Place::Root;
        self.version(gateway.version, &root.key("version"));
        self.check_trusted_by_environment();
        let storage = self.storage(gateway.storage.unwrap_or_default(), &root.key("storage"));
        let users = storage.as_ref().map(|storage| &storage.users);
        let listen = self.listen(gateway.listen.unwrap_or_default(), users, &root.key("listen"));
        let admin = self.admin(gateway.admin.unwrap_or_default(), gateway.metrics.unwrap_or_default(), &root);
        let log = self.log(gateway.log.unwrap_or_default(), &root.key("log"));
        let audit = self.audit(gateway.audit.unwrap_or_default(), &root.key("audit"));
        let tracing = self.tracing(gateway.tracing.unwrap_or_default(), &root.key("tracing"));
        let trusted_proxies = self.trusted_proxies(gateway.trusted_proxies, &root.key("trusted_proxies"));
        let trust_request_id = gateway.request_id.unwrap_or_default().trust.unwrap_or(false);
        if trust_request_id && trusted_proxies.is_empty() {
            let message = "no peer is trusted to name requests; add `trusted_proxies`";
            self.problems.warning(&root.key("request_id").key("trust"), message);
        }
        let mail = self.mail(gateway.mail.unwrap_or_default(), users, &root.key("mail"));
        let tokens = self.tokens(gateway.tokens.unwrap_or_default(), &root.key("tokens"));
        let issuers = gateway.issuers.unwrap_or_default();
        let mut issuers = self.issuers(issuers, &tokens.issuer, tokens.leeway, &root.key("issuers"));
        let revocation = self.revocation(gateway.revocation.unwrap_or_default(), &root.key("revocation"));
        let mut upstreams = self.upstreams(gateway.upstreams.unwrap_or_default(), &root.key("upstreams"));
        let mut limits = self.limits(gateway.limits.unwrap_or_default(), &root.key("limits"));
        let is_email_required = gateway.auth.as_ref().and_then(|auth| auth.require_verified_email);
        if is_email_required == Some(true) && mail.delivery.is_none() {
            let message = "nobody could ever log in: no mail is sent without `mail.smtp` or `mail.folder`";
            self.problems.error(&root.key("auth").key("require_verified_email"), message);
        }
        let auth = self.auth(gateway.auth.unwrap_or_default(), &mut limits, &root.key("auth"));
        let defaults = self.defaults(gateway.defaults.unwrap_or_default(), &mut limits, &mut issuers);
        let routes = self.routes(
            routes,
            routes::Surrounds {
                admin: &admin,
                auth: &auth,
                upstreams: &mut upstreams,
                limits: &mut limits,
                issuers: &mut issuers,
                defaults,
            },
        );
        let cache = self.cache_settings(gateway.cache.unwrap_or_default(), &root.key("cache"));
        let tests = self.tests(gateway.tests.unwrap_or_default(), &mut upstreams, &root.key("tests"));
        upstreams.warn_unused(&root.key("upstreams"), &mut self.problems);
        issuers.warn_unused(&root.key("issuers"), &mut self.problems);
        limits.warn_unused(&root.key("limits"), &mut self.problems);
        self.roles.warn_lonely(&admin.roles, &mut self.problems);
        let policy = Policy {
            digest,
            listen,
            admin,
            log,
            audit,
            tracing,
            trusted_proxies,
            trust_request_id,
            storage: storage?,
            tokens,
            issuers: issuers.into_list(),
            auth: auth.policy,
            mail,
            revocation,
            upstreams: upstreams.into_list(),
            limits: limits.into_list(),
            routes,
            fast_lane: gateway.forwarding.unwrap_or_default().fast_lane.unwrap_or(true),
            tests,
            cache,
        };
        self.warn_of_policy(&policy);
        self.warn_of_uncovered_hosts(&policy, &root.key("listen"));
        self.check_foreign_names(&policy);
        Some(policy)
    }

    fn version(&mut self, version: Option<u64>, at: &Place<'_>) {
        if version.is_some_and(|version| version != 1) {
            self.problems.error(at, "this gateway reads version 1; write `version: 1`");
        }
    }

    fn trusted_proxies(&mut self, raw: Option<raw::List<String>>, at: &Place<'_>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (index, text) in self.items(raw.unwrap_or_default(), at) {
            let place = at.item(index);
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            match network {
                Ok(network) if network.prefix_len() == 0 => self
                    .problems
                    .error(&place, "this trusts everybody to say who they are; name your proxies' networks"),
                Ok(network) => networks.push(network),
                Err(_) => self.problems.error(
                    &place,
                    format!("{text:?} isn't a network; write it like 10.0.0.0/8 or 192.0.2.7"),
                ),
            }
        }
        networks
    }

    /// The items that are there, each with its index; says which ones are empty.
    fn items<T>(&mut self, list: raw::List<T>, at: &Place<'_>) -> Vec<(usize, T)> {
        let mut items = Vec::with_capacity(list.len());
        for (index, item) in list.into_iter().enumerate() {
            items.extend(self.item(item, &at.item(index)).map(|item| (index, item)));
        }
        items
    }

    /// An item if it is there; says if it is empty.
    fn item<T>(&mut self, item: Option<T>, at: &Place<'_>) -> Option<T> {
        if item.is_none() && !self.problems.is_known(at) {
            self.problems.error(at, "this item is empty; fill it or remove it");
        }
        item
    }

    /// The entries by name; `None` for one that is empty, which has been said.
    fn entries<T>(&mut self, table: raw::Table<T>, at: &Place<'_>) -> Vec<(String, Option<T>)> {
        for (name, entry) in &table {
            let place = at.key(name);
            if entry.is_none() && !self.problems.is_known(&place) {
                self.problems.error(&place, "this entry is empty; fill it or remove it");
            }
        }
        table.into_iter().collect()
    }
}
