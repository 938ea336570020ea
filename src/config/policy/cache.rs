//! What may be cached, for how long and for whom.

use std::time::Duration;

/// What holds for the cache as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Otherwise every request is forwarded, whatever its route says.
    pub enabled: bool,
    /// Bytes of answers within this process. Fixed at start.
    pub memory: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRule {
    /// Freshness, unless the upstream says otherwise and `respect_origin` holds.
    pub ttl: Duration,
    pub vary_by: VaryBy,
    pub query: QueryKey,
    /// Request headers (lower case) whose values are part of the key.
    pub headers: Vec<String>,
    /// Others (lower case) that the upstream is sent all the same.
    pub forward: Vec<String>,
    /// Bodies over this many bytes are never stored.
    pub max_size: usize,
    pub statuses: Vec<u16>,
    pub respect_origin: bool,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
    /// Whether `no-cache` and `no-store` of a request count.
    pub respect_client: bool,
    /// Thousandths of a request that limits charge for a hit.
    pub hit_cost: u32,
    /// Whether an unsafe request that went well drops what is kept for its target.
    pub invalidate: bool,
}

/// Which part of the caller's identity belongs to the key. There is no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaryBy {
    /// One answer per user.
    User,
    /// One answer per set of roles.
    Role,
    /// One answer for everybody who may use the route.
    Shared,
}

/// Which query parameters belong to the key: all as they are written, or some in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryKey {
    All,
    Only(Vec<String>),
}
