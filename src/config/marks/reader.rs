//! Reads a YAML text, and refuses what a configuration file has no use for and an attacker has:
//! repeated keys, several documents, deep nesting, aliases that multiply, control characters.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::characters::{Rationed, control_character};
use super::extent::Extent;
use super::{Flaw, Inner, Marks, Position, Spot, scalar, width};
use crate::config::place::{Path, Step};
use crate::pace;

/// Levels of nesting; a real file has about six.
const MAX_DEPTH: usize = 32;
/// The list whose items are told apart: the only one that grows long.
const ROUTES: &str = "routes";
/// Characters between two events. The parser holds a flow collection (`[…]`, `{…}`) whole, at a
/// hundred times its size, before it says anything about it.
const MAX_AHEAD: usize = 384 << 10;
/// What a text says, with every alias written out.
#[derive(Debug, Default)]
pub struct Values {
    pub tree: Value,
    /// How many keys and values there are.
    pub count: u64,
    /// The items of [`ROUTES`].
    pub routes: Vec<RouteSpot>,
    pub has_anchors: bool,
}

/// Where an item of the list of routes begins, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub struct RouteSpot {
    /// In characters of the text.
    pub at: usize,
    /// Keys and values.
    pub values: u32,
}

impl Values {
    /// Reads `text` up to the first error of syntax or a limit, past repeated keys.
    pub fn read(text: &str) -> Result<Self, Vec<Flaw>> {
        match Reader::default().read(text) {
            Ok(reader) => Ok(Values { has_anchors: !reader.anchors.is_empty(), ..reader.values }),
            // What is said of a flaw may name a second place.
            Err(flaws) => Err(Marks::read(text).err().unwrap_or(flaws)),
        }
    }
}

impl Marks {
    /// The places of what [`Values::read`] reads.
    pub fn read(text: &str) -> Result<Self, Vec<Flaw>> {
        let reader = Reader { marks: Some(Marks::default()), ..Reader::default() };
        reader.read(text).map(|reader| reader.marks.unwrap_or_default())
    }
}

/// A value that is complete.
#[derive(Clone)]
struct Read {
    value: Value,
    extent: Extent,
    /// In the marks, if there are any.
    node: usize,
    at: Position,
}

/// A collection whose end hasn't come yet.
struct Open {
    content: Content,
    extent: Extent,
    anchor: usize,
    /// In a table: the key whose value comes next.
    key: Option<(String, Spot)>,
    node: usize,
    at: Position,
}

enum Content {
    List(Vec<Value>),
    Table(Map<String, Value>),
}

impl Open {
    fn expects_key(&self) -> bool {
        self.key.is_none() && matches!(self.content, Content::Table(_))
    }
}

#[derive(Default)]
struct Reader {
    values: Values,
    /// `None`: the places aren't asked for.
    marks: Option<Marks>,
    open: Vec<Open>,
    anchors: HashMap<usize, Read>,
    /// All that the anchors hold.
    anchored: Extent,
    documents: usize,
    flaws: Vec<Flaw>,
    /// Of the event being taken.
    width: usize,
}

impl Reader {
    fn read(mut self, text: &str) -> Result<Self, Vec<Flaw>> {
        if let Some(flaw) = control_character(text) {
            return Err(vec![flaw]);
        }
        let allowance = Rc::new(Cell::new(MAX_AHEAD));
        let rationed = Rationed::new(text, allowance.clone());
        let mut last = Position { line: 1, column: 1 };
        for step in Parser::new_from_iter(rationed) {
            pace::step();
            let taken = match step {
                _ if allowance.get() == 0 => {
                    Err(self.flaw(last, "this goes on for too long; write long lists in lines (`- …`)"))
                }
                Ok((event, span)) => {
                    last = span.start.into();
                    self.width = width(span);
                    self.note_route(&event, span.start.index());
                    self.take(event, last)
                }
                Err(error) => Err(self.flaw((*error.marker()).into(), error.info())),
            };
            if let Err(flaw) = taken {
                self.flaws.push(flaw);
                break;
            }
            allowance.set(MAX_AHEAD);
        }
        if self.flaws.is_empty() { Ok(self) } else { Err(self.flaws) }
    }

    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Flaw> {
        match event {
            Event::DocumentStart(_) => self.begin_document(at),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.is_tagged_text(tag.as_deref(), at)? || style != ScalarStyle::Plain;
                self.scalar(text, is_text, anchor, at)
            }
            Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag)) => {
                Err(self.unknown_tag(&tag, at))
            }
            Event::SequenceStart(anchor, None) => self.begin(Content::List(Vec::new()), anchor, at),
            Event::MappingStart(anchor, None) => self.begin(Content::Table(Map::new()), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn note_route(&mut self, event: &Event<'_>, at: usize) {
        let is_end = matches!(event, Event::SequenceEnd | Event::MappingEnd);
        if !is_end && self.is_among_routes() {
            self.values.routes.push(RouteSpot { at, values: 0 });
        }
    }

    /// Whether what begins or is complete now is an item of the list of routes.
    fn is_among_routes(&self) -> bool {
        let [root, list] = self.open.as_slice() else { return false };
        matches!(list.content, Content::List(_)) && root.key.as_ref().is_some_and(|(key, _)| key == ROUTES)
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

    fn scalar(&mut self, text: Cow<'_, str>, is_text: bool, anchor: usize, at: Position) -> Result<(), Flaw> {
        let spot = Spot::new(at, self.width);
        if let Some(open) = self.open.last_mut().filter(|open| open.expects_key()) {
            open.key = Some((text.into_owned(), spot));
            return Ok(());
        }
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let extent = Extent { values: 1, text: length, depth: 1 };
        let value = if is_text { text.into() } else { scalar::plain(text) };
        let node = self.mark(spot, || Inner::Scalar);
        self.finish(Read { value, extent, node, at }, anchor)
    }

    fn begin(&mut self, content: Content, anchor: usize, at: Position) -> Result<(), Flaw> {
        self.expect_no_key(at)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        let node = self.mark(Spot::new(at, self.width), || match content {
            Content::List(_) => Inner::List(Vec::new()),
            Content::Table(_) => Inner::Table(Vec::new()),
        });
        let extent = Extent { values: 1, text: 0, depth: 1 };
        self.open.push(Open { content, extent, anchor, key: None, node, at });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Flaw> {
        let Some(closed) = self.open.pop() else {
            return Ok(());
        };
        let value = match closed.content {
            Content::List(items) => Value::Array(items),
            Content::Table(entries) => Value::Object(entries),
        };
        let read = Read { value, extent: closed.extent, node: closed.node, at: closed.at };
        self.finish(read, closed.anchor)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Flaw> {
        self.expect_no_key(at)?;
        // An anchor is remembered at its end, so that one that holds itself isn't found here.
        let Some(known) = self.anchors.get(&anchor) else {
            return Err(self.flaw(at, "this alias stands within its own anchor"));
        };
        self.check(known.extent, at)?;
        let known = known.clone();
        self.attach(known);
        Ok(())
    }

    /// Lists and tables can't be keys.
    fn expect_no_key(&self, at: Position) -> Result<(), Flaw> {
        match self.open.last().is_some_and(Open::expects_key) {
            true => Err(self.flaw(at, "a key must be plain text")),
            false => Ok(()),
        }
    }

    /// The number of its place, if places are asked for.
    fn mark(&mut self, spot: Spot, inner: impl FnOnce() -> Inner) -> usize {
        self.marks.as_mut().map_or(0, |marks| marks.add(spot, inner()))
    }

    fn finish(&mut self, read: Read, anchor: usize) -> Result<(), Flaw> {
        self.check(read.extent, read.at)?;
        if anchor > 0 {
            self.anchored = self.anchored.with(read.extent);
            if self.anchored.is_too_large() {
                return Err(self.too_large(read.at));
            }
            self.anchors.insert(anchor, read.clone());
        }
        self.attach(read);
        Ok(())
    }

    /// Whether so much more has a place where the next value belongs.
    fn check(&self, extent: Extent, at: Position) -> Result<(), Flaw> {
        let Some(open) = self.open.last() else { return Ok(()) };
        if self.open.len() + extent.depth as usize > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        if open.extent.with(extent).is_too_large() {
            return Err(self.too_large(at));
        }
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn attach(&mut self, read: Read) {
        if self.is_among_routes()
            && let Some(route) = self.values.routes.last_mut()
        {
            route.values = read.extent.values;
        }
        let Some(open) = self.open.last_mut() else {
            self.values.tree = read.value;
            self.values.count = u64::from(read.extent.values);
            if let Some(marks) = &mut self.marks {
                marks.root = Some(read.node);
            }
            return;
        };
        open.extent = open.extent.with(read.extent);
        let marks = self.marks.as_mut();
        match (&mut open.content, open.key.take()) {
            (Content::List(items), _) => {
                items.push(read.value);
                marks.into_iter().for_each(|marks| marks.add_item(open.node, read.node));
            }
            (Content::Table(entries), Some((key, spot))) => {
                open.extent.values = open.extent.values.saturating_add(1);
                match entries.entry(key) {
                    Entry::Vacant(entry) => {
                        let key = entry.key().as_str();
                        marks.into_iter().for_each(|marks| marks.add_entry(open.node, key, spot, read.node));
                        entry.insert(read.value);
                    }
                    Entry::Occupied(entry) => {
                        let (table, key) = (open.node, entry.key().clone());
                        self.refuse_repeated(table, key, spot);
                    }
                }
            }
            (Content::Table(_), None) => {}
        }
    }

    fn refuse_repeated(&mut self, table: usize, key: String, spot: Spot) {
        let other =
            self.marks.as_ref().and_then(|marks| marks.entry(table, &key)).map(|entry| entry.spot.line);
        self.flaws.push(Flaw {
            position: spot.position(),
            path: self.path().join([Step::Key(key)]),
            message: format!(
                "this key stands here a second time; the other is on line {}",
                other.unwrap_or_default()
            ),
        });
    }

    fn too_large(&self, at: Position) -> Flaw {
        self.flaw(at, "the file is too large once its aliases are written out")
    }

    fn too_deep(&self, at: Position) -> Flaw {
        self.flaw(at, &format!("this is nested more than {MAX_DEPTH} levels deep"))
    }

    fn flaw(&self, position: Position, message: &str) -> Flaw {
        Flaw { position, path: self.path(), message: message.to_owned() }
    }

    /// The way to the value being read.
    fn path(&self) -> Path {
        let steps = self.open.iter().filter_map(|open| match &open.content {
            Content::List(items) => Some(Step::Item(items.len())),
            Content::Table(_) => open.key.as_ref().map(|(key, _)| Step::Key(key.clone())),
        });
        Path(steps.collect())
    }
}
