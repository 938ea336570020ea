//! Whether users of other issuers could be taken for somebody else by upstreams that are told names only.

use std::collections::{BTreeMap, BTreeSet};

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{Access, Destination, Issuer, Policy, Tenants};

/// Whose names an upstream is told.
#[derive(Default)]
struct Namespaces {
    own: bool,
    /// By `Issuer::index`.
    foreign: BTreeSet<usize>,
}

impl Compiler<'_> {
    /// Of the finished policy.
    pub fn check_foreign_names(&mut self, policy: &Policy) {
        for (upstream, told) in told_names(policy) {
            let issuers: Vec<&Issuer> = told
                .foreign
                .iter()
                .filter_map(|index| policy.issuers.get(*index))
                .map(AsRef::as_ref)
                .collect();
            for issuer in &issuers {
                if let Some(problem) = ambiguous(issuer, &issuers, told.own, &upstream) {
                    let root = Place::Root;
                    self.problems.error(&root.key("issuers").key(&issuer.name), problem);
                }
            }
        }
    }
}

/// By the name of each upstream that goes by names.
fn told_names(policy: &Policy) -> BTreeMap<String, Namespaces> {
    let mut told: BTreeMap<String, Namespaces> = BTreeMap::new();
    for route in policy.routes.routes() {
        let Destination::Upstream(upstream) = &route.destination else { continue };
        if upstream.identity.tells_name_only() && route.access != Access::Public {
            let namespaces = told.entry(upstream.name.clone()).or_default();
            namespaces.own |= route.issuers.own;
            namespaces.foreign.extend(&route.issuers.foreign);
        }
    }
    told
}

fn has_many(tenants: &Tenants) -> bool {
    match tenants {
        Tenants::Any => true,
        Tenants::Only(tenants) => tenants.len() > 1,
    }
}

fn ambiguous(issuer: &Issuer, others: &[&Issuer], beside_own: bool, upstream: &str) -> Option<String> {
    let others = others.iter().filter(|other| other.index != issuer.index);
    let Some(prefix) = &issuer.username_prefix else {
        return Some(format!(
            "`username_prefix` is missing: the upstream {upstream:?} is told names only (`identity`), so that a user there could pass for an account of that name; write one such as \"{}:\", or \"\" where nobody else's users reach it",
            issuer.name
        ));
    };
    if prefix.is_empty() && (beside_own || others.clone().next().is_some()) {
        return Some(format!(
            "an empty `username_prefix` is for upstreams that only this issuer's users reach; {upstream:?} has others, and is told names only (`identity`)"
        ));
    }
    if issuer.tenants.as_ref().is_some_and(has_many) {
        return Some(format!(
            "users of different tenants may have the same name, and the upstream {upstream:?} is told names only (`identity`); let it go by ids (`identity: forwarded`), or name one tenant"
        ));
    }
    let alike = others.filter_map(|other| other.username_prefix.as_ref().map(|own| (&other.name, own)));
    let mut alike = alike.filter(|(_, own)| own.starts_with(prefix.as_str()));
    alike.next().map(|(other, _)| {
        format!(
            "its `username_prefix` begins that of issuers.{other}, and the upstream {upstream:?} is told names only (`identity`); write another"
        )
    })
}
