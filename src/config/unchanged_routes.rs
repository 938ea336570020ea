//! Routes that stand in gateway.yaml as they stood in it the last time: a reload doesn't read them again.
//!
//! They are cut out of the text before the YAML is read, and put back as what they were read as. The reader comes
//! to each item of the list of routes in the same state: at the beginning of a line, with the indentation of that
//! list and no anchors. So a cut goes from the beginning of one item to that of a later one, within a part of the
//! text that hasn't changed, and counts only if the reader then finds the items on both its sides where they
//! should be. Whatever is otherwise is read whole.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::digest::Digest;
use super::marks::{MAX_VALUES, RouteSpot, Values};
use super::raw;
use crate::pace;

/// A text that could be used, and what its routes were read as.
#[derive(Debug)]
pub struct LastReading {
    text: Arc<str>,
    items: Vec<Item>,
    /// One for each item.
    routes: Vec<Arc<KnownRoute>>,
}

/// A route of the file and the digest of its values.
#[derive(Debug)]
pub struct KnownRoute {
    pub raw: raw::Route,
    pub digest: Digest,
}

/// Bytes compared at once.
const BLOCK: usize = 256;

/// An item of the list of routes in a text, by bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    /// Where its line begins.
    start: usize,
    /// What comes behind its `- `.
    content: usize,
    values: u32,
    /// Whether nothing outside of it has a say in what it means.
    is_closed: bool,
}

/// The items of a text, and those of them that are known. The tree holds null in place of a known one.
#[derive(Debug, Default)]
pub struct Items {
    places: Vec<Item>,
    pub known: raw::List<Arc<KnownRoute>>,
}

/// Items that stand in a text as before, by their old numbers.
#[derive(Debug)]
struct Cut {
    items: Range<usize>,
    /// How many bytes further on they stand now.
    moved: isize,
}

impl Items {
    /// Those of a text that was read whole. With anchors, an item may mean something else when others change.
    pub fn of(text: &str, values: &Values) -> Self {
        let places = if values.has_anchors { None } else { places(text, &values.routes) };
        Self { places: places.unwrap_or_default(), known: Vec::new() }
    }
}

impl LastReading {
    /// `None` if nothing is gained by it. `routes`: those of the file, in order; behind them may come those of included
    /// files.
    pub fn new(text: Arc<str>, items: Items, routes: raw::List<Arc<KnownRoute>>) -> Option<Self> {
        let routes: Vec<_> = routes.into_iter().take(items.places.len()).flatten().collect();
        let is_of_use = !routes.is_empty() && routes.len() == items.places.len();
        is_of_use.then_some(Self { text, items: items.places, routes })
    }

    /// What `text` says, with null for each route that is known. `None`: it has to be read whole.
    pub fn read(&self, text: &str) -> Option<(Values, Items)> {
        let cuts = self.cuts(text);
        let shortened = self.without(&cuts, text)?;
        let mut values = Values::read(&shortened).ok().filter(|values| !values.has_anchors)?;
        let found = places(&shortened, &values.routes)?;
        let items = self.put_back(&cuts, &found)?;
        let list = values.tree.get_mut("routes")?.as_array_mut()?;
        let mut read = std::mem::take(list).into_iter();
        for known in &items.known {
            list.push(if known.is_some() { Value::Null } else { read.next()? });
        }
        let cut = cuts.iter().flat_map(|cut| &self.items[cut.items.clone()]);
        values.count += cut.map(|item| u64::from(item.values)).sum::<u64>();
        (read.next().is_none() && values.count <= MAX_VALUES).then_some((values, items))
    }

    /// The runs of items that can be cut out, in order. One on each side of a run stays.
    fn cuts(&self, text: &str) -> Vec<Cut> {
        let (old, new) = (self.text.as_bytes(), text.as_bytes());
        let ahead = common_prefix(old, new);
        let behind = common_suffix(&old[ahead..], &new[ahead..]);
        let moved = new.len().cast_signed() - old.len().cast_signed();
        let last_ahead = self.items.partition_point(|item| item.content <= ahead).saturating_sub(1);
        let first_behind = self.items.partition_point(|item| item.start <= old.len() - behind);
        let last = self.items.len().saturating_sub(1);
        let mut cuts = Vec::new();
        for (range, moved) in [(1..last_ahead, 0), (first_behind + 1..last, moved)] {
            let mut next = range.start;
            let among = self.items.get(range).unwrap_or_default();
            for run in among.chunk_by(|item, other| item.is_closed == other.is_closed) {
                let items = next..next + run.len();
                next = items.end;
                if run[0].is_closed {
                    cuts.push(Cut { items, moved });
                }
            }
        }
        cuts
    }

    /// The text without them. `None` if there are none.
    fn without(&self, cuts: &[Cut], text: &str) -> Option<String> {
        let (mut shortened, mut next) = (String::new(), 0);
        for cut in cuts {
            let place = |item: usize| self.items[item].start.checked_add_signed(cut.moved);
            shortened.push_str(text.get(next..place(cut.items.start)?)?);
            next = place(cut.items.end)?;
        }
        shortened.push_str(text.get(next..)?);
        (!cuts.is_empty()).then_some(shortened)
    }

    /// All items of the new text: those `found` in the shortened one, and those cut out of it. `None` if
    /// the two around a cut aren't where they should be.
    fn put_back(&self, cuts: &[Cut], found: &[Item]) -> Option<Items> {
        let (mut items, mut rest, mut removed) = (Items::default(), found, 0);
        for cut in cuts {
            let (first, end) = (self.items[cut.items.start], self.items[cut.items.end]);
            let here = first.start.checked_add_signed(cut.moved)?.checked_sub(removed)?;
            let (before, behind) = rest.split_at(rest.partition_point(|item| item.start < here));
            items.add_found(before, removed);
            let preceding = self.items[cut.items.start - 1];
            let distance = first.start - preceding.start;
            before.last().filter(|item| item.is_like(&preceding) && item.start + distance == here)?;
            behind.first().filter(|item| item.is_like(&end) && item.start == here)?;
            for number in cut.items.clone() {
                items.add_known(self.items[number].moved(cut.moved)?, self.routes[number].clone());
            }
            removed += end.start - first.start;
            rest = behind;
        }
        items.add_found(rest, removed);
        Some(items)
    }
}

impl Items {
    /// `removed`: the bytes that have been cut out before them.
    fn add_found(&mut self, found: &[Item], removed: usize) {
        let shift =
            |item: &Item| Item { start: item.start + removed, content: item.content + removed, ..*item };
        self.places.extend(found.iter().map(shift));
        self.known.resize(self.places.len(), None);
    }

    fn add_known(&mut self, place: Item, route: Arc<KnownRoute>) {
        pace::step();
        self.places.push(place);
        self.known.push(Some(route));
    }
}

impl Item {
    /// Whether its list is as deeply indented.
    fn is_like(&self, other: &Self) -> bool {
        self.content - self.start == other.content - other.start
    }

    fn moved(self, by: isize) -> Option<Self> {
        let start = self.start.checked_add_signed(by)?;
        Some(Self { start, content: self.content.checked_add_signed(by)?, ..self })
    }
}

/// Of every item; `None` if one isn't on lines of its own that begin with its `- `.
fn places(text: &str, spots: &[RouteSpot]) -> Option<Vec<Item>> {
    if text.contains('\r') {
        return None;
    }
    let is_ascii = text.is_ascii();
    let mut items = Vec::with_capacity(spots.len());
    let (mut characters, mut passed) = (text.char_indices(), 0);
    for spot in spots {
        pace::step();
        let content = if is_ascii { spot.at } else { characters.nth(spot.at.checked_sub(passed)?)?.0 };
        passed = spot.at + 1;
        let start = text.get(..content)?.rfind('\n').map_or(0, |end| end + 1);
        let (indentation, space) = text[start..content].split_once('-')?;
        if space.is_empty() || !(indentation.bytes().chain(space.bytes()).all(|byte| byte == b' ')) {
            return None;
        }
        items.push(Item { start, content, values: spot.values, is_closed: false });
    }
    for item in 1..items.len() {
        let text = &text[items[item - 1].start..items[item].start];
        items[item - 1].is_closed = is_closed(text);
    }
    Some(items)
}

/// No reference to the environment or to a file, nor an escape that may spell one, and no tag, which the beginning of a
/// text may redefine.
fn is_closed(item: &str) -> bool {
    !item.contains(['$', '\\', '!']) && !item.contains("file")
}

/// How many bytes two texts have in common at their beginning.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let alike = |(a, b): &(&[u8], &[u8])| a == b;
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK)).take_while(alike).count() * BLOCK;
    blocks + a[blocks..].iter().zip(&b[blocks..]).take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let alike = |(a, b): &(&[u8], &[u8])| a == b;
    let blocks = a.rchunks_exact(BLOCK).zip(b.rchunks_exact(BLOCK)).take_while(alike).count() * BLOCK;
    let (a, b) = (&a[..a.len() - blocks], &b[..b.len() - blocks]);
    blocks + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// Many routes take long to free.
impl Drop for LastReading {
    fn drop(&mut self) {
        self.routes.drain(..).for_each(|_| pace::step());
    }
}
