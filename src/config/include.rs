//! `include:`: files that hold a part of the configuration each, put together into one document.
//!
//! They say what concerns some routes: [`LISTS`] and [`TABLES`]. What concerns the gateway as a whole stays
//! in one file, and included files include no others, so that everybody sees at a glance what is read.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::document::{Document, LISTS, Source, TABLES};
use super::marks::MAX_VALUES;
use super::place::{Path, Step};
use super::problem::{Problem, Problems, Severity, nearest};
use super::substitute::{Surroundings, substitute};

pub const MAX_FILES: usize = 1000;
/// Of all included files together.
const MAX_BYTES: usize = 16 << 20;

/// [`LISTS`] and [`TABLES`], for people.
const SECTIONS: &str = "`upstreams`, `limits`, `routes` and `tests`";

/// `main` with everything that it includes. `Err` holds what is wrong with the files as such.
pub fn follow(main: Document, surroundings: &dyn Surroundings) -> Result<Document, Vec<Problem>> {
    let patterns = patterns(&main, surroundings);
    let values = main.sources[0].values;
    let mut gathering =
        Gathering { document: main, problems: Vec::new(), files: HashSet::new(), bytes: 0, values };
    for (at, pattern) in patterns {
        gathering.include(at, &pattern, surroundings);
    }
    match gathering.problems.is_empty() {
        true => Ok(gathering.document),
        false => Err(gathering.problems),
    }
}

/// What stands at `include:`, each pattern with its place. What isn't a text there is left to the reader of
/// the whole.
pub fn patterns(main: &Document, surroundings: &dyn Surroundings) -> Vec<(Path, String)> {
    let Some(include) = main.tree.get("include") else { return Vec::new() };
    let mut tree = json!({ "include": include });
    // Said again, and then heard, when the whole tree is gone through.
    substitute(&mut tree, surroundings, &mut Problems::default());
    let base = Path(vec![Step::Key("include".to_owned())]);
    match &tree["include"] {
        Value::String(pattern) => vec![(base, pattern.clone())],
        Value::Array(patterns) => {
            let texts = patterns.iter().enumerate().filter_map(|(at, value)| Some((at, value.as_str()?)));
            texts.map(|(at, text)| (base.join([Step::Item(at)]), text.to_owned())).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a file of this name is one that `pattern` names; `*` stands for any characters, but not for a
/// dot at the beginning: editors keep their drafts in such files.
pub fn fits(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, end) = rest.rsplit_once('*').map_or((None, rest), |(middle, end)| (Some(middle), end));
    let Some(between) = name.strip_prefix(begin).and_then(|name| name.strip_suffix(end)) else {
        return false;
    };
    let mut between = between;
    let in_order = middle
        .into_iter()
        .flat_map(|middle| middle.split('*'))
        .all(|part| between.find(part).map(|at| between = &between[at + part.len()..]).is_some());
    in_order && (!name.starts_with('.') || begin.starts_with('.'))
}

/// The document as it grows, and how much of what is allowed has been read.
struct Gathering {
    document: Document,
    problems: Vec<Problem>,
    files: HashSet<String>,
    bytes: usize,
    values: u64,
}

impl Gathering {
    fn include(&mut self, at: Path, pattern: &str, surroundings: &dyn Surroundings) {
        let files = match surroundings.matching(pattern) {
            Ok(files) => files,
            Err(reason) => return self.refuse(&at, format!("{pattern}: {reason}")),
        };
        if files.is_empty() {
            let message = format!("{pattern}: there is no such file so far");
            self.document.oddities.push((at.clone(), message));
        }
        for file in files {
            let name = surroundings.locate(&file).display().to_string();
            if name == self.document.name() || !self.files.insert(name.clone()) {
                continue;
            }
            if self.files.len() > MAX_FILES {
                return self.refuse(&at, format!("more than {MAX_FILES} files are included"));
            }
            if self.bytes > MAX_BYTES || self.values > MAX_VALUES {
                return;
            }
            match surroundings.included(&file) {
                Ok(text) => self.add(&at, name, &text),
                Err(reason) => self.refuse(&at, format!("{file}: {reason}")),
            }
        }
    }

    fn refuse(&mut self, at: &Path, message: String) {
        let problem = self.document.problem(Severity::Error, at, false, message);
        self.problems.push(problem);
    }

    fn add(&mut self, at: &Path, name: String, text: &str) {
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            return self
                .refuse(at, format!("{name}: all files together have more than {} MiB", MAX_BYTES >> 20));
        }
        let before = LISTS.map(|list| self.document.tree[list].as_array().map_or(0, Vec::len));
        let (source, tree) = match Source::read(&name, text, before) {
            Ok(read) => read,
            Err(problems) => return self.problems.extend(problems),
        };
        self.values += source.values;
        if self.values > MAX_VALUES {
            return self.refuse(at, format!("{name}: all files together have too many keys and values"));
        }
        let told = self.problems.len();
        self.document.sources.push(source);
        match tree {
            // All of it may be commented out.
            Value::Null => {}
            Value::Object(sections) => self.merge(sections),
            _ => self.refuse_here(Path::default(), false, format!("expected a mapping with {SECTIONS}")),
        }
        self.problems[told..].sort_by_key(|problem| problem.position);
    }

    /// The file read last is wrong at `at`.
    fn refuse_here(&mut self, at: Path, concerns_key: bool, message: String) {
        let source = self.document.sources.last();
        self.problems.extend(source.map(|source| source.problem(Severity::Error, at, concerns_key, message)));
    }

    fn merge(&mut self, sections: Map<String, Value>) {
        for (section, value) in sections {
            let at = Path(vec![Step::Key(section.clone())]);
            let is_table = TABLES.contains(&section.as_str());
            match value {
                _ if !is_table && !LISTS.contains(&section.as_str()) => {
                    self.refuse_here(at, true, self.misplaced(&section));
                }
                Value::Null => {}
                Value::Array(items) if !is_table => self.append(&section, items),
                Value::Object(entries) if is_table => self.insert(&section, entries),
                _ => {
                    let wanted = if is_table { "mapping" } else { "list" };
                    self.refuse_here(at, false, format!("expected a {wanted}"));
                }
            }
        }
    }

    fn misplaced(&self, section: &str) -> String {
        let main = self.document.name();
        if section == "include" {
            return format!("an included file includes no others; name them in {main}");
        }
        match nearest(section, LISTS.into_iter().chain(TABLES)) {
            Some(meant) => format!("unknown key; did you mean {meant:?}?"),
            None => format!("an included file has only {SECTIONS}; this belongs in {main}"),
        }
    }

    fn append(&mut self, section: &str, items: Vec<Value>) {
        if let Some(Value::Array(list)) = self.section(section, json!([])) {
            list.extend(items);
        }
    }

    fn insert(&mut self, section: &str, entries: Map<String, Value>) {
        for (name, value) in entries {
            let Some(Value::Object(table)) = self.section(section, json!({})) else { return };
            if !table.contains_key(&name) {
                table.insert(name, value);
                continue;
            }
            let at = Path(vec![Step::Key(section.to_owned()), Step::Key(name)]);
            let other = self.document.describe(&at);
            self.refuse_here(at, true, format!("defined twice; the other is {other}"));
        }
    }

    /// The section of the whole. One of another type in the main file is left to the reader of the whole.
    fn section(&mut self, name: &str, empty: Value) -> Option<&mut Value> {
        let section = self.document.tree.as_object_mut()?.entry(name).or_insert(Value::Null);
        if section.is_null() {
            *section = empty;
        }
        Some(section)
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_characters_of_a_name() {
        for (pattern, name) in [
            ("*.yaml", "a.yaml"),
            ("*", "a"),
            ("a*c", "ac"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "abc"),
            (".*.yaml", ".a.yaml"),
            ("a.yaml", "a.yaml"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.yaml", ".a.yaml"),
            ("*.yaml", "a.yaml~"),
            ("*.yaml", "a.yml"),
            ("a*a", "a"),
            ("a*b*c", "a-c"),
            ("*b*b*", "ab"),
            ("a.yaml", "b.yaml"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
