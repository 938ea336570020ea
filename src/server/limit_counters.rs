//! The counters of limits that somebody's requests are charged to, and how far they are used up: for
//! `portcullis limit`, and for the admin API.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::seconds_up;
use crate::config::policy::{Limit, LimitBy, Policy, Quota};
use crate::pipeline::arrive::counter_names::{self, Kind};
use crate::store::{Account, Accounts, Counters, Price, StoreError};

/// Whose counters: of one limit, or of all that count such callers. Exactly one of the last four.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// By name or id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// A set of roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Of the header or path parameter that a limit counts by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{0}")]
    Asked(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One counter, and by which quota it is judged.
pub struct Counter {
    limit: Arc<Limit>,
    pub name: String,
    quota: Quota,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Report {
    pub limit: String,
    pub counter: String,
    pub rate: String,
    /// Requests that would pass now.
    pub remaining: u32,
    /// Until the next one passes.
    pub retry_seconds: u64,
    /// Until the counter is at rest.
    pub reset_seconds: u64,
}

/// Whom the subject names.
enum Who {
    User(Box<Account>),
    Address(IpAddr),
    Roles(Vec<String>),
    Value(String),
}

pub async fn show(
    subject: &Subject,
    policy: &Policy,
    accounts: &dyn Accounts,
    counters: &dyn Counters,
) -> Result<Vec<Report>, Problem> {
    let all = find(subject, policy, accounts).await?;
    let names: Vec<String> = all.iter().map(|counter| counter.name.clone()).collect();
    let levels = counters.levels_us(&names).await?;
    Ok(all.iter().zip(levels).map(|(counter, level_us)| counter.report(level_us)).collect())
}

/// The names of those that were reset.
pub async fn reset(
    subject: &Subject,
    policy: &Policy,
    accounts: &dyn Accounts,
    counters: &dyn Counters,
) -> Result<Vec<String>, Problem> {
    let all = find(subject, policy, accounts).await?;
    let names: Vec<String> = all.into_iter().map(|counter| counter.name).collect();
    counters.reset(&names).await?;
    Ok(names)
}

async fn find(subject: &Subject, policy: &Policy, accounts: &dyn Accounts) -> Result<Vec<Counter>, Problem> {
    let asked = |why: &str| Problem::Asked(why.to_owned());
    let is_named = |limit: &&Arc<Limit>| subject.limit.as_ref().is_none_or(|name| *name == limit.name);
    if let Some(name) = &subject.limit
        && !policy.limits.iter().any(|limit| limit.name == *name)
    {
        return Err(Problem::Asked(format!("there is no limit {name:?}")));
    }
    let who = who(subject, accounts).await?;
    let limits = policy.limits.iter().filter(is_named);
    let found: Vec<Counter> = limits.filter_map(|limit| Counter::of(limit, &who)).collect();
    match found.is_empty() {
        true => Err(asked("no limit counts such callers")),
        false => Ok(found),
    }
}

async fn who(subject: &Subject, accounts: &dyn Accounts) -> Result<Who, Problem> {
    match subject {
        Subject { user: Some(user), address: None, roles: None, value: None, .. } => {
            let found = match user.parse() {
                Ok(id) => accounts.find_by_id(id).await?,
                Err(_) => accounts.find_by_username(user).await?,
            };
            let account = found.ok_or_else(|| Problem::Asked("there is no such account".to_owned()))?;
            Ok(Who::User(Box::new(account)))
        }
        Subject { user: None, address: Some(address), roles: None, value: None, .. } => {
            Ok(Who::Address(address.to_canonical()))
        }
        Subject { user: None, address: None, roles: Some(roles), value: None, .. } => {
            Ok(Who::Roles(roles.clone()))
        }
        Subject { user: None, address: None, roles: None, value: Some(value), .. } => {
            Ok(Who::Value(value.clone()))
        }
        _ => Err(Problem::Asked("name one of a user, an address, roles and a value".to_owned())),
    }
}

impl Counter {
    /// `None` for a limit that doesn't count by this. Requests without a user, a header or a parameter are counted by
    /// their address.
    fn of(limit: &Arc<Limit>, who: &Who) -> Option<Self> {
        let own = &limit.name;
        let (name, quota) = match (who, &limit.by) {
            (Who::User(account), LimitBy::User) => {
                (counter_names::of_user(own, account.id), limit.quota_of(&account.roles))
            }
            (Who::User(account), LimitBy::Role) => {
                (counter_names::of_roles(own, &account.roles), limit.quota_of(&account.roles))
            }
            (Who::Roles(roles), LimitBy::Role) => {
                (counter_names::of_roles(own, roles), limit.quota_of(roles))
            }
            (Who::Address(address), _) => {
                (counter_names::of_address(own, *address, &address.to_string()), limit.quota)
            }
            (Who::Value(value), LimitBy::Header(_)) => {
                (counter_names::of_value(own, Kind::Header, value.as_bytes()), limit.quota)
            }
            (Who::Value(value), LimitBy::Parameter(_)) => {
                (counter_names::of_value(own, Kind::Parameter, value.as_bytes()), limit.quota)
            }
            _ => return None,
        };
        Some(Self { limit: limit.clone(), name, quota })
    }

    fn report(&self, level_us: u64) -> Report {
        let verdict = self.quota.verdict(Price::WHOLE, self.quota.clamp_us(level_us), false);
        Report {
            limit: self.limit.name.clone(),
            counter: self.name.clone(),
            rate: rate(&self.quota),
            remaining: verdict.remaining,
            retry_seconds: seconds_up(verdict.retry_after),
            reset_seconds: seconds_up(verdict.reset_after),
        }
    }
}

fn rate(quota: &Quota) -> String {
    let window = match quota.window {
        window if window.subsec_millis() == 0 => format!("{}s", window.as_secs()),
        window => format!("{}ms", Duration::as_millis(&window)),
    };
    format!("{}/{window}, burst {}", quota.count, quota.burst)
}
