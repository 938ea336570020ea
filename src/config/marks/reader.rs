//! Reads a YAML text, and refuses what a configuration file has no use for and an attacker has:
//! repeated keys, several documents, deep nesting, aliases that multiply, control characters.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::str::Chars;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Content, Entry, Extent, Flaw, Marks, Node, Position, Spot, scalar};
use crate::config::place::{Path, Step};
use crate::pace;

/// Levels of nesting; a real file has about six.
const MAX_DEPTH: usize = 32;
/// Keys and values, with every alias written out. Ten thousand full routes have about half.
pub const MAX_VALUES: u64 = 500_000;
/// Characters between two events. The parser holds a flow collection (`[…]`, `{…}`) whole, at a
/// hundred times its size, before it says anything about it.
const MAX_AHEAD: usize = 384 << 10;
/// What a node takes in a file of plain routes, and so many nodes as are made room for beforehand.
const BYTES_PER_NODE: usize = 7;
const MANY_NODES: usize = 200_000;
/// Characters of all scalars, with every alias written out.
const MAX_TEXT: u32 = 32 << 20;

impl Marks {
    /// Reads `text` up to the first error of syntax or a limit, past repeated keys.
    pub fn read(text: &str) -> Result<Marks, Vec<Flaw>> {
        if let Some(flaw) = control_character(text) {
            return Err(vec![flaw]);
        }
        let allowance = Rc::new(Cell::new(MAX_AHEAD));
        let rationed = Rationed { text: text.chars(), allowance: allowance.clone() };
        let mut reader = Reader::default();
        reader.marks.nodes.reserve((text.len() / BYTES_PER_NODE).min(MANY_NODES));
        let mut last = Position { line: 1, column: 1 };
        for step in Parser::new_from_iter(rationed) {
            pace::step();
            let taken = match step {
                _ if allowance.get() == 0 => {
                    Err(reader.flaw(last, "this goes on for too long; write long lists in lines (`- …`)"))
                }
                Ok((event, span)) => {
                    last = span.start.into();
                    reader.width = width(span);
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
}

/// How many characters of its first line a value has; 1 if it goes on below.
fn width(span: Span) -> usize {
    let (start, end) = (span.start, span.end);
    if start.line() == end.line() { end.col().saturating_sub(start.col()).max(1) } else { 1 }
}

/// What YAML doesn't allow in a text, and the parser lets through.
fn control_character(text: &str) -> Option<Flaw> {
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let at = text.find(|c| !is_allowed(c) || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))?;
    let before = &text[..at];
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
    let message = "control characters are not allowed".to_owned();
    Some(Flaw { position: Position { line, column }, path: Path::default(), message })
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
    key: Option<(Box<str>, Spot)>,
}

#[derive(Default)]
struct Reader {
    marks: Marks,
    open: Vec<Open>,
    anchors: HashMap<usize, usize>,
    documents: usize,
    flaws: Vec<Flaw>,
    /// Of the event being taken.
    width: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Flaw> {
        match event {
            Event::DocumentStart(_) => self.begin_document(at),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.is_tagged_text(tag.as_deref(), at)? || style != ScalarStyle::Plain;
                self.scalar(&text, is_text, anchor, at)
            }
            Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag)) => {
                Err(self.unknown_tag(&tag, at))
            }
            Event::SequenceStart(anchor, None) => self.begin(Content::List(Vec::new()), anchor, at),
            Event::MappingStart(anchor, None) => self.begin(Content::Table(Vec::new()), anchor, at),
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

    /// `!!str` says what quotes say; no other tag has a use here.
    fn is_tagged_text(&self, tag: Option<&Tag>, at: Position) -> Result<bool, Flaw> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
            Some(tag) => Err(self.unknown_tag(tag, at)),
        }
    }

    fn unknown_tag(&self, tag: &Tag, at: Position) -> Flaw {
        self.flaw(at, &format!("the tag `{tag}` has no meaning here; remove it"))
    }

    fn scalar(&mut self, text: &str, is_text: bool, anchor: usize, at: Position) -> Result<(), Flaw> {
        if self.expects_key() {
            self.begin_entry(text, at);
            return Ok(());
        }
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let extent = Extent { values: 1, text: length, depth: 1 };
        let value = if is_text { text.into() } else { scalar::plain(text) };
        let node = self.add(Content::Scalar(value), extent, at);
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
        self.marks.has_aliases = true;
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
            open.key = Some((key.into(), Spot::new(position, self.width)));
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
            position: pair[1].spot.position(),
            path: base.join([Step::Key(pair[1].key.to_string())]),
            message: format!(
                "this key stands here a second time; the other is on line {}",
                pair[0].spot.line
            ),
        });
        let repeated: Vec<Flaw> = repeated.collect();
        self.flaws.extend(repeated);
    }

    fn add(&mut self, content: Content, extent: Extent, position: Position) -> usize {
        let spot = Spot::new(position, self.width);
        self.marks.nodes.push(Node { spot, extent, content });
        self.marks.nodes.len() - 1
    }

    fn remember(&mut self, anchor: usize, node: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node);
        }
    }

    fn attach(&mut self, node: usize) -> Result<(), Flaw> {
        self.attach_at(node, self.marks.nodes[node].spot.position())
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
        parent.extent.values = parent.extent.values.saturating_add(u32::from(open.key.is_some()));
        let grown = parent.extent;
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Table(entries) => {
                if let Some((key, spot)) = open.key.take() {
                    entries.push(Entry { key, spot, value: node });
                }
            }
            Content::Scalar(_) => {}
        }
        if self.open.len() + extent.depth as usize > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        if u64::from(grown.values) > MAX_VALUES || grown.text > MAX_TEXT {
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
