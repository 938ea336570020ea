//! What an operator does to users, sessions and API keys by the forms of their pages.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::accounts::{path_of, refused};
use super::{Console, go, page};
use crate::accounts::roles::{Unknown, unknown};
use crate::auth::console::Guest;
use crate::identity::SessionId;
use crate::rejection::{Code, Rejection};

/// The fields of the form for roles; a box that isn't ticked isn't sent.
#[derive(Deserialize)]
struct Roles {
    roles: String,
    allow_operators: Option<String>,
    new_role: Option<String>,
}

/// The fields of the form for an address.
#[derive(Deserialize)]
struct Address {
    email: String,
    confirmed: Option<String>,
}

/// As the command line does.
fn check_spelling(guest: &Guest, roles: &[String], new_role: bool) -> Result<(), Rejection> {
    let policy = &guest.call.settings.policy;
    let misspelled = unknown(policy, roles).into_iter().find(|unknown| unknown.meant.is_some());
    match misspelled.filter(|_| !new_role) {
        Some(Unknown { role, meant }) => {
            let meant = meant.unwrap_or_default();
            let detail = format!(
                "Nothing names the role {role:?}; did you mean {meant:?}? If not, say that it is new"
            );
            Err(Rejection::from(Code::BadRequest).because(detail))
        }
        None => Ok(()),
    }
}

/// Only our own words, whatever stands in the address.
pub fn said(done: &str) -> Option<&'static str> {
    Some(match done {
        "mend" => "Mended: sessions and tokens of before have ended.",
        "unlock" => "Unlocked: failed logins are forgotten.",
        "disable" => "Disabled: sessions and tokens have ended.",
        "enable" => "Enabled.",
        "end-sessions" => "All sessions and API keys have ended.",
        "end-sessions-only" => "All sessions have ended; API keys go on.",
        "key" => "The API key has ended.",
        "session" => "The session has ended.",
        "email" => "The address has been replaced; older tokens are stale.",
        "confirm-email" => "The address counts as confirmed.",
        "roles" => "The roles have been replaced; older tokens are stale.",
        _ => return None,
    })
}

pub async fn act(
    State(console): State<Console>,
    Extension(guest): Extension<Arc<Guest>>,
    Path((id, deed)): Path<(String, String)>,
) -> Response {
    let done = async {
        guest.form::<IgnoredAny>()?;
        let administration = guest.administration();
        let done = match deed.as_str() {
            "unlock" => administration.unlock(&id).await.map(drop),
            "disable" => administration.set_disabled(&id, true).await.map(drop),
            "enable" => administration.set_disabled(&id, false).await.map(drop),
            "end-sessions" => administration.end_sessions(&id, false).await.map(drop),
            "end-sessions-only" => administration.end_sessions(&id, true).await.map(drop),
            "mend" => administration.mend(&id).await.map(drop),
            "confirm-email" => administration.confirm_email(&id, false).await.map(drop),
            "email" => {
                let Address { email, confirmed } = guest.form()?;
                administration.set_email(&id, &email, confirmed.is_some(), false).await.map(drop)
            }
            "roles" => {
                let Roles { roles, allow_operators, new_role } = guest.form()?;
                let roles: Vec<String> = roles.split_whitespace().map(str::to_owned).collect();
                let had = administration.find(&id).await.map_err(|error| refused(&console, error))?.roles;
                let new: Vec<String> = roles.iter().filter(|role| !had.contains(role)).cloned().collect();
                check_spelling(&guest, &new, new_role.is_some())?;
                administration.set_roles(&id, &roles, allow_operators.is_some()).await.map(drop)
            }
            _ => return Err(Code::RouteNotFound.into()),
        };
        let account = match done {
            Ok(()) => administration.find(&id).await,
            Err(error) => Err(error),
        };
        account.map_err(|error| refused(&console, error))
    };
    match done.await {
        Ok(account) => go(&format!("{}?done={deed}", path_of(&account))),
        Err(rejection) => page::refusal(&rejection),
    }
}

pub async fn end_session(
    State(console): State<Console>,
    Extension(guest): Extension<Arc<Guest>>,
    Path(id): Path<String>,
) -> Response {
    let ended = async {
        guest.form::<IgnoredAny>()?;
        let id = SessionId::parse_str(&id).map_err(|_| Rejection::from(Code::NotFound))?;
        let administration = guest.administration();
        let session = administration.stores.sessions.find(id, guest.call.now).await;
        administration.end_session(id).await.map_err(|error| refused(&console, error))?;
        Ok(session.ok().flatten().map(|session| session.user_id))
    };
    match ended.await {
        Ok(Some(user)) => go(&format!("/console/users/{user}?done=session")),
        Ok(None) => go("/console/users"),
        Err(rejection) => page::refusal(&rejection),
    }
}

pub async fn end_key(
    State(console): State<Console>,
    Extension(guest): Extension<Arc<Guest>>,
    Path(id): Path<String>,
) -> Response {
    let ended = async {
        guest.form::<IgnoredAny>()?;
        guest.administration().end_key(&id).await.map_err(|error| refused(&console, error))
    };
    match ended.await {
        Ok(account) => go(&format!("{}?done=key", path_of(&account))),
        Err(rejection) => page::refusal(&rejection),
    }
}
