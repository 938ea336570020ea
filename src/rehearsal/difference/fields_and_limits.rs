//! What changes on a route beside who may use it: whose tokens count, which fields of clients stay here, its limits.

use std::collections::BTreeSet;

use super::Kind;
use crate::config::policy::Access;
use crate::rehearsal::shape::{LimitShape, RouteShape};

/// Whose tokens count, where one is needed.
pub fn issuer_change(before: &RouteShape, after: &RouteShape) -> Option<(Kind, String, String)> {
    if before.issuers == after.issuers || before.access == Access::Public || after.access == Access::Public {
        return None;
    }
    let within = |small: &RouteShape, large: &RouteShape| {
        small.issuers.iter().all(|(name, taken)| large.issuers.get(name) == Some(taken))
    };
    let kind = match (within(before, after), within(after, before)) {
        (true, _) => Kind::Looser,
        (_, true) => Kind::Stricter,
        _ => Kind::Different,
    };
    let words = |route: &RouteShape| {
        let names: Vec<&str> = route.issuers.keys().map(String::as_str).collect();
        format!("tokens of {}", names.join(", "))
    };
    Some((kind, words(before), words(after)))
}

/// Which fields of clients stay here, where the upstream is the same.
pub fn reserved_change(before: &RouteShape, after: &RouteShape) -> Option<(Kind, String, String)> {
    let (was, is) = (before.reserved.as_ref()?, after.reserved.as_ref()?);
    let (was, is): (BTreeSet<_>, BTreeSet<_>) = (was.iter().collect(), is.iter().collect());
    if was == is || before.upstream != after.upstream {
        return None;
    }
    let kind = match (is.is_subset(&was), was.is_subset(&is)) {
        (true, _) => Kind::Looser,
        (_, true) => Kind::Stricter,
        _ => Kind::Different,
    };
    let words = |fields: BTreeSet<&String>| match fields.is_empty() {
        true => "no further field reserved".to_owned(),
        false => {
            let names: Vec<&str> = fields.into_iter().map(String::as_str).collect();
            format!("{} reserved", names.join(", "))
        }
    };
    Some((kind, words(was), words(is)))
}

pub fn limit_change(before: &RouteShape, after: &RouteShape) -> Option<(Kind, String, String)> {
    if before.limits == after.limits {
        return None;
    }
    // Whatever still limits must limit at least as much.
    let is_stricter = before
        .limits
        .iter()
        .all(|(name, was)| after.limits.get(name).is_some_and(|is| was.allows_all_of(is)));
    let kind = if is_stricter { Kind::LimitsStricter } else { Kind::LimitsLooser };
    let words = |route: &RouteShape| {
        let limit = |(name, limit): (&String, &LimitShape)| {
            format!("{name} {}/{}ms burst {} by {}", limit.count, limit.window_ms, limit.burst, limit.by)
        };
        let limits: Vec<String> = route.limits.iter().map(limit).collect();
        if limits.is_empty() { "no limit".to_owned() } else { limits.join("; ") }
    };
    Some((kind, words(before), words(after)))
}
