//! What is logged.

pub use crate::config::raw::LogLevel;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Of the log on standard error.
    pub level: LogLevel,
    /// Which requests get a line in the access log.
    pub allowed: Share,
    pub denied: Share,
}

/// One in so many; 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    pub const ALL: Self = Self(1);
    pub const NONE: Self = Self(0);

    pub fn one_in(many: u32) -> Self {
        Self(many)
    }

    /// For how many one of these stands.
    pub fn stands_for(self) -> u32 {
        self.0
    }

    /// Whether the one whose number this is belongs to the share. The number is asked for only where
    /// it counts.
    pub fn takes(self, number: impl FnOnce() -> u64) -> bool {
        match self.0 {
            0 => false,
            1 => true,
            many => number().is_multiple_of(u64::from(many)),
        }
    }
}
