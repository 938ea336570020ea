//! `POST /auth/register`: a new account with the role `user`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::{Wing, body};
use crate::identity::{name, password};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, CreateError, NewAccount};

const DEFAULT_ROLE: &str = "user";

/// RFC 5321 §4.5.3.1.3 less the angle brackets.
const MAX_EMAIL_BYTES: usize = 254;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    username: String,
    password: String,
    email: Option<String>,
    /// Named only to be refused with a reason.
    role: Option<IgnoredAny>,
    roles: Option<IgnoredAny>,
}

pub async fn register(State(wing): State<Wing>, call: Call) -> Result<Response, Refusal> {
    let rules = &call.settings.policy.auth;
    if !rules.registration_open {
        return Err(Code::RegistrationClosed.into());
    }
    let document: Document = body::json(&call)?;
    let password = Zeroizing::new(document.password);
    if document.role.is_some() || document.roles.is_some() {
        return Err(bad_request("Roles are not accepted here: an administrator grants them"));
    }
    name::check_username(&document.username).map_err(bad_request)?;
    if let Some(email) = &document.email {
        check_email(email).map_err(bad_request)?;
    }
    password::check(&password, &document.username, &rules.password)
        .map_err(|reason| Rejection::from(Code::WeakPassword).because(reason))?;

    let password_hash = wing.passwords.hash(password, rules.password.argon2).await?;
    let account = create(&wing, &call, document.username, document.email, password_hash).await?;
    let subject = Subject { user_id: Some(account.id), username: &account.username };
    wing.audit(&call, AuditEvent::Registered, subject, None).await;

    let body = json!({ "id": account.id, "username": account.username, "roles": account.roles });
    Ok((StatusCode::CREATED, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response())
}

async fn create(
    wing: &Wing,
    call: &Call,
    username: String,
    email: Option<String>,
    password_hash: String,
) -> Result<Account, Refusal> {
    let new = NewAccount {
        id: Uuid::now_v7(),
        username,
        email,
        password_hash,
        roles: vec![DEFAULT_ROLE.to_owned()],
        created_at: call.now,
    };
    wing.stores.accounts.create(&new).await.map_err(|error| match error {
        CreateError::UsernameTaken => Code::UsernameTaken.into(),
        CreateError::Store(error) => error.into(),
    })
}

fn bad_request(detail: impl Into<String>) -> Refusal {
    Rejection::from(Code::BadRequest).because(detail).into()
}

/// Only what a mail could be sent to and a header can carry; whether it arrives, a mail would show.
fn check_email(email: &str) -> Result<(), &'static str> {
    let is_plain = email.bytes().all(|byte| byte.is_ascii_graphic() && !b",;:<>()[]\\\"".contains(&byte));
    let parts = email.split_once('@');
    let is_address = parts.is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.contains('@') && domain.split('.').all(|label| !label.is_empty())
    });
    match is_plain && is_address && email.len() <= MAX_EMAIL_BYTES {
        true => Ok(()),
        false => Err("`email` must be an address such as `alice@example.org`"),
    }
}
