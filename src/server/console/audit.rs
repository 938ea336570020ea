//! The audit log, newest first.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::html;
use serde::Deserialize;
use uuid::Uuid;

use super::accounts::refused;
use super::page::time;
use super::{Console, Shown, answer, query};
use crate::auth::console::Guest;
use crate::rejection::{Code, Rejection};
use crate::store::{AuditEvent, AuditFilter};

const PAGE: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// By id, or by the username of one that exists.
    user: Option<String>,
    event: Option<String>,
    before: Option<i64>,
}

pub async fn show(State(console): State<Console>, Extension(guest): Extension<Arc<Guest>>) -> Response {
    answer("Audit", &guest, records(&console, &guest).await)
}

async fn records(console: &Console, guest: &Guest) -> Shown {
    let wanted: Wanted = query(&guest.call.uri)?;
    let administration = guest.administration();
    let user_id = match wanted.user.as_deref().map(|user| (user, Uuid::parse_str(user))) {
        None => None,
        Some((_, Ok(id))) => Some(id),
        Some((name, Err(_))) => {
            Some(administration.find(name).await.map_err(|error| refused(console, error))?.id)
        }
    };
    let unknown = || Rejection::from(Code::BadRequest).because("This is no event of the audit log");
    let event =
        wanted.event.as_deref().map(|word| AuditEvent::parse(word).ok_or_else(unknown)).transpose()?;
    let filter = AuditFilter { user_id, event, before_id: wanted.before, ..AuditFilter::default() };
    let mut entries =
        administration.audit(&filter, PAGE + 1).await.map_err(|error| refused(console, error))?;
    let next = entries.get(PAGE as usize).is_some().then(|| entries[PAGE as usize - 1].id);
    entries.truncate(PAGE as usize);
    Ok(html! {
        section {
            form .line method="get" action="/console/audit" {
                label { "User (name or id)" input name="user" value=[wanted.user.as_deref()]; }
                label {
                    "Event"
                    select name="event" {
                        option value="" { "all" }
                        @for known in AuditEvent::ALL {
                            option value=(known.as_str()) selected[event == Some(known)] { (known.as_str()) }
                        }
                    }
                }
                button { "Show" }
            }
        }
        section {
            table {
                tr { th { "When" } th { "Event" } th { "About" } th { "By" } th { "From" } th { "Program" } th { "Detail" } }
                @for entry in &entries {
                    @let record = &entry.record;
                    tr {
                        td { (time(record.at)) }
                        td class=(if record.event.outcome() == "failure" { "bad" } else { "" }) { (record.event.as_str()) }
                        td { (record.username) }
                        td { (record.actor.as_deref().unwrap_or("")) }
                        td { @if let Some(address) = record.address { (address) } }
                        td .faint { (record.user_agent.as_deref().unwrap_or("")) }
                        td { (record.detail.as_deref().unwrap_or("")) }
                    }
                }
            }
            @if entries.is_empty() { p .faint { "None." } }
            @if let Some(next) = next { p { a href=(next_page(&wanted, next)) { "Older ones" } } }
        }
    })
}

fn next_page(wanted: &Wanted, before: i64) -> String {
    let before = before.to_string();
    let fields = [
        ("user", wanted.user.as_deref().unwrap_or_default()),
        ("event", wanted.event.as_deref().unwrap_or_default()),
        ("before", &before),
    ];
    format!("/console/audit?{}", serde_urlencoded::to_string(fields).unwrap_or_default())
}
