//! Memory that holds as much as fits into so many bytes, and lets go of what is used least.

use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// No entry may be larger than a shard, so there are few.
const SHARDS: usize = 4;
/// Used to size the tables; entries may be larger and fewer.
const TYPICAL_ENTRY: u64 = 8 * 1024;

/// `weigher` says what an entry takes, in bytes.
pub fn bounded<K: Eq + Hash, V: Clone, W: Weighter<K, V> + Clone>(
    max_bytes: u64,
    weigher: W,
) -> Cache<K, V, W> {
    let entries = usize::try_from(max_bytes / TYPICAL_ENTRY).unwrap_or(usize::MAX).max(16);
    let options = OptionsBuilder::new()
        .shards(SHARDS)
        .estimated_items_capacity(entries)
        .weight_capacity(max_bytes)
        .build()
        .expect("both capacities are given");
    Cache::with_options(options, weigher, DefaultHashBuilder::default(), DefaultLifecycle::default())
}
