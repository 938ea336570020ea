//! Users with their sessions and API keys, and the forms for what can be done to them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::account_deeds::said;
use super::page::{deed, fact, time};
use super::{Console, Shown, answer, query};
use crate::auth::administration::AdministrationError;
use crate::auth::api::call::page;
use crate::auth::console::Guest;
use crate::identity::{SessionId, api_key};
use crate::rejection::Rejection;
use crate::store::lockouts::Lockout;
use crate::store::{Account, AccountFilter, ApiKey, Session, SessionPage};

const PAGE: u32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What the username begins with.
    search: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    done: Option<String>,
    /// A session: those that began before it.
    after: Option<SessionId>,
}

pub async fn list(State(console): State<Console>, Extension(guest): Extension<Arc<Guest>>) -> Response {
    answer("Users", &guest, find(&console, &guest).await)
}

async fn find(console: &Console, guest: &Guest) -> Shown {
    let wanted: Wanted = query(&guest.call.uri)?;
    let filter = AccountFilter { prefix: wanted.search.as_deref(), after: wanted.after.as_deref() };
    let found = guest.administration().list(filter, PAGE + 1).await;
    let found = found.map_err(|error| refused(console, error))?;
    let (accounts, next) = page(found, PAGE, |account| account.username.clone());
    let lockouts =
        guest.administration().lockouts(&accounts).await.map_err(|error| refused(console, error))?;
    Ok(html! {
        section {
            form .line method="get" action="/console/users" {
                label { "Username begins with" input name="search" value=[wanted.search.as_deref()]; }
                button { "Search" }
            }
        }
        section {
            table {
                tr { th { "Username" } th { "Roles" } th { "State" } th { "Since" } }
                @for (account, lockout) in accounts.iter().zip(&lockouts) {
                    tr {
                        td { a href=(path_of(account)) { (account.username) } }
                        td { (account.roles.join(", ")) }
                        td { (standing(account, lockout)) }
                        td { (time(account.created_at)) }
                    }
                }
            }
            @if accounts.is_empty() { p .faint { "Nobody." } }
            @if let Some(next) = next {
                p { a href=(next_page(wanted.search.as_deref(), &next)) { "More" } }
            }
        }
    })
}

fn next_page(search: Option<&str>, after: &str) -> String {
    let fields = [("search", search.unwrap_or_default()), ("after", after)];
    format!("/console/users?{}", serde_urlencoded::to_string(fields).unwrap_or_default())
}

pub fn path_of(account: &Account) -> String {
    format!("/console/users/{}", account.id)
}

fn standing(account: &Account, lockout: &Lockout) -> Markup {
    let locks = lockout.parts();
    html! {
        @if account.disabled {
            span .bad { "disabled" }
        } @else if locks.is_empty() {
            span .good { "active" }
        }
        @for (whom, until) in locks {
            " " span .bad {
                "locked for " (whom) " until "
                @match until { Some(until) => (time(until)), None => "a reset" }
            }
        }
    }
}

pub async fn show(
    State(console): State<Console>,
    Extension(guest): Extension<Arc<Guest>>,
    Path(id): Path<String>,
) -> Response {
    answer("User", &guest, one(&console, &guest, &id).await)
}

async fn one(console: &Console, guest: &Guest, id: &str) -> Shown {
    let wanted: Done = query(&guest.call.uri)?;
    let administration = guest.administration();
    let found = administration.find_with_lockout(id).await;
    let (account, lockout) = found.map_err(|error| refused(console, error))?;
    let asked = SessionPage { after: wanted.after, limit: PAGE + 1 };
    let found = administration.sessions(&account.id.to_string(), asked).await;
    let found = found.map_err(|error| refused(console, error))?;
    let (sessions, next) = page(found, PAGE, |session| session.id);
    let keys = administration.keys(&account.id.to_string()).await.map_err(|error| refused(console, error))?;
    Ok(html! {
        @if let Some(said) = wanted.done.as_deref().and_then(said) { section .said { (said) } }
        section {
            table {
                (fact("Username", &account.username))
                (fact("Id", html! { code { (account.id) } }))
                (fact("Email", email(&account)))
                (fact("Roles", account.roles.join(", ")))
                (fact("State", standing(&account, &lockout)))
                (fact("Since", time(account.created_at)))
            }
        }
        section {
            h2 { "What can be done" }
            (deeds(guest, &account))
            (roles_form(guest, &account))
            (email_form(guest, &account))
            p .faint { "Disabling and ending sessions take effect at every gateway at once." }
        }
        section {
            h2 { "Sessions" }
            (table_of(guest, &sessions))
            @if let Some(next) = next {
                p { a href=(format!("{}?after={next}", path_of(&account))) { "More" } }
            }
        }
        section { h2 { "API keys" } (table_of_keys(guest, keys)) }
        p { a href=(format!("/console/audit?user={}", account.id)) { "Audit records of this user" } }
    })
}

fn email(account: &Account) -> String {
    let mut addresses = Vec::new();
    addresses.extend(account.confirmed_email().map(|email| format!("{email} (confirmed)")));
    addresses.extend(account.unconfirmed_email().map(|email| format!("{email} (not confirmed)")));
    match addresses.is_empty() {
        true => "none".to_owned(),
        false => addresses.join(", "),
    }
}

fn deeds(guest: &Guest, account: &Account) -> Markup {
    let path = path_of(account);
    html! {
        (deed(&format!("{path}/unlock"), guest, "Unlock", "quiet", None))
        @if account.unconfirmed_email().is_some() {
            (deed(&format!("{path}/confirm-email"), guest, "Confirm address", "quiet", Some("Confirm this address? If it is the first confirmed one, the user's API keys end.")))
        }
        (deed(&format!("{path}/end-sessions"), guest, "End all sessions and keys", "quiet", Some("End all sessions and API keys of this user?")))
        (deed(&format!("{path}/end-sessions-only"), guest, "End all sessions, keep keys", "quiet", Some("End all sessions of this user? API keys go on.")))
        (deed(&format!("{path}/mend"), guest, "Mend after a restored dump", "quiet", Some("End all sessions and tokens of this user, also those that a restored dump brought back?")))
        @if account.disabled {
            (deed(&format!("{path}/enable"), guest, "Enable", "", None))
        } @else {
            (deed(&format!("{path}/disable"), guest, "Disable", "danger", Some("Disable this account and end its sessions?")))
        }
    }
}

fn roles_form(guest: &Guest, account: &Account) -> Markup {
    html! {
        form .line method="post" action=(format!("{}/roles", path_of(account))) {
            input type="hidden" name="form_token" value=(guest.form_token);
            label { "Roles, with spaces between them" input name="roles" value=(account.roles.join(" ")) required; }
            label { "They may make an operator of the gateway" input type="checkbox" name="allow_operators" value="true"; }
            label { "One is new, however it looks" input type="checkbox" name="new_role" value="true"; }
            button .quiet { "Replace roles" }
        }
    }
}

fn email_form(guest: &Guest, account: &Account) -> Markup {
    html! {
        form .line method="post" action=(format!("{}/email", path_of(account))) {
            input type="hidden" name="form_token" value=(guest.form_token);
            label { "Email address" input name="email" value=[account.latest_email()] required; }
            label { "It is the user's own, and needs no mail to confirm it (a first confirmed address ends the API keys)" input type="checkbox" name="confirmed" value="true"; }
            button .quiet { "Replace address" }
        }
    }
}

fn table_of(guest: &Guest, sessions: &[Session]) -> Markup {
    html! {
        @if sessions.is_empty() { p .faint { "None." } } @else {
            table {
                tr { th { "Begun" } th { "Last used" } th { "Address" } th { "Program" } th { "" } }
                @for session in sessions {
                    tr {
                        td { (time(session.created_at)) }
                        td { (time(session.rotated_at)) }
                        td { @if let Some(address) = session.address { (address) } }
                        td { (session.user_agent.as_deref().unwrap_or("unknown")) }
                        td { (deed(&format!("/console/sessions/{}/end", session.id), guest, "End", "quiet", None)) }
                    }
                }
            }
        }
    }
}

fn table_of_keys(guest: &Guest, keys: Vec<(ApiKey, String)>) -> Markup {
    let max_ttl = guest.call.settings.policy.auth.keys.max_ttl;
    html! {
        @if keys.is_empty() { p .faint { "None." } } @else {
            table {
                tr { th { "Key" } th { "Name" } th { "Roles" } th { "Made" } th { "Until" } th { "Last used" } th { "" } }
                @for (key, _) in &keys {
                    tr {
                        td { code { (api_key::shown(key.id)) } }
                        td { (key.name) }
                        td { (key.roles.join(", ")) }
                        td { (time(key.created_at)) }
                        td { @if let Some(end) = key.ends_at(max_ttl) { (time(end)) } @else { "deleted" } }
                        td { @if let Some(used) = key.last_used_at { (time(used)) } @else { "never" } }
                        td { (deed(&format!("/console/keys/{}/end", key.id), guest, "End", "quiet", None)) }
                    }
                }
            }
        }
    }
}

/// As the admin API says it.
pub fn refused(console: &Console, error: AdministrationError) -> Rejection {
    console.door.note(&error.into())
}
