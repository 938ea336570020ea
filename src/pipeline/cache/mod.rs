//! Shared answers: which requests may be served from the cache, under which key, and which answers
//! are kept. Every check of `arrive` comes before; a hit passes them all.
//!
//! A plain request for a fresh answer is answered from the process tier or the store (`serve`); all else goes
//! through Pingora's cache. When the store is down, or it isn't known what was purged, the cache is bypassed.

pub mod enable;
pub mod head_lines;
mod hit;
pub mod invalidate;
pub mod keep;
pub mod key;
mod miss;
pub mod outcome;
pub mod part;
pub mod process_tier;
pub mod serve;
mod single_flight;
pub mod storage;
mod stored_head;
mod tags;
pub mod undelivered;
pub mod vary;
