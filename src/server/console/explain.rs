//! What would become of a request, and why: `portcullis explain --live` as a form. Tokens have no place
//! here: what stands in an address bar is kept.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Console, Shown, answer, query};
use crate::auth::console::Guest;
use crate::rehearsal::{Caller, Explanation, Question};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: Option<String>,
    url: Option<String>,
    user: Option<String>,
    roles: Option<String>,
    address: Option<std::net::IpAddr>,
}

pub async fn show(State(console): State<Console>, Extension(guest): Extension<Arc<Guest>>) -> Response {
    answer("Explain", &guest, explain(&console, &guest).await)
}

async fn explain(console: &Console, guest: &Guest) -> Shown {
    let asked: Asked = query(&guest.call.uri)?;
    let explained = match question(&asked) {
        Some(question) => Some(console.policy.explain(question).await),
        None => None,
    };
    Ok(html! {
        section { (form(&asked)) }
        @match explained {
            None => {}
            Some(Err(problem)) => section { p .bad { (problem) } },
            Some(Ok(explanation)) => section { (verdict(&explanation)) pre { (explanation) } },
        }
    })
}

fn question(asked: &Asked) -> Option<Question> {
    let roles = asked.roles.as_deref().unwrap_or_default();
    let roles: Vec<String> =
        roles.split([',', ' ']).filter(|role| !role.is_empty()).map(str::to_owned).collect();
    let caller = match asked.user.is_none() && roles.is_empty() {
        true => Caller::Anonymous,
        false => {
            Caller::Account { user: asked.user.clone(), found: None, roles, scopes: Vec::new(), mfa: false }
        }
    };
    Some(Question {
        method: asked.method.clone().unwrap_or_else(|| "GET".to_owned()),
        url: asked.url.clone()?,
        caller,
        address: asked.address,
        headers: Vec::new(),
    })
}

fn form(asked: &Asked) -> Markup {
    let address = asked.address.map(|address| address.to_string());
    html! {
        form .line method="get" action="/console/explain" {
            label {
                "Method"
                select name="method" {
                    @for method in METHODS {
                        option selected[asked.method.as_deref() == Some(method)] { (method) }
                    }
                }
            }
            label { "Path or URL" input name="url" value=[asked.url.as_deref()] placeholder="/admin/dashboard" required size="32"; }
            label { "User (name or id)" input name="user" value=[asked.user.as_deref()]; }
            label { "Roles" input name="roles" value=[asked.roles.as_deref()] placeholder="user, staff"; }
            label { "From" input name="address" value=[address.as_deref()] placeholder="127.0.0.1" size="14"; }
            button { "Explain" }
        }
    }
}

fn verdict(explanation: &Explanation) -> Markup {
    let decision = &explanation.decision;
    html! {
        p {
            @if decision.allowed { strong .good { "allowed" } } @else { strong .bad { "refused: " (decision.code) } }
        }
    }
}
