//! How things are: stores, upstreams, mirror, traffic and refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::page::{fact, time};
use super::{Console, answer, chart};
use crate::auth::console::Guest;
use crate::server::health::Readiness;
use crate::telemetry::metrics::DecisionCount;

/// The longest bars.
const SHOWN: usize = 10;

pub async fn show(State(console): State<Console>, Extension(guest): Extension<Arc<Guest>>) -> Response {
    let (_, readiness) = console.health.read().await;
    let decisions = console.metrics.decisions();
    let (requests, denied) = console.history.rates();
    let content = html! {
        div data-live {
            div .columns {
                section { h2 { "Health" } (health(&readiness)) }
                section { h2 { "Policy" } (policy(&console)) }
            }
            section {
                h2 { "Requests per second" }
                (chart::lines("Requests per second", "The last half hour; refusals in red", &[("", requests), ("bad", denied)]))
            }
            div .columns {
                section {
                    h2 { "Requests by route" }
                    (chart::bars("Requests by route", "", &top(&decisions, |_| true, |decision| decision.route.clone())))
                }
                section {
                    h2 { "Refusals by reason" }
                    (chart::bars("Refusals by reason", "bad", &top(&decisions, |decision| decision.is_denied, |decision| decision.reason.clone())))
                }
                section {
                    h2 { "Refusals by route" }
                    (chart::bars("Refusals by route", "bad", &top(&decisions, |decision| decision.is_denied, |decision| decision.route.clone())))
                }
                section { h2 { "Upstreams" } (upstreams(&console)) }
                section {
                    h2 { "Failures of upstreams by cause" }
                    (chart::bars("Failures of upstreams by cause", "bad", &failures(&console)))
                }
            }
        }
    };
    answer("Overview", &guest, Ok(content))
}

fn health(readiness: &Readiness) -> Markup {
    let look = |word: &str| match word {
        "ok" | "ready" | "mirrored" => "good",
        "down" | "not ready" | "refused" => "bad",
        _ => "odd",
    };
    let word = |word: &'static str| html! { span class=(look(word)) { (word) } };
    html! {
        table {
            (fact("Gateway", word(readiness.status)))
            (fact("Accounts", word(readiness.accounts)))
            (fact("State", word(readiness.state)))
            (fact("Revocations", html! { (readiness.revocations) }))
            (fact("Last reload", word(readiness.last_reload)))
            @if readiness.draining { (fact("Draining", "yes")) }
        }
    }
}

fn policy(console: &Console) -> Markup {
    let edition = console.policy.editions.load();
    html! {
        table {
            (fact("Hash", html! { code { (&edition.policy.digest[..16.min(edition.policy.digest.len())]) } }))
            (fact("In force since", time(edition.since)))
            (fact("Routes", edition.policy.routes.routes().len()))
        }
        p { a href="/console/policy" { "The policy and the last try to replace it" } }
    }
}

/// The largest sums, largest first.
fn top(
    decisions: &[DecisionCount],
    counts: impl Fn(&DecisionCount) -> bool,
    name: impl Fn(&DecisionCount) -> String,
) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for decision in decisions.iter().filter(|decision| decision.count > 0 && counts(decision)) {
        *sums.entry(name(decision)).or_default() += decision.count;
    }
    let mut sums: Vec<(String, u64)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sums.truncate(SHOWN);
    sums
}

/// The most frequent first.
fn failures(console: &Console) -> Vec<(String, u64)> {
    let mut failures: Vec<(String, u64)> = console.metrics.failures();
    failures.retain(|(_, count)| *count > 0);
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    failures.truncate(SHOWN);
    failures
}

fn upstreams(console: &Console) -> Markup {
    let edition = console.policy.editions.load();
    html! {
        table {
            tr { th { "Upstream" } th { "Server" } th { "" } }
            @for upstream in &edition.policy.upstreams {
                @let servers = edition.balancers.get(upstream.index).map(|balancer| balancer.standing()).unwrap_or_default();
                @if servers.is_empty() {
                    tr { td { (upstream.name) } td .bad { "no name resolves" } td {} }
                }
                @for (address, is_passed_over) in servers {
                    tr {
                        td { (upstream.name) }
                        td { code { (address) } }
                        @if is_passed_over { td .bad { "unreachable a moment ago" } } @else { td .good { "in use" } }
                    }
                }
            }
        }
    }
}
