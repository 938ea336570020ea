//! `limits:`

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::Compiler;
use super::names::Names;
use super::quantity;
use crate::config::place::Place;
use crate::config::policy::Quota;
use crate::config::policy::{Limit, LimitBy, OnStoreError};
use crate::config::raw::{self, By};

impl Compiler<'_> {
    pub fn limits(&mut self, raw: raw::Table<raw::Limit>, at: &Place<'_>) -> Names<Limit> {
        let mut names = Names::new("limit");
        for (name, limit) in self.entries(raw, at) {
            let place = at.key(&name);
            let index = names.next_index();
            let limit = limit.and_then(|raw| self.limit(&name, index, raw, &place));
            names.define(name, limit);
        }
        names
    }

    fn limit(&mut self, name: &str, index: usize, raw: raw::Limit, at: &Place<'_>) -> Option<Limit> {
        if !is_name(name) {
            let message = "the name of a limit has letters, digits, `_`, `.` and `-` only";
            self.problems.error_in_key(at.path(), message);
        }
        let burst = raw.burst.map(|burst| self.number(at, "burst", Some(burst), 1, 1..=u32::MAX));
        let burst = burst.and_then(NonZeroU32::new);
        let by = match raw.by {
            Some(by) => self.limit_by(by, &at.key("by")),
            None => {
                self.problems.missing(
                    at,
                    "by",
                    "write address, user, role, { header: … } or { parameter: … }",
                );
                None
            }
        };
        let roles = self.role_quotas(raw.roles.unwrap_or_default(), burst, &at.key("roles"));
        let Some(rate) = raw.rate else {
            self.problems.missing(at, "rate", "write it like `rate: 5/1m`");
            return None;
        };
        let quota = self.quota(&rate, burst, &at.key("rate"))?;
        let all: Vec<Quota> = roles.values().copied().chain([quota]).collect();
        let beside = |quota: Quota| quota.beside(all.iter().copied());
        let quota = beside(quota);
        let roles = roles.into_iter().map(|(role, quota)| (role, beside(quota))).collect();
        Some(Limit {
            policy: Limit::policy(name, &quota),
            name: name.to_owned(),
            index,
            quota,
            by: by?,
            roles,
            on_store_error: raw.on_store_error.map_or(OnStoreError::Local, OnStoreError::from),
            observe: raw.mode == Some(raw::Mode::Observe),
        })
    }

    fn role_quotas(
        &mut self,
        raw: raw::Table<String>,
        burst: Option<NonZeroU32>,
        at: &Place<'_>,
    ) -> HashMap<String, Quota> {
        let mut quotas = HashMap::new();
        for (role, rate) in self.entries(raw, at) {
            let place = at.key(&role);
            let quota = rate.and_then(|rate| self.quota(&rate, burst, &place));
            if let (Some(role), Some(quota)) = (self.role(&place, role.clone()), quota) {
                quotas.insert(role, quota);
            }
        }
        quotas
    }

    pub fn quota(&mut self, rate: &str, burst: Option<NonZeroU32>, at: &Place<'_>) -> Option<Quota> {
        match quantity::rate(rate) {
            Ok((count, window)) => Some(Quota::new(count, window, burst.unwrap_or(count))),
            Err(message) => {
                self.problems.error(at, message);
                None
            }
        }
    }

    fn limit_by(&mut self, by: By, at: &Place<'_>) -> Option<LimitBy> {
        match by {
            By::Address => Some(LimitBy::Address),
            By::User => Some(LimitBy::User),
            By::Role => Some(LimitBy::Role),
            By::Named { header: Some(header), parameter: None } => {
                self.header_name(&at.key("header"), &header).map(LimitBy::Header)
            }
            By::Named { header: None, parameter: Some(parameter) } => {
                self.plain_text(&at.key("parameter"), parameter).map(LimitBy::Parameter)
            }
            By::Named { .. } => {
                if !self.problems.is_known(&at.key("header")) && !self.problems.is_known(&at.key("parameter"))
                {
                    self.problems.error(at, "name one header or one parameter");
                }
                None
            }
        }
    }

    /// The limits that a list names, each once.
    pub fn named_limits(
        &mut self,
        raw: raw::List<String>,
        limits: &mut Names<Limit>,
        at: &Place<'_>,
    ) -> Vec<Arc<Limit>> {
        let mut named: Vec<Arc<Limit>> = Vec::new();
        for (index, name) in self.items(raw, at) {
            let place = at.item(index);
            let Some(limit) = limits.resolve(&name, &place, &mut self.problems) else {
                continue;
            };
            if named.iter().any(|other| other.index == limit.index) {
                self.problems.error(&place, format!("{name:?} stands here twice"));
                continue;
            }
            named.push(limit);
        }
        named
    }
}

/// Limits go into store keys and metric labels.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

impl From<raw::OnStoreError> for OnStoreError {
    fn from(choice: raw::OnStoreError) -> Self {
        match choice {
            raw::OnStoreError::Local => Self::Local,
            raw::OnStoreError::Allow => Self::Allow,
            raw::OnStoreError::Deny => Self::Deny,
        }
    }
}
