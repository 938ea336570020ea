//! What changes for whom between two policies: for every host, path and method that either names, and
//! for the paths that a pattern of one shares with a pattern of the other.

mod fields_and_limits;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::Method;
use serde::Serialize;

use self::fields_and_limits::{issuer_change, limit_change, reserved_change};
use super::shape::{AccountsShape, RouteShape, Shape};
use crate::config::policy::{Access, Assignment, Owner, Requirement, RouteTable};
use crate::pipeline::arrive::admit::METHODS;

/// More pairs than this aren't intersected; each pattern by itself still is looked at.
const MAX_PAIRS: usize = 1_000_000;
/// A host and a segment that no file names.
const OTHER_HOST: &str = "~other";
const ANY: &str = "~any";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Needs no token any more.
    Public,
    /// Was 404 or 405.
    Opened,
    Looser,
    /// Some gain access and others lose it.
    Different,
    LimitsLooser,
    Closed,
    Stricter,
    LimitsStricter,
    Moved,
}

impl Kind {
    /// Whether somebody may do more than before.
    pub fn is_looser(self) -> bool {
        self <= Self::LimitsLooser
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Opened => "opened",
            Self::Looser => "looser",
            Self::Different => "different",
            Self::LimitsLooser => "limits looser",
            Self::Closed => "closed",
            Self::Stricter => "stricter",
            Self::LimitsStricter => "limits stricter",
            Self::Moved => "moved",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    pub kind: Kind,
    /// `None`: every host that no route names.
    pub host: Option<String>,
    /// A path or a pattern, or a key of the file.
    pub path: String,
    /// None for what isn't about requests.
    pub methods: Vec<String>,
    pub before: String,
    pub after: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = match self.methods.len() {
            0 => String::new(),
            count if count == METHODS.len() => "any ".to_owned(),
            _ => self.methods.join(",") + " ",
        };
        let host = self.host.as_deref().unwrap_or_default();
        let kind = self.kind.as_str();
        write!(f, "{kind:<15} {methods}{host}{}: {} → {}", self.path, self.before, self.after)
    }
}

/// What changes of several methods have in common: kind, host, path, before and after.
type Same = (Kind, Option<String>, String, String, String);

/// All changes, the most dangerous first.
pub fn compare(old: &Shape, new: &Shape) -> Result<Vec<Change>, String> {
    let tables = (old.table()?, new.table()?);
    let mut methods_of: BTreeMap<Same, Vec<String>> = BTreeMap::new();
    for host in hosts(old, new) {
        for (pattern, sample) in samples(old, new, host) {
            for method in &METHODS {
                let name = host.unwrap_or(OTHER_HOST);
                let before = assigned(old, &tables.0, name, method, &sample);
                let after = assigned(new, &tables.1, name, method, &sample);
                for (kind, was, is) in changes(before, after) {
                    let key = (kind, host.map(str::to_owned), pattern.clone(), was, is);
                    methods_of.entry(key).or_default().push(method.to_string());
                }
            }
        }
    }
    let change =
        |((kind, host, path, before, after), methods)| Change { kind, host, path, methods, before, after };
    let mut changes: Vec<Change> = methods_of.into_iter().map(change).collect();
    changes.extend(operator_change(&old.operators, &new.operators));
    if let (Some(old), Some(new)) = (&old.accounts, &new.accounts) {
        changes.extend(account_changes(old, new));
    }
    changes.sort_by_key(|change| change.kind);
    Ok(changes)
}

/// Whose accounts operate the gateway. Nothing where one of the two doesn't tell.
fn operator_change(before: &[String], after: &[String]) -> Option<Change> {
    let (was, is): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.iter().collect());
    if was == is || was.is_empty() || is.is_empty() {
        return None;
    }
    let kind = match (was.is_subset(&is), is.is_subset(&was)) {
        (true, _) => Kind::Looser,
        (_, true) => Kind::Stricter,
        _ => Kind::Different,
    };
    let (path, methods) = ("admin.roles".to_owned(), Vec::new());
    Some(Change { kind, host: None, path, methods, before: before.join(", "), after: after.join(", ") })
}

/// Who may have an account, and where an access token alone changes one.
fn account_changes(old: &AccountsShape, new: &AccountsShape) -> Vec<Change> {
    let change = |path: &str, is_looser: bool, before: String, after: String| {
        let kind = if is_looser { Kind::Looser } else { Kind::Stricter };
        Change { kind, host: None, path: path.to_owned(), methods: Vec::new(), before, after }
    };
    let mut changes = Vec::new();
    if old.registration_open != new.registration_open {
        let word = |is_open: bool| if is_open { "open" } else { "closed" }.to_owned();
        let (before, after) = (word(old.registration_open), word(new.registration_open));
        changes.push(change("auth.registration", new.registration_open, before, after));
    }
    if old.change_needs_password != new.change_needs_password {
        let (before, after) = (old.change_needs_password.to_string(), new.change_needs_password.to_string());
        changes.push(change("auth.email.change_needs_password", old.change_needs_password, before, after));
    }
    let of = |shape: &AccountsShape| shape.waives_reauthentication.iter().cloned().collect::<BTreeSet<_>>();
    let (was, is) = (of(old), of(new));
    let word = |waives: bool| {
        if waives { "reauthentication waived" } else { "reauthentication required" }.to_owned()
    };
    for path in was.symmetric_difference(&is) {
        let waives = is.contains(path);
        changes.push(change(path, waives, word(!waives), word(waives)));
    }
    changes
}

fn hosts<'s>(old: &'s Shape, new: &'s Shape) -> BTreeSet<Option<&'s str>> {
    let named = old.routes.iter().chain(&new.routes).map(|route| route.host.as_deref());
    named.chain([None]).collect()
}

/// Patterns that can take a request for the host, each with a path that stands for it.
fn samples(old: &Shape, new: &Shape, host: Option<&str>) -> BTreeMap<String, String> {
    let of = |shape: &Shape| -> BTreeSet<String> {
        let visible =
            shape.routes.iter().filter(|route| route.host.is_none() || route.host.as_deref() == host);
        visible.map(|route| route.path.clone()).collect()
    };
    let (olds, news) = (of(old), of(new));
    let mut patterns: BTreeSet<String> = olds.union(&news).cloned().collect();
    if olds.len() * news.len() <= MAX_PAIRS {
        for one in &olds {
            patterns
                .extend(news.iter().filter(|other| *other != one).filter_map(|other| intersect(one, other)));
        }
    }
    patterns.into_iter().map(|pattern| (pattern.clone(), sample(&pattern))).collect()
}

/// The pattern of the paths that both match, if there are any.
fn intersect(one: &str, other: &str) -> Option<String> {
    let (mut ones, mut others) = (one.split('/').peekable(), other.split('/').peekable());
    let mut both: Vec<&str> = Vec::new();
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return Some(both.join("/")),
            (Some(rest), Some(segment)) if rest.starts_with("{*") => {
                return (!segment.is_empty()).then(|| join(&both, segment, others));
            }
            (Some(segment), Some(rest)) if rest.starts_with("{*") => {
                return (!segment.is_empty()).then(|| join(&both, segment, ones));
            }
            (Some(segment), Some(parameter)) if parameter.starts_with('{') && !segment.is_empty() => {
                both.push(segment)
            }
            (Some(parameter), Some(segment)) if parameter.starts_with('{') && !segment.is_empty() => {
                both.push(segment)
            }
            (Some(segment), Some(same)) if segment == same => both.push(segment),
            _ => return None,
        }
    }
}

fn join<'p>(both: &[&'p str], segment: &'p str, rest: impl Iterator<Item = &'p str>) -> String {
    both.iter().copied().chain([segment]).chain(rest).collect::<Vec<_>>().join("/")
}

fn sample(pattern: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { ANY.to_owned() } else { segment.to_owned() };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn assigned<'s>(
    shape: &'s Shape,
    table: &RouteTable,
    host: &str,
    method: &Method,
    path: &str,
) -> Option<&'s RouteShape> {
    match table.assign(host, method, path) {
        Assignment::Route(route, _) => shape.routes.get(route.index),
        Assignment::WrongMethod(_) | Assignment::NotFound => None,
    }
}

fn changes(before: Option<&RouteShape>, after: Option<&RouteShape>) -> Vec<(Kind, String, String)> {
    let refused = || "refused".to_owned();
    match (before, after) {
        (None, None) => Vec::new(),
        (None, Some(after)) => {
            let kind = if needs_no_token(&after.access) { Kind::Public } else { Kind::Opened };
            vec![(kind, refused(), super::reading::describe(&after.access))]
        }
        (Some(before), None) => vec![(Kind::Closed, super::reading::describe(&before.access), refused())],
        (Some(before), Some(after)) => {
            let mut changes = Vec::new();
            if let Some(kind) = access_change(&before.access, &after.access) {
                let words = super::reading::describe;
                changes.push((kind, words(&before.access), words(&after.access)));
            }
            changes.extend(issuer_change(before, after));
            if (&before.upstream, &before.servers) != (&after.upstream, &after.servers) {
                let words = |route: &RouteShape| format!("{} ({})", route.upstream, route.servers.join(", "));
                changes.push((Kind::Moved, words(before), words(after)));
            }
            changes.extend(reserved_change(before, after));
            changes.extend(limit_change(before, after));
            changes
        }
    }
}

fn needs_no_token(access: &Access) -> bool {
    match access {
        Access::Public | Access::Optional => true,
        Access::Authenticated(requirement) => requirement.observe,
    }
}

fn access_change(before: &Access, after: &Access) -> Option<Kind> {
    if before == after {
        return None;
    }
    if needs_no_token(after) && !needs_no_token(before) {
        return Some(Kind::Public);
    }
    Some(match (admits_all_of(after, before), admits_all_of(before, after)) {
        (true, true) => return None,
        (true, false) => Kind::Looser,
        (false, true) => Kind::Stricter,
        (false, false) => Kind::Different,
    })
}

/// Whether everybody who passes `narrow` passes `wide`, as far as the rules themselves tell.
fn admits_all_of(wide: &Access, narrow: &Access) -> bool {
    match (wide, narrow) {
        (Access::Public, _) => true,
        // With a token that isn't good, `public` admits more.
        (Access::Optional, narrow) => *narrow != Access::Public,
        (Access::Authenticated(wide), narrow) if wide.observe => !matches!(narrow, Access::Public),
        (Access::Authenticated(wide), Access::Authenticated(narrow)) => {
            !narrow.observe && implies(narrow, wide)
        }
        (Access::Authenticated(_), _) => false,
    }
}

fn implies(narrow: &Requirement, wide: &Requirement) -> bool {
    let within = |small: &[String], large: &[String]| small.iter().all(|name| large.contains(name));
    let roles = wide.roles.is_empty()
        || (!narrow.roles.is_empty() && within(&narrow.roles, &wide.roles))
        || narrow.all_roles.iter().any(|role| wide.roles.contains(role));
    let owner = match (&wide.owner, &narrow.owner) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => owner_implies(narrow, wide),
        (Some(_), None) => false,
    };
    let mfa = narrow.mfa || (!wide.mfa && within(&wide.mfa_roles, &narrow.mfa_roles));
    roles
        && mfa
        && within(&wide.all_roles, &narrow.all_roles)
        && within(&wide.scopes, &narrow.scopes)
        && owner
}

fn owner_implies(narrow: &Owner, wide: &Owner) -> bool {
    narrow.parameter == wide.parameter && narrow.or_roles.iter().all(|role| wide.or_roles.contains(role))
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn patterns_are_intersected_segment_by_segment() {
        let cases = [
            ("/a/{x}", "/{y}/b", Some("/a/b")),
            ("/a/{*rest}", "/a/b/{id}", Some("/a/b/{id}")),
            ("/{*rest}", "/a/{*rest}", Some("/a/{*rest}")),
            ("/a", "/b", None),
            ("/a/{*rest}", "/a", None),
            ("/a/{*rest}", "/a/", None),
            ("/{x}", "/", None),
        ];
        for (one, other, expected) in cases {
            assert_eq!(intersect(one, other).as_deref(), expected, "{one} {other}");
            assert_eq!(intersect(other, one).as_deref(), expected, "{other} {one}");
        }
    }
}
