//! Series that are there before the first event: an alert on a rate misses the event with which a series begins.

use super::Metrics;
use crate::config::policy::{AuthEndpoint, Destination, Policy};
use crate::rejection::Code;

/// Each counter with the values of its label that are known from the start.
const LOGINS: [&str; 10] = [
    "success",
    "bad_credentials",
    "account_locked",
    "account_disabled",
    "email_not_verified",
    "mfa_required",
    "mfa_code_invalid",
    "bad_request",
    "overloaded",
    "store_unavailable",
];
const REFRESHES: [&str; 7] = [
    "rotated",
    "repeated",
    "kept",
    "refresh_invalid",
    "refresh_reused",
    "account_disabled",
    "store_unavailable",
];
const REVOCATIONS: [&str; 3] = ["session", "user", "key"];
const MAILS: [&str; 5] = ["sent", "failed", "limited", "lost", "dropped"];
const CACHE_OUTCOMES: [&str; 7] = ["hit", "miss", "stale", "expired", "revalidated", "uncacheable", "bypass"];

/// What most outages of an upstream have for a cause.
const FAILURES: [&str; 8] = [
    "refused",
    "dns",
    "reset",
    "closed: no answer",
    "closed: unfinished body",
    "timeout: connect",
    "timeout: first byte",
    "timeout: body",
];

/// What doesn't depend on a policy.
pub fn of_process(metrics: &Metrics) {
    let families: [(_, &[&str]); 4] = [
        (&metrics.login_attempts, &LOGINS),
        (&metrics.refreshes, &REFRESHES),
        (&metrics.revocations, &REVOCATIONS),
        (&metrics.mails, &MAILS),
    ];
    for (counter, values) in families {
        for value in values {
            counter.with_label_values(&[*value]);
        }
    }
}

/// What a policy names. Of refusals only those that tell of an attack or a failure: all of them for each of
/// thousands of routes would be a longer page than Prometheus likes.
pub fn of_policy(policy: &Policy, metrics: &Metrics) {
    for upstream in &policy.upstreams {
        for cause in FAILURES {
            metrics.upstream_failures.with_label_values(&[upstream.name.as_str(), cause]);
        }
    }
    for route in policy.routes.routes() {
        if route.cache.is_some() {
            for outcome in CACHE_OUTCOMES {
                metrics.cache_requests.with_label_values(&[route.name.as_str(), outcome]);
            }
        }
        if let Destination::Auth(endpoint) = route.destination {
            for code in refusals(endpoint) {
                metrics.auth_decisions.with_label_values(&[route.name.as_str(), "deny", code.as_str()]);
            }
        }
    }
}

fn refusals(endpoint: AuthEndpoint) -> &'static [Code] {
    match endpoint {
        AuthEndpoint::Login => {
            &[Code::BadCredentials, Code::AccountLocked, Code::Overloaded, Code::StoreUnavailable]
        }
        AuthEndpoint::Token => &[
            Code::BadCredentials,
            Code::AccountLocked,
            Code::RefreshInvalid,
            Code::RefreshReused,
            Code::Overloaded,
            Code::StoreUnavailable,
        ],
        AuthEndpoint::Refresh => &[Code::RefreshInvalid, Code::RefreshReused, Code::StoreUnavailable],
        AuthEndpoint::Logout | AuthEndpoint::Register => &[Code::StoreUnavailable],
        _ => &[],
    }
}
