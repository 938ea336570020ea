//! Things with a name that other parts of the file speak of: upstreams and limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::place::Place;
use crate::config::problem::Problems;

pub struct Names<T> {
    /// What they are called in problems: `upstream`.
    what: &'static str,
    entries: BTreeMap<String, Entry<T>>,
    /// In the order of their index.
    list: Vec<Arc<T>>,
}

struct Entry<T> {
    /// `None`: it is in the file, but wrong.
    value: Option<Arc<T>>,
    used: bool,
}

impl<T> Names<T> {
    pub fn new(what: &'static str) -> Self {
        Self { what, entries: BTreeMap::new(), list: Vec::new() }
    }

    /// The index that the next defined value must carry.
    pub fn next_index(&self) -> usize {
        self.list.len()
    }

    pub fn define(&mut self, name: String, value: Option<T>) {
        let value = value.map(Arc::new);
        self.list.extend(value.clone());
        self.entries.insert(name, Entry { value, used: false });
    }

    pub fn is_defined(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// What `name` stands for, if it is defined and right.
    pub fn take(&mut self, name: &str) -> Option<Arc<T>> {
        let entry = self.entries.get_mut(name)?;
        entry.used = true;
        entry.value.clone()
    }

    /// What `name` stands for. `None` if nothing, which has been said.
    pub fn resolve(&mut self, name: &str, at: &Place<'_>, problems: &mut Problems) -> Option<Arc<T>> {
        self.expect(name, at, problems);
        self.take(name)
    }

    /// Says so if nothing has this name; it doesn't count as used.
    pub fn expect(&self, name: &str, at: &Place<'_>, problems: &mut Problems) {
        if self.is_defined(name) {
            return;
        }
        let suggestion = problems.suggestion(name, self.entries.keys().map(String::as_str));
        let remedy = match suggestion.is_empty() {
            true => format!("; add it to `{}s:`", self.what),
            false => suggestion,
        };
        problems.error(at, format!("{name:?} isn't defined{remedy}"));
    }

    pub fn warn_unused(&self, at: &Place<'_>, problems: &mut Problems) {
        for (name, entry) in &self.entries {
            if entry.value.is_some() && !entry.used {
                problems.warning(&at.key(name), format!("nothing uses this {}", self.what));
            }
        }
    }

    pub fn into_list(self) -> Vec<Arc<T>> {
        self.list
    }
}
