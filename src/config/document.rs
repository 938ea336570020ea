//! What was read: the values of gateway.yaml and of the files that it includes, and where each of them
//! stands.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::marks::{Flaw, Marks, Position, Values};
use super::place::{Path, Step};
use super::problem::{Problem, Severity};
use super::unchanged_routes::{Items, LastReading};

/// The lists that included files add to, and the tables.
pub const LISTS: [&str; 2] = ["routes", "tests"];
pub const TABLES: [&str; 2] = ["upstreams", "limits"];

#[derive(Debug)]
pub struct Document {
    /// Of all files together.
    pub tree: Value,
    /// gateway.yaml, then what it includes.
    pub sources: Vec<Source>,
    /// What is odd about the files as such.
    pub oddities: Vec<(Path, String)>,
    /// The routes of gateway.yaml; the tree holds null for those that are known from the last reading.
    pub routes: Items,
}

#[derive(Debug)]
pub struct Source {
    /// The file as the operator named it; problems begin with it.
    pub name: String,
    pub text: Arc<str>,
    /// Read when something is said about a place for the first time.
    marks: OnceLock<Marks>,
    /// How many items of each of [`LISTS`] stand in the files before.
    pub before: [usize; LISTS.len()],
    /// How many keys and values it has.
    pub values: u64,
}

impl Document {
    pub fn read(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        Self::read_again(name, text, None)
    }

    /// The same, without reading those routes again that stand in it as in the last text.
    pub fn read_again(name: &str, text: &str, last: Option<&LastReading>) -> Result<Self, Vec<Problem>> {
        let text = without_mark(text);
        let unchanged = last.and_then(|last| last.read(text));
        let (values, routes) = match unchanged {
            Some(read) => read,
            None => {
                let values = Source::values(name, text)?;
                let routes = Items::of(text, &values);
                (values, routes)
            }
        };
        if values.tree.is_null() {
            let position = Position { line: 1, column: 1 };
            let message = "the file is empty; a small one has `upstreams:` and `routes:`".to_owned();
            let flaw = Flaw { position, path: Path::default(), message };
            return Err(vec![Problem::with_text(name, flaw)]);
        }
        let main = Source::new(name, text, [0; LISTS.len()], values.count);
        Ok(Self { tree: values.tree, sources: vec![main], oddities: Vec::new(), routes })
    }

    /// The name of gateway.yaml.
    pub fn name(&self) -> &str {
        &self.sources[0].name
    }

    /// Which of the sources the value at `path` stands in, and its path there.
    pub fn origin(&self, path: &Path) -> (usize, Path) {
        match path.0.as_slice() {
            [Step::Key(section), Step::Item(item), ..] => {
                let Some(list) = LISTS.iter().position(|list| list == section) else {
                    return (0, path.clone());
                };
                let source = self.sources.iter().rposition(|source| source.before[list] <= *item);
                let source = source.unwrap_or_default();
                let mut own = path.clone();
                own.0[1] = Step::Item(item - self.sources[source].before[list]);
                (source, own)
            }
            [Step::Key(section), name @ Step::Key(_), ..] if TABLES.contains(&section.as_str()) => {
                let entry = Path(vec![path.0[0].clone(), name.clone()]);
                let source = self.sources.iter().position(|source| source.marks().key(&entry).is_some());
                (source.unwrap_or_default(), path.clone())
            }
            _ => (0, path.clone()),
        }
    }

    /// A problem with the value at `path`, or with its key.
    pub fn problem(&self, severity: Severity, path: &Path, concerns_key: bool, message: String) -> Problem {
        let (source, path) = self.origin(path);
        self.sources[source].problem(severity, path, concerns_key, message)
    }

    /// Another place than the one that a problem is about, for its message: with the file once there are
    /// several.
    pub fn describe(&self, path: &Path) -> String {
        let (source, own) = self.origin(path);
        let source = &self.sources[source];
        match source.marks().key(&own) {
            Some(mark) if self.sources.len() > 1 => format!("{own} ({}:{})", source.name, mark.position),
            _ => own.to_string(),
        }
    }
}

impl Source {
    /// A file and its values, or what is wrong with it as a text. `before`: see the field.
    pub fn read(name: &str, text: &str, before: [usize; LISTS.len()]) -> Result<(Self, Value), Vec<Problem>> {
        let text = without_mark(text);
        let values = Self::values(name, text)?;
        Ok((Self::new(name, text, before, values.count), values.tree))
    }

    fn new(name: &str, text: &str, before: [usize; LISTS.len()], values: u64) -> Self {
        Self { name: name.to_owned(), text: text.into(), marks: OnceLock::new(), before, values }
    }

    fn values(name: &str, text: &str) -> Result<Values, Vec<Problem>> {
        let in_file = |flaw| Problem::with_text(name, flaw);
        Values::read(text).map_err(|flaws| flaws.into_iter().map(in_file).collect())
    }

    /// Where everything stands.
    fn marks(&self) -> &Marks {
        // What could be read once can be read again.
        self.marks.get_or_init(|| Marks::read(&self.text).unwrap_or_default())
    }

    pub fn problem(&self, severity: Severity, path: Path, concerns_key: bool, message: String) -> Problem {
        let mark = if concerns_key { self.marks().key(&path) } else { self.marks().value(&path) };
        Problem {
            severity,
            file: self.name.clone(),
            position: mark.map(|mark| mark.position),
            width: mark.map_or(1, |mark| mark.width),
            path,
            message,
        }
    }
}

/// Some editors put a byte order mark before the text.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}
