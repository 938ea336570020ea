//! What is wrong with a file, for people: everything at once, each with its place and its remedy.

use std::collections::BTreeSet;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::document::Document;
use super::marks::{Flaw, Position};
use super::place::{Path, Place};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used, but probably doesn't say what was meant.
    Warning,
}

/// One line to show: `gateway.yaml:31:9 routes[2].upstream: "bilng" isn't defined; …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub file: String,
    /// `None` if the file couldn't be read at all.
    pub position: Option<Position>,
    /// How many characters of the line it concerns.
    pub width: usize,
    pub path: Path,
    pub message: String,
}

impl Problem {
    /// About the file as a whole.
    pub fn with_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            position: None,
            width: 1,
            path: Path::default(),
            message: message.into(),
        }
    }

    pub fn with_text(file: &str, flaw: Flaw) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            position: Some(flaw.position),
            width: 1,
            path: flaw.path,
            message: flaw.message,
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Problem", 7)?;
        fields.serialize_field(
            "severity",
            if self.severity == Severity::Error { "error" } else { "warning" },
        )?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("line", &self.position.map(|position| position.line))?;
        fields.serialize_field("column", &self.position.map(|position| position.column))?;
        fields.serialize_field("path", &self.path.to_string())?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("text", &self.to_string())?;
        fields.end()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(position) = self.position {
            write!(f, ":{position}")?;
        }
        if self.severity == Severity::Warning {
            f.write_str(" warning:")?;
        }
        match self.path.is_root() {
            true if self.severity == Severity::Warning => write!(f, " {}", self.message),
            true => write!(f, ": {}", self.message),
            false => write!(f, " {}: {}", self.path, self.message),
        }
    }
}

/// Gathers what is found on the way.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Finding>,
    /// How many more there were than anybody reads.
    untold: usize,
    /// Where something is known to be wrong, so that what follows from it need not be said.
    known: BTreeSet<Path>,
    suggestions: usize,
    outside: Vec<Outside>,
}

/// A value that came from a variable or a file and may be a secret.
#[derive(Debug)]
struct Outside {
    value: String,
    /// How the file refers to it.
    reference: String,
}

#[derive(Debug)]
struct Finding {
    severity: Severity,
    path: Path,
    /// Whether it is the key that is wrong, not its value.
    concerns_key: bool,
    message: String,
}

const MAX_TOLD: usize = 1000;
/// Shorter values are no secrets, and could be a part of any word.
const SHORTEST_SECRET: usize = 6;
/// Looking for a near name costs time in proportion to the number of names.
const MAX_SUGGESTIONS: usize = 100;

impl Problems {
    pub fn error(&mut self, place: &Place<'_>, message: impl Into<String>) {
        self.error_at(place.path(), message);
    }

    pub fn error_at(&mut self, path: Path, message: impl Into<String>) {
        self.known.insert(path.clone());
        self.push(Severity::Error, path, false, message.into());
    }

    /// The key itself is wrong.
    pub fn error_in_key(&mut self, path: Path, message: impl Into<String>) {
        self.known.insert(path.clone());
        self.push(Severity::Error, path, true, message.into());
    }

    pub fn warning(&mut self, place: &Place<'_>, message: impl Into<String>) {
        self.warning_at(place.path(), message);
    }

    pub fn warning_at(&mut self, path: Path, message: impl Into<String>) {
        self.push(Severity::Warning, path, false, message.into());
    }

    /// That `key` is missing from the mapping at `place`, unless it was there and was wrong.
    pub fn missing(&mut self, place: &Place<'_>, key: &str, remedy: &str) {
        if !self.is_known(&place.key(key)) {
            self.error(place, format!("`{key}` is missing; {remedy}"));
        }
    }

    /// From now on, messages show `reference` in place of this value.
    pub fn conceal(&mut self, value: &str, reference: String) {
        if value.len() >= SHORTEST_SECRET {
            self.outside.push(Outside { value: value.to_owned(), reference });
        }
    }

    /// Says nothing, but remembers that something is wrong at `path`.
    pub fn excuse(&mut self, path: Path) {
        self.known.insert(path);
    }

    pub fn is_known(&self, place: &Place<'_>) -> bool {
        // Nearly always nothing is, and a path takes memory.
        !self.known.is_empty() && self.known.contains(&place.path())
    }

    /// Whether something is known to be wrong at `place` or beneath it.
    pub fn is_known_within(&self, place: &Place<'_>) -> bool {
        let path = place.path();
        self.known.range(&path..).next().is_some_and(|known| known.0.starts_with(&path.0))
    }

    /// `; did you mean "billing"?`, or nothing if no candidate is near.
    pub fn suggestion<'c>(&mut self, word: &str, candidates: impl Iterator<Item = &'c str>) -> String {
        let near = self.nearest(word, candidates);
        near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
    }

    /// The candidate that `word` was probably meant to be; after many questions, none.
    pub fn nearest<'c>(&mut self, word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
        self.suggestions += 1;
        if self.suggestions > MAX_SUGGESTIONS { None } else { nearest(word, candidates) }
    }

    fn push(&mut self, severity: Severity, path: Path, concerns_key: bool, message: String) {
        if self.found.len() >= MAX_TOLD {
            self.untold += 1;
            return;
        }
        self.found.push(Finding { severity, path, concerns_key, message });
    }

    /// Everything found, in the order of the files: errors, then warnings.
    pub fn into_lines(mut self, document: &Document) -> (Vec<Problem>, Vec<Problem>) {
        for found in &mut self.found {
            self.outside.iter().for_each(|outside| outside.take_from(&mut found.message));
        }
        let mut lines: Vec<(usize, Problem)> =
            self.found.into_iter().map(|found| found.locate(document)).collect();
        lines.sort_by(|(file, a), (other, b)| {
            file.cmp(other).then_with(|| a.position.cmp(&b.position)).then_with(|| a.path.cmp(&b.path))
        });
        let mut lines: Vec<Problem> = lines.into_iter().map(|(_, line)| line).collect();
        if self.untold > 0 {
            lines.push(Problem::with_file(document.name(), format!("… and {} more problems", self.untold)));
        }
        lines.into_iter().partition(|line| line.severity == Severity::Error)
    }
}

impl Outside {
    /// Replaces the value, and any longer line of it, as it is and as `{:?}` writes it.
    fn take_from(&self, message: &mut String) {
        let lines = self.value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_SECRET);
        for text in std::iter::once(self.value.as_str()).chain(lines) {
            let escaped = text.escape_debug().to_string();
            for shown in [text, escaped.as_str()] {
                if message.contains(shown) {
                    *message = message.replace(shown, &self.reference);
                }
            }
        }
    }
}

impl Finding {
    /// With the number of the file that it is in.
    fn locate(self, document: &Document) -> (usize, Problem) {
        let (source, path) = document.origin(&self.path);
        let file = &document.sources[source];
        (source, file.problem(self.severity, path, self.concerns_key, self.message))
    }
}

/// The candidate that `word` was probably meant to be: at most a third of the longer one differs.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let farthest = |candidate: &str| (word.len().max(candidate.len()) / 3).max(1);
    candidates
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= farthest(candidate))
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= farthest(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_could_be_a_misspelling_is_suggested() {
        let names = ["billing", "search", "ab"];

        assert_eq!(nearest("bilng", names.into_iter()), Some("billing"));
        assert_eq!(nearest("serach", names.into_iter()), Some("search"));
        assert_eq!(nearest("users", names.into_iter()), None);
        assert_eq!(nearest("", names.into_iter()), None);
    }
}
