//! The values of a YAML text, with line and column of each and of its key. [`reader`] makes them in
//! one pass over the text, so that what is checked, shown and used is one reading of it.

mod reader;
mod scalar;

use std::fmt;

use saphyr_parser::Marker;
use serde_json::Value;

use super::place::{Path, Step};
use crate::pace;
pub use reader::MAX_VALUES;

/// A place in the text; both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// A place, and how many characters of its line belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub position: Position,
    pub width: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// Something wrong with the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub position: Position,
    pub path: Path,
    pub message: String,
}

/// The document as a tree of nodes. Aliases share their anchor's node.
#[derive(Debug, Default)]
pub struct Marks {
    nodes: Vec<Node>,
    root: Option<usize>,
    has_aliases: bool,
}

/// Small, as a long file has hundreds of thousands, and each reload makes them anew.
#[derive(Debug)]
struct Node {
    spot: Spot,
    extent: Extent,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Scalar(Value),
    List(Vec<usize>),
    Table(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    spot: Spot,
    value: usize,
}

/// A mark as it is kept; files aren't so long that it could overflow.
#[derive(Debug, Clone, Copy)]
struct Spot {
    line: u32,
    column: u32,
    width: u32,
}

impl Spot {
    fn new(position: Position, width: usize) -> Self {
        let short = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: short(position.line), column: short(position.column), width: short(width) }
    }

    fn position(self) -> Position {
        Position { line: self.line as usize, column: self.column as usize }
    }
}

impl From<Spot> for Mark {
    fn from(spot: Spot) -> Self {
        Self { position: spot.position(), width: spot.width as usize }
    }
}

/// How much a node holds once every alias in it is written out.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    /// Keys too.
    values: u32,
    text: u32,
    depth: u32,
}

impl Extent {
    fn add(&mut self, child: Extent) {
        self.values = self.values.saturating_add(child.values);
        self.text = self.text.saturating_add(child.text);
        self.depth = self.depth.max(child.depth + 1);
    }
}

/// Many values take long to free.
impl Drop for Marks {
    fn drop(&mut self) {
        self.nodes.drain(..).for_each(|_| pace::step());
    }
}

impl Marks {
    /// The values, with every alias written out. They are handed over: the marks are left with the places.
    pub fn take_values(&mut self) -> Value {
        self.root.map_or(Value::Null, |root| self.value_of(root))
    }

    /// No deeper than the reader lets nodes be.
    fn value_of(&mut self, node: usize) -> Value {
        pace::step();
        match &mut self.nodes[node].content {
            Content::Scalar(value) if self.has_aliases => value.clone(),
            Content::Scalar(value) => std::mem::take(value),
            Content::List(items) => {
                let own = std::mem::take(items);
                let values = own.iter().map(|item| self.value_of(*item)).collect();
                self.nodes[node].content = Content::List(own);
                values
            }
            Content::Table(entries) => {
                let own = std::mem::take(entries);
                let value = |entry: &Entry| (String::from(&*entry.key), self.value_of(entry.value));
                let values = Value::Object(own.iter().map(value).collect());
                self.nodes[node].content = Content::Table(own);
                values
            }
        }
    }

    /// How many keys and values there are once every alias is written out.
    pub fn size(&self) -> u64 {
        self.root.map_or(0, |root| u64::from(self.nodes[root].extent.values))
    }

    /// Where the key at the end of `path` stands.
    pub fn key(&self, path: &Path) -> Option<Mark> {
        self.find(path).map(|(key, value)| key.unwrap_or(value))
    }

    /// Where the value at `path` stands, or its key if the value begins on a later line, or the
    /// nearest part of the way to it that exists.
    pub fn value(&self, path: &Path) -> Option<Mark> {
        let mut path = path.clone();
        loop {
            if let Some((key, value)) = self.find(&path) {
                return Some(key.filter(|key| key.position.line < value.position.line).unwrap_or(value));
            }
            path.0.pop()?;
        }
    }

    fn find(&self, path: &Path) -> Option<(Option<Mark>, Mark)> {
        let mut key = None;
        let mut node = &self.nodes[self.root?];
        for step in &path.0 {
            let next = match (step, &node.content) {
                (Step::Item(index), Content::List(items)) => {
                    key = None;
                    *items.get(*index)?
                }
                (Step::Key(name), Content::Table(entries)) => {
                    let entry = entries.iter().find(|entry| *entry.key == **name)?;
                    key = Some(entry.spot.into());
                    entry.value
                }
                _ => return None,
            };
            node = &self.nodes[next];
        }
        Some((key, node.spot.into()))
    }
}
