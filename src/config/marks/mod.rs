//! The values of a YAML text, and line and column of each and of its key. One [`reader`] makes both, so that
//! what is checked, shown and used is one way of reading. It notes the places only when asked to: most files
//! have nothing wrong, and a reload has no use for them.

mod characters;
mod extent;
mod reader;
mod scalar;

use std::fmt;

use saphyr_parser::{Marker, Span};

use super::place::{Path, Step};
pub use reader::{RouteSpot, Values};

/// Keys and values of a text, with every alias written out. Ten thousand full routes have about half.
pub const MAX_VALUES: u64 = 500_000;

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

/// How many characters of its first line a value has; 1 if it goes on below.
fn width(span: Span) -> usize {
    let (start, end) = (span.start, span.end);
    if start.line() == end.line() { end.col().saturating_sub(start.col()).max(1) } else { 1 }
}

/// Something wrong with the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub position: Position,
    pub path: Path,
    pub message: String,
}

/// Where things stand, as a tree of nodes. Aliases share their anchor's node.
#[derive(Debug, Default)]
pub struct Marks {
    nodes: Vec<Node>,
    root: Option<usize>,
}

#[derive(Debug)]
struct Node {
    spot: Spot,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Scalar,
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

impl Marks {
    fn add(&mut self, spot: Spot, inner: Inner) -> usize {
        self.nodes.push(Node { spot, inner });
        self.nodes.len() - 1
    }

    fn add_item(&mut self, list: usize, item: usize) {
        if let Inner::List(items) = &mut self.nodes[list].inner {
            items.push(item);
        }
    }

    fn add_entry(&mut self, table: usize, key: &str, spot: Spot, value: usize) {
        if let Inner::Table(entries) = &mut self.nodes[table].inner {
            entries.push(Entry { key: key.into(), spot, value });
        }
    }

    fn entry(&self, table: usize, key: &str) -> Option<&Entry> {
        match &self.nodes[table].inner {
            Inner::Table(entries) => entries.iter().find(|entry| *entry.key == *key),
            _ => None,
        }
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
        let mut node = self.root?;
        for step in &path.0 {
            let next = match (step, &self.nodes[node].inner) {
                (Step::Item(index), Inner::List(items)) => {
                    key = None;
                    *items.get(*index)?
                }
                (Step::Key(name), Inner::Table(_)) => {
                    let entry = self.entry(node, name)?;
                    key = Some(entry.spot.into());
                    entry.value
                }
                _ => return None,
            };
            node = next;
        }
        Some((key, self.nodes[node].spot.into()))
    }
}
