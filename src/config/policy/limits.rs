//! Rate limits by name.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub name: String,
    /// What `RateLimit-Policy` says of it.
    pub policy: String,
    /// Position in `Policy::limits`; resolves metrics without a look-up.
    pub index: usize,
    pub by: LimitBy,
    pub quota: Quota,
    /// Quotas of users with a role; the most generous of them counts.
    pub roles: HashMap<String, Quota>,
    pub on_store_error: OnStoreError,
    /// Counts and logs who would be refused, and refuses nobody.
    pub observe: bool,
}

impl Limit {
    /// What a caller with these roles may do: the most generous quota among the roles, or the limit's own.
    pub fn quota_of<'r>(&self, roles: impl IntoIterator<Item = &'r String>) -> Quota {
        let own = roles.into_iter().filter_map(|role| self.roles.get(role));
        own.min_by_key(|quota| quota.emission_us).copied().unwrap_or(self.quota)
    }

    /// A member of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers). The name needs no escaping within the
    /// structured field's quotes: the configuration lets no quote in.
    pub fn policy(name: &str, quota: &Quota) -> String {
        format!("\"{name}\";q={};w={}", quota.count, quota.window.as_secs().max(1))
    }
}

/// Whose counter a request goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitBy {
    /// The client's address; IPv6 by /64.
    Address,
    /// The user id; without a user, the address.
    User,
    /// The set of roles; without a user, the address.
    Role,
    /// The value of a request header (lower-case name); without one, the address.
    Header(String),
    /// The value of a path parameter.
    Parameter(String),
}

impl LimitBy {
    /// Whether the counter is known before the bearer is: such limits are charged to thieves too.
    pub fn is_before_identity(&self) -> bool {
        match self {
            Self::Address | Self::Header(_) | Self::Parameter(_) => true,
            Self::User | Self::Role => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreError {
    /// A limiter within this process at the same rate.
    Local,
    Allow,
    Deny,
}

/// How much is allowed: `count` per `window`, at most `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Microseconds that one request uses up: window / count.
    pub emission_us: u64,
    /// Requests that may come at once after a rest; at least 1.
    pub burst: u32,
    /// As configured, for `RateLimit-Policy`.
    pub count: u32,
    pub window: Duration,
    /// No counter stands higher than this, in microseconds. One that does was filled under another quota of the same
    /// name, from before a reload.
    pub ceiling_us: u64,
}

impl Quota {
    /// `burst` is `count` unless the limit says otherwise.
    pub fn new(count: NonZeroU32, window: Duration, burst: NonZeroU32) -> Self {
        let window_us = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let emission_us = (window_us / u64::from(count.get())).max(1);
        Self {
            emission_us,
            burst: burst.get(),
            count: count.get(),
            window,
            ceiling_us: emission_us.saturating_mul(u64::from(burst.get())),
        }
    }

    /// The same beside others for the same counters: no higher than the highest of them may a counter stand. By its own
    /// alone, a caller with two quotas could empty with the smaller one what the larger one has counted.
    pub fn beside(self, others: impl IntoIterator<Item = Self>) -> Self {
        let highest = others.into_iter().map(|other| other.ceiling_us).max();
        Self { ceiling_us: self.ceiling_us.max(highest.unwrap_or_default()), ..self }
    }
}
