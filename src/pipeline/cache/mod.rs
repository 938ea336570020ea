//! Shared answers: which requests may be served from the cache, under which key, and which answers
//! are kept. Every check of `arrive` comes before; a hit passes them all.
//!
//! When the store is down the cache is bypassed.

pub mod enable;
pub mod keep;
pub mod key;
pub mod outcome;
pub mod storage;
pub mod vary;
