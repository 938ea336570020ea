//! Roles that somebody may have misspelled.

use std::collections::BTreeSet;

use crate::config::policy::{Access, Policy};
use crate::config::problem::nearest;
use crate::identity::name::DEFAULT_ROLE;

/// A role that nothing in the policy names.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown<'r> {
    pub role: &'r str,
    /// What it may have been meant to be.
    pub meant: Option<String>,
}

/// Of these roles, those that no route, limit or rule names.
pub fn unknown<'r>(policy: &Policy, roles: &'r [String]) -> Vec<Unknown<'r>> {
    let known = known(policy);
    let new = roles.iter().filter(|role| !known.contains(role.as_str()));
    new.map(|role| Unknown { role, meant: nearest(role, known.iter().copied()).map(str::to_owned) }).collect()
}

fn known(policy: &Policy) -> BTreeSet<&str> {
    let required = policy.routes.routes().iter().filter_map(|route| match &route.access {
        Access::Authenticated(requirement) => Some(requirement),
        _ => None,
    });
    let of_routes = required.flat_map(|requirement| {
        let owner = requirement.owner.iter().flat_map(|owner| &owner.or_roles);
        requirement.roles.iter().chain(&requirement.all_roles).chain(owner)
    });
    let of_limits = policy.limits.iter().flat_map(|limit| limit.roles.keys());
    let rules = policy.admin.roles.iter().chain(&policy.auth.mfa.required_roles);
    of_routes.chain(of_limits).chain(rules).map(String::as_str).chain([DEFAULT_ROLE]).collect()
}
