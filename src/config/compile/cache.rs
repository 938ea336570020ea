//! `cache:`, and that of a route.

use std::time::Duration;

use http::Method;

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{Access, CacheRule, CacheSettings, MethodSet, QueryKey, VaryBy};
use crate::config::raw;

const DEFAULT_MAX_SIZE: u64 = 1 << 20;
const LARGEST_MAX_SIZE: u64 = 1 << 30;

const DEFAULT_MEMORY: u64 = 64 << 20;
const SMALLEST_MEMORY: u64 = 1 << 20;
const LARGEST_MEMORY: u64 = 1 << 40;

/// What a hit costs, unless the route says otherwise; in thousandths.
const WHOLE_REQUEST: u32 = 1000;

impl Compiler<'_> {
    pub fn cache_settings(&mut self, raw: raw::CacheSettings, at: &Place<'_>) -> CacheSettings {
        let bounds = SMALLEST_MEMORY..=LARGEST_MEMORY;
        CacheSettings {
            enabled: raw.enabled.unwrap_or(true),
            memory: self.size(at, "memory", raw.memory, DEFAULT_MEMORY, bounds),
        }
    }

    pub fn cache(
        &mut self,
        raw: raw::Cache,
        methods: &MethodSet,
        access: &Access,
        at: &Place<'_>,
    ) -> Option<CacheRule> {
        if !methods.contains(&Method::GET) {
            self.problems.error(at, "only answers to GET are cached, and this route doesn't take it");
        }
        let vary_by = self.vary_by(raw.vary_by, access, at);
        let ttl = match raw.ttl {
            Some(ttl) => Some(self.positive_duration(at, "ttl", Some(ttl), Duration::from_secs(1))),
            None => {
                self.problems.missing(at, "ttl", "write it like `ttl: 60s`");
                None
            }
        };
        let max_size = self.size(at, "max_size", raw.max_size, DEFAULT_MAX_SIZE, 1..=LARGEST_MAX_SIZE);
        let zero = Duration::ZERO;
        Some(CacheRule {
            query: self.cache_query(raw.query, &at.key("query")),
            headers: self.cache_headers(raw.headers.unwrap_or_default(), &at.key("headers")),
            forward: self.cache_headers(raw.forward.unwrap_or_default(), &at.key("forward")),
            max_size: usize::try_from(max_size).unwrap_or(usize::MAX),
            statuses: self.cache_statuses(raw.statuses, &at.key("statuses")),
            respect_origin: raw.respect_origin.unwrap_or(true),
            stale_while_revalidate: self.duration(
                at,
                "stale_while_revalidate",
                raw.stale_while_revalidate,
                zero,
            ),
            stale_if_error: self.duration(at, "stale_if_error", raw.stale_if_error, zero),
            respect_client: raw.respect_client.unwrap_or(false),
            hit_cost: self.hit_cost(raw.hit_cost, &at.key("hit_cost")),
            invalidate: raw.invalidate.unwrap_or(vary_by == Some(VaryBy::User)),
            ttl: ttl?,
            vary_by: vary_by?,
        })
    }

    fn vary_by(&mut self, raw: Option<raw::VaryBy>, access: &Access, at: &Place<'_>) -> Option<VaryBy> {
        let Some(vary_by) = raw else {
            let choices = "choose `user` (one answer per user), `role` (one per set of roles) \
                           or `shared` (one for everybody who may use the route)";
            self.problems.missing(at, "vary_by", choices);
            return None;
        };
        if *access == Access::Public && vary_by != raw::VaryBy::Shared {
            let message = "a public route knows nobody; write `shared`, or `access: optional`";
            self.problems.error(&at.key("vary_by"), message);
        }
        Some(match vary_by {
            raw::VaryBy::User => VaryBy::User,
            raw::VaryBy::Role => VaryBy::Role,
            raw::VaryBy::Shared => VaryBy::Shared,
        })
    }

    fn hit_cost(&mut self, raw: Option<String>, at: &Place<'_>) -> u32 {
        let Some(text) = raw else { return WHOLE_REQUEST };
        thousandths(&text).unwrap_or_else(|| {
            let message = "isn't a part of a request; write a number from 0 to 1 with three decimals at most";
            self.problems.error(at, format!("{text:?} {message}"));
            WHOLE_REQUEST
        })
    }

    fn cache_query(&mut self, raw: Option<raw::Query>, at: &Place<'_>) -> QueryKey {
        match raw {
            None | Some(raw::Query::All) => QueryKey::All,
            Some(raw::Query::Only(names)) => {
                QueryKey::Only(self.items(names, at).into_iter().map(|(_, name)| name).collect())
            }
        }
    }

    fn cache_headers(&mut self, raw: raw::List<String>, at: &Place<'_>) -> Vec<String> {
        let items = self.items(raw, at);
        items.iter().filter_map(|(index, name)| self.header_name(&at.item(*index), name)).collect()
    }

    fn cache_statuses(&mut self, raw: Option<raw::List<u64>>, at: &Place<'_>) -> Vec<u16> {
        let Some(raw) = raw else {
            return vec![200];
        };
        if raw.is_empty() {
            self.problems.error(at, "without a status nothing is cached; write `[200]`");
        }
        let mut statuses = Vec::new();
        for (index, status) in self.items(raw, at) {
            match u16::try_from(status) {
                // A part (206) or a "not modified" (304) isn't an answer of its own.
                Ok(status) if (200..600).contains(&status) && status != 206 && status != 304 => {
                    statuses.push(status);
                }
                _ => self.problems.error(&at.item(index), format!("{status} can't be cached")),
            }
        }
        statuses
    }
}

/// `0`, `0.25`, `1`.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 3 {
        return None;
    }
    let thousandths =
        whole.parse::<u32>().ok()?.checked_mul(1000)? + format!("{decimals:0<3}").parse::<u32>().ok()?;
    (thousandths <= WHOLE_REQUEST).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_request_lies_between_0_and_1() {
        for (text, meant) in [("0", 0), ("0.0", 0), ("0.25", 250), ("0.001", 1), ("1", 1000), ("1.0", 1000)] {
            assert_eq!(thousandths(text), Some(meant), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-0.5", "1.001", "2", "0.0001", "half", "1e-1", "9999999999"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }
}
