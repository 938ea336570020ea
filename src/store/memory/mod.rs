//! State within this process: exact for one gateway, gone with it.

mod counters;
mod fallback;
mod gatekeeper;
mod responses;
mod revoked;

pub use counters::LocalCounters;
pub use fallback::Fallback;
pub use gatekeeper::LocalGatekeeper;
pub use responses::MemoryResponses;
pub use revoked::RevokedSet;
