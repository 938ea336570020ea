//! How large what was read is.

use super::MAX_VALUES;

/// Characters of all scalars, with every alias written out.
const MAX_TEXT: u32 = 32 << 20;

/// How much a value holds once every alias in it is written out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// Keys too.
    pub values: u32,
    pub text: u32,
    pub depth: u32,
}

impl Extent {
    pub fn with(mut self, child: Extent) -> Self {
        self.values = self.values.saturating_add(child.values);
        self.text = self.text.saturating_add(child.text);
        self.depth = self.depth.max(child.depth + 1);
        self
    }

    pub fn is_too_large(self) -> bool {
        u64::from(self.values) > MAX_VALUES || self.text > MAX_TEXT
    }
}
