//! Role names: their form, and whether anything else speaks of them.

use std::collections::BTreeMap;

use super::Compiler;
use crate::config::place::{Path, Place};
use crate::config::problem::Problems;
use crate::config::raw;
use crate::identity::name::is_role;

/// Roles that need no second mention: the command line's examples give them.
const WELL_KNOWN: [&str; 2] = ["admin", "user"];

#[derive(Default)]
pub struct Roles {
    /// Where each was named first, and how often in all.
    mentions: BTreeMap<String, (Path, usize)>,
}

impl Roles {
    pub fn note(&mut self, role: &str, at: &Place<'_>) {
        match self.mentions.get_mut(role) {
            Some((_, times)) => *times += 1,
            None => {
                self.mentions.insert(role.to_owned(), (at.path(), 1));
            }
        }
    }

    /// A role that stands in one place only may be a misspelling of another.
    pub fn warn_lonely(&self, operators: &[String], problems: &mut Problems) {
        for (role, (path, times)) in &self.mentions {
            if *times > 1 || WELL_KNOWN.contains(&role.as_str()) || operators.contains(role) {
                continue;
            }
            let others = self.mentions.keys().map(String::as_str).filter(|other| other != role);
            let suggestion = problems.suggestion(role, others);
            problems.warning_at(path.clone(), format!("nothing else names the role {role:?}{suggestion}"));
        }
    }
}

impl Compiler<'_> {
    /// A list of roles, which must not be empty.
    pub fn roles(&mut self, at: &Place<'_>, raw: Option<raw::List<String>>) -> Vec<String> {
        let Some(raw) = raw else {
            return Vec::new();
        };
        if raw.is_empty() {
            self.problems.error(at, "an empty list asks for nothing; name a role or remove the key");
        }
        let items = self.items(raw, at);
        items.into_iter().filter_map(|(index, role)| self.role(&at.item(index), role)).collect()
    }

    pub fn role(&mut self, at: &Place<'_>, role: String) -> Option<String> {
        let role = self.role_name(at, role)?;
        self.roles.note(&role, at);
        Some(role)
    }

    /// The same for a role that needs no second mention.
    pub fn role_name(&mut self, at: &Place<'_>, role: String) -> Option<String> {
        if is_role(&role) {
            return Some(role);
        }
        let message = format!("{role:?} isn't a role name: lower-case letters, digits, `_`, `.`, `:`, `-`");
        self.problems.error(at, message);
        None
    }
}
