//! `POST /auth/password/forgot` and `/auth/password/reset`: a new password for whoever reads the mail of
//! an account. It ends what a changed password ends, and says nothing about a second factor.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::call::Call;
use super::email::{self, Address};
use super::notice::{self, Change};
use super::openapi::schemas::NewPassword;
use super::{Wing, body, login, password};
use crate::identity::one_time;
use crate::rejection::{Code, Rejection};
use crate::store::{AuditEvent, Purpose};

#[derive(Deserialize, ToSchema)]
#[schema(as = PasswordReset)]
#[serde(deny_unknown_fields)]
struct Document {
    token: String,
    #[schema(value_type = NewPassword)]
    new_password: String,
    /// API keys go on.
    #[serde(default)]
    keep_keys: bool,
}

/// Have a mail sent that leads to a new password.
#[utoipa::path(
    post, path = "/password/forgot", operation_id = "forgot_password", tag = "accounts",
    request_body = Address,
    responses((status = 202, description = "Mail goes to whoever has this address, if anybody has it")),
    extensions(("x-refusals" = json!(["not_found", "store_unavailable"]))),
)]
pub async fn forgot(State(wing): State<Wing>, call: Call) -> Result<StatusCode, Refusal> {
    let Address { email } = body::json(&call)?;
    email::request(&wing, &call, Purpose::ResetPassword, &email).await
}

/// Set a new password by the token of a mail.
///
/// The token stays good until it has led to a password that is good enough.
#[utoipa::path(
    post, path = "/password/reset", operation_id = "reset_password", tag = "accounts",
    request_body = Document,
    responses((status = 204, description = "Replaced; every session and API key has ended")),
    extensions(("x-refusals" = json!(["one_time_token_invalid", "weak_password", "store_unavailable"]))),
)]
pub async fn reset(State(wing): State<Wing>, call: Call) -> Result<StatusCode, Refusal> {
    let document: Document = body::json(&call)?;
    let new = Zeroizing::new(document.new_password);
    let token = one_time::hash(&document.token);
    let account = email::owner(&wing, &call, &token, Purpose::ResetPassword).await?;
    let policy = &call.settings.policy;
    password::check(policy, &new, &account.username, account.email.as_deref())
        .map_err(|reason| Rejection::from(Code::WeakPassword).because(reason))?;
    let hash = wing.passwords.hash(new, policy.auth.password.argon2).await?;

    let mut record = wing.record(&call, AuditEvent::PasswordReset, login::about(&account), None);
    notice::add(&wing, &call, &account, Change::Password, &mut record).await;
    let change = wing.stores.one_time_tokens.reset_password(&token, &hash, call.now, &record);
    let reason = (!document.keep_keys).then_some("password reset by mail");
    let Some(changed) = wing.change(&call, &account, reason, change).await? else {
        return email::refuse(&wing, &call).await;
    };
    notice::stored(&wing, &call, &record);
    let changed = changed.ended()?;
    // Whoever guessed at the old one has locked nobody out; guesses at a second factor still lock for their time.
    match changed.has_second_factor {
        true => wing.stores.lockouts.clear_in_a_row(changed.id).await?,
        false => drop(wing.stores.lockouts.clear(changed.id).await?),
    }
    Ok(StatusCode::NO_CONTENT)
}
