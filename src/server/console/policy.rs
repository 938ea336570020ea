//! The policy in force, and what became of the last try to replace it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::page::{fact, time};
use super::{Console, answer};
use crate::auth::console::Guest;
use crate::rehearsal::describe_access;
use crate::rehearsal::shape::Shape;

/// Longer tables are for `portcullis diff --live` and the file itself.
const SHOWN: usize = 500;

pub async fn show(State(console): State<Console>, Extension(guest): Extension<Arc<Guest>>) -> Response {
    let edition = console.policy.editions.load_full();
    let last_try = console.policy.status.last_try();
    let content = html! {
        section {
            table {
                (fact("Hash", html! { code { (edition.policy.digest) } }))
                (fact("In force since", time(edition.since)))
                (fact("Last try", time(last_try.at)))
                (fact("Outcome", outcome(last_try.problems.is_empty())))
            }
        }
        @if !last_try.problems.is_empty() {
            section {
                h2 { "Why it was refused" }
                pre .bad {
                    @for problem in &last_try.problems { (problem.to_string()) "\n" }
                }
            }
        }
        section { h2 { "Routes" } (routes(&Shape::of(&edition.policy))) }
    };
    answer("Policy", &guest, Ok(content))
}

fn outcome(is_in_force: bool) -> Markup {
    match is_in_force {
        true => html! { span .good { "in force" } },
        false => html! { span .bad { "refused; the running policy stays" } },
    }
}

fn routes(shape: &Shape) -> Markup {
    html! {
        table {
            tr { th { "Route" } th { "Host" } th { "Methods" } th { "Access" } th { "Upstream" } }
            @for route in shape.routes.iter().take(SHOWN) {
                tr {
                    td { code { (route.path) } }
                    td { (route.host.as_deref().unwrap_or("any")) }
                    td { (route.methods.as_ref().map_or("any".to_owned(), |methods| methods.join(", "))) }
                    td { (describe_access(&route.access)) }
                    td { (route.upstream) }
                }
            }
        }
        @if shape.routes.len() > SHOWN { p .faint { "and " (shape.routes.len() - SHOWN) " more" } }
    }
}
