//! The characters of a text: which may be there, and how many are given out at once.

use std::cell::Cell;
use std::rc::Rc;
use std::str::Chars;

use super::{Flaw, Position};
use crate::config::place::Path;

/// What YAML doesn't allow in a text, and the parser lets through.
pub fn control_character(text: &str) -> Option<Flaw> {
    let is_plain = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    // Most files are plain throughout, which a look at their bytes finds ten times as fast.
    if text.bytes().all(is_plain) {
        return None;
    }
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let at = text.find(|c| !is_allowed(c) || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))?;
    let before = &text[..at];
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
    let message = "control characters are not allowed".to_owned();
    Some(Flaw { position: Position { line, column }, path: Path::default(), message })
}

/// The text, ending early when the allowance is used up.
pub struct Rationed<'t> {
    text: Chars<'t>,
    allowance: Rc<Cell<usize>>,
}

impl<'t> Rationed<'t> {
    pub fn new(text: &'t str, allowance: Rc<Cell<usize>>) -> Self {
        Self { text: text.chars(), allowance }
    }
}

impl Iterator for Rationed<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        self.allowance.set(self.allowance.get().checked_sub(1)?);
        self.text.next()
    }
}
