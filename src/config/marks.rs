//! Line and column of every key and value of a YAML text, found in one pass over its events.
//!
//! The pass also refuses what a configuration file has no use for and an attacker has: repeated
//! keys, several documents, deep nesting, aliases that multiply.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::str::Chars;

use saphyr_parser::{Event, Marker, Parser};

use super::place::{Path, Step};

/// Levels of nesting; a real file has about six.
const MAX_DEPTH: usize = 32;
/// Keys and values, with every alias written out. Ten thousand full routes have about half.
const MAX_VALUES: u64 = 500_000;
/// Characters between two events. The parser holds a flow collection (`[…]`, `{…}`) whole, at a
/// hundred times its size, before it says anything about it.
const MAX_AHEAD: usize = 384 << 10;
/// Characters of all scalars, with every alias written out.
const MAX_TEXT: u64 = 32 << 20;

/// A place in the text; both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
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

/// The positions, as a tree of the same shape as the document. Aliases share their anchor's node.
#[derive(Debug, Default)]
pub struct Marks {
    nodes: Vec<Node>,
    root: Option<usize>,
}

#[derive(Debug)]
struct Node {
    position: Position,
    extent: Extent,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Scalar,
    List(Vec<usize>),
    Table(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    position: Position,
    value: usize,
}

/// How much a node holds once every alias in it is written out.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    /// Keys too.
    values: u64,
    text: u64,
    depth: usize,
}

impl Extent {
    fn add(&mut self, child: Extent) {
        self.values = self.values.saturating_add(child.values);
        self.text = self.text.saturating_add(child.text);
        self.depth = self.depth.max(child.depth + 1);
    }
}

impl Marks {
    /// Reads `text` up to the first error of syntax or a limit, past repeated keys.
    pub fn read(text: &str) -> Result<Marks, Vec<Flaw>> {
        let allowance = Rc::new(Cell::new(MAX_AHEAD));
        let rationed = Rationed { text: text.chars(), allowance: allowance.clone() };
        let mut reader = Reader::default();
        let mut last = Position { line: 1, column: 1 };
        for step in Parser::new_from_iter(rationed) {
            let taken = match step {
                _ if allowance.get() == 0 => {
                    Err(reader.flaw(last, "this goes on for too long; write long lists in lines (`- …`)"))
                }
                Ok((event, span)) => {
                    last = span.start.into();
                    reader.take(event, last)
                }
                Err(error) => Err(reader.flaw((*error.marker()).into(), error.info())),
            };
            if let Err(flaw) = taken {
                reader.flaws.push(flaw);
                break;
            }
            allowance.set(MAX_AHEAD);
        }
        if reader.flaws.is_empty() { Ok(reader.marks) } else { Err(reader.flaws) }
    }

    /// Where the key at the end of `path` stands.
    pub fn key(&self, path: &Path) -> Option<Position> {
        self.find(path).map(|(key, value)| key.unwrap_or(value))
    }

    /// Where the value at `path` stands, or its key if the value begins on a later line, or the
    /// nearest part of the way to it that exists.
    pub fn value(&self, path: &Path) -> Option<Position> {
        let mut path = path.clone();
        loop {
            if let Some((key, value)) = self.find(&path) {
                return Some(key.filter(|key| key.line < value.line).unwrap_or(value));
            }
            path.0.pop()?;
        }
    }

    fn find(&self, path: &Path) -> Option<(Option<Position>, Position)> {
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
                    key = Some(entry.position);
                    entry.value
                }
                _ => return None,
            };
            node = &self.nodes[next];
        }
        Some((key, node.position))
    }
}

/// The text, ending early when the allowance is used up.
struct Rationed<'t> {
    text: Chars<'t>,
    allowance: Rc<Cell<usize>>,
}

impl Iterator for Rationed<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        self.allowance.set(self.allowance.get().checked_sub(1)?);
        self.text.next()
    }
}

/// A collection whose end hasn't come yet.
struct Open {
    node: usize,
    anchor: usize,
    /// In a table: the key whose value comes next.
    key: Option<(Box<str>, Position)>,
}

#[derive(Default)]
struct Reader {
    marks: Marks,
    open: Vec<Open>,
    anchors: HashMap<usize, usize>,
    documents: usize,
    flaws: Vec<Flaw>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Flaw> {
        match event {
            Event::DocumentStart(_) => self.begin_document(at),
            Event::Scalar(text, _, anchor, _) => self.scalar(&text, anchor, at),
            Event::SequenceStart(anchor, _) => self.begin(Content::List(Vec::new()), anchor, at),
            Event::MappingStart(anchor, _) => self.begin(Content::Table(Vec::new()), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin_document(&mut self, at: Position) -> Result<(), Flaw> {
        self.documents += 1;
        if self.documents > 1 {
            return Err(self.flaw(at, "a second document begins here; put everything into one"));
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, anchor: usize, at: Position) -> Result<(), Flaw> {
        if self.expects_key() {
            self.begin_entry(text, at);
            return Ok(());
        }
        let extent = Extent { values: 1, text: text.len() as u64, depth: 1 };
        let node = self.add(Content::Scalar, extent, at);
        self.remember(anchor, node);
        self.attach(node)
    }

    fn begin(&mut self, content: Content, anchor: usize, at: Position) -> Result<(), Flaw> {
        if self.expects_key() {
            return Err(self.flaw(at, "a key must be plain text"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        let node = self.add(content, Extent { values: 1, text: 0, depth: 1 }, at);
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Flaw> {
        let Some(closed) = self.open.pop() else {
            return Ok(());
        };
        self.report_repeated_keys(closed.node);
        self.remember(closed.anchor, closed.node);
        self.attach(closed.node)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Flaw> {
        if self.expects_key() {
            return Err(self.flaw(at, "a key must be plain text"));
        }
        // An anchor is remembered at its end, so that one that holds itself isn't found here.
        match self.anchors.get(&anchor) {
            Some(&node) => self.attach_at(node, at),
            None => Err(self.flaw(at, "this alias stands within its own anchor")),
        }
    }

    fn expects_key(&self) -> bool {
        self.open.last().is_some_and(|open| {
            open.key.is_none() && matches!(self.marks.nodes[open.node].content, Content::Table(_))
        })
    }

    fn begin_entry(&mut self, key: &str, position: Position) {
        if let Some(open) = self.open.last_mut() {
            open.key = Some((key.into(), position));
        }
    }

    /// Called at the end of a table, with the way to it still open.
    fn report_repeated_keys(&mut self, table: usize) {
        let Content::Table(entries) = &self.marks.nodes[table].content else {
            return;
        };
        let mut in_order: Vec<&Entry> = entries.iter().collect();
        in_order.sort_by(|a, b| a.key.cmp(&b.key));
        let base = self.path();
        let repeated = in_order.windows(2).filter(|pair| pair[0].key == pair[1].key).map(|pair| Flaw {
            position: pair[1].position,
            path: base.join([Step::Key(pair[1].key.to_string())]),
            message: format!(
                "this key stands here a second time; the other is on line {}",
                pair[0].position.line
            ),
        });
        let repeated: Vec<Flaw> = repeated.collect();
        self.flaws.extend(repeated);
    }

    fn add(&mut self, content: Content, extent: Extent, position: Position) -> usize {
        self.marks.nodes.push(Node { position, extent, content });
        self.marks.nodes.len() - 1
    }

    fn remember(&mut self, anchor: usize, node: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node);
        }
    }

    fn attach(&mut self, node: usize) -> Result<(), Flaw> {
        self.attach_at(node, self.marks.nodes[node].position)
    }

    /// Puts a finished node where it belongs; `at` is where it is spoken of.
    fn attach_at(&mut self, node: usize, at: Position) -> Result<(), Flaw> {
        let extent = self.marks.nodes[node].extent;
        let Some(open) = self.open.last_mut() else {
            self.marks.root = Some(node);
            return Ok(());
        };
        let parent = &mut self.marks.nodes[open.node];
        parent.extent.add(extent);
        parent.extent.values += u64::from(open.key.is_some());
        let grown = parent.extent;
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Table(entries) => {
                if let Some((key, position)) = open.key.take() {
                    entries.push(Entry { key, position, value: node });
                }
            }
            Content::Scalar => {}
        }
        if self.open.len() + extent.depth > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        if grown.values > MAX_VALUES || grown.text > MAX_TEXT {
            return Err(self.flaw(at, "the file is too large once its aliases are written out"));
        }
        Ok(())
    }

    fn too_deep(&self, at: Position) -> Flaw {
        self.flaw(at, &format!("this is nested more than {MAX_DEPTH} levels deep"))
    }

    fn flaw(&self, position: Position, message: &str) -> Flaw {
        Flaw { position, path: self.path(), message: message.to_owned() }
    }

    /// The way to the value being read.
    fn path(&self) -> Path {
        let steps = self.open.iter().filter_map(|open| match &self.marks.nodes[open.node].content {
            Content::List(items) => Some(Step::Item(items.len())),
            _ => open.key.as_ref().map(|(key, _)| Step::Key(key.to_string())),
        });
        Path(steps.collect())
    }
}
