//! `POST /auth/register`: a new account with the role `user`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::openapi::schemas::{Email, NewPassword, Role, Username};
use super::{Wing, audit, body, email, password};
use crate::accounts::names;
use crate::identity::email as address;
use crate::identity::name::{self, DEFAULT_ROLE};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, NewAccount};

#[derive(Deserialize, ToSchema)]
#[schema(as = Register)]
#[serde(deny_unknown_fields)]
struct Document {
    #[schema(value_type = Username)]
    username: String,
    #[schema(value_type = NewPassword)]
    password: String,
    #[schema(value_type = Option<Email>)]
    email: Option<String>,
    /// Named only to be refused with a reason.
    #[schema(ignore)]
    role: Option<IgnoredAny>,
    #[schema(ignore)]
    roles: Option<IgnoredAny>,
}

#[derive(Serialize, ToSchema)]
struct Registered {
    id: Uuid,
    #[schema(value_type = Vec<Role>)]
    roles: Vec<String>,
    #[schema(value_type = Username)]
    username: String,
}

/// Make an account.
#[utoipa::path(
    post, path = "/register", operation_id = "register", tag = "accounts",
    request_body = Document,
    responses((status = 201, description = "The account", body = Registered)),
    extensions(("x-refusals" = json!(["weak_password", "username_taken", "username_reserved", "registration_closed", "overloaded", "store_unavailable"]))),
)]
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
    let username = name::username(&document.username).map_err(bad_request)?;
    names::check(&username, None, &rules.reserved_names)?;
    let email = match &document.email {
        Some(email) => Some(address::parse(email).map_err(bad_request)?),
        None if rules.email.is_required => return Err(bad_request("An email address is needed here")),
        None => None,
    };
    password::check(&call.settings.policy, &password, &username, email.as_deref())
        .map_err(|reason| Rejection::from(Code::WeakPassword).because(reason))?;

    let password_hash = wing.passwords.hash(password, rules.password.argon2).await?;
    let account = create(&wing, &call, username, email, password_hash).await?;

    email::confirm(&wing, &call, &account);
    let Account { id, roles, username, .. } = account;
    Ok((StatusCode::CREATED, Json(Registered { id, roles, username })).into_response())
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
        email_verified: false,
        must_confirm_email: call.settings.policy.auth.email.is_required,
        password_hash,
        roles: vec![DEFAULT_ROLE.to_owned()],
        created_at: call.now,
    };
    let subject = Subject { user_id: Some(new.id), username: &new.username };
    let record = wing.record(call, AuditEvent::Registered, subject, None);
    let account = wing.stores.accounts.create(&new, &record).await?;
    audit::log(&record);
    Ok(account)
}

fn bad_request(detail: impl Into<String>) -> Refusal {
    Rejection::from(Code::BadRequest).because(detail).into()
}
