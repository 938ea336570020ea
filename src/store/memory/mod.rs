//! State within this process: exact for one gateway, gone with it.

mod counters;
mod gatekeeper;
mod revoked;

pub use counters::LocalCounters;
pub use gatekeeper::LocalGatekeeper;
pub use revoked::RevokedSet;
