//! `POST /auth/password`: a new password for the old one. Every session ends, and a new one starts.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::call::Call;
use super::grant::{self, Delivery, Tokens, Wanted};
use super::notice::{self, Change};
use super::openapi::schemas::NewPassword;
use super::{Wing, body, confirm, login, me};
use crate::accounts::reauthentication::Proof;
use crate::config::policy::Policy;
use crate::identity::password;
use crate::rejection::{Code, Rejection};
use crate::store::AuditEvent;

#[derive(Deserialize, ToSchema)]
#[schema(as = PasswordChange)]
#[serde(deny_unknown_fields)]
struct Document {
    #[schema(example = "correct horse battery")]
    old_password: Option<String>,
    #[schema(value_type = NewPassword)]
    new_password: String,
    /// Where the account has a second factor: of the app, or a recovery code.
    code: Option<String>,
    refresh_token: Option<Wanted>,
    /// API keys go on.
    #[serde(default)]
    keep_keys: bool,
}

/// Change the password; every session and API key ends, and a new session starts.
#[utoipa::path(
    post, path = "/password", operation_id = "change_password", tag = "accounts",
    request_body = Document,
    responses((status = 200, description = "Tokens", body = Tokens)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["weak_password", "reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn change(State(wing): State<Wing>, call: Call) -> Result<Response, Refusal> {
    let document: Document = body::json(&call)?;
    let proof = Proof::new(document.old_password, document.code);
    let new = Zeroizing::new(document.new_password);
    let delivery = Delivery::of(&call, document.refresh_token);
    let reason = (!document.keep_keys).then_some("password changed");
    let account = me::own_account(&wing, &call).await?;
    let rules = &call.settings.policy.auth.password;
    check(&call.settings.policy, &new, &account.username, account.email.as_deref())
        .map_err(|reason| Rejection::from(Code::WeakPassword).because(reason))?;
    confirm::owner(&wing, &call, &account, proof).await?;
    let hash = wing.passwords.hash(new, rules.argon2).await?;
    let mut record = wing.record(&call, AuditEvent::PasswordChanged, login::about(&account), None);
    notice::add(&wing, &call, &account, Change::Password, &mut record).await;
    let change = wing.stores.accounts.set_password(&account, &hash, call.now, &record);
    let changed = wing.change(&call, &account, reason, change).await?.ok_or(Code::AccountChanged)?;
    notice::stored(&wing, &call, &record);
    let account = changed.ended()?;
    // The bearer has shown the other factors before.
    let amr = call.bearer()?.amr.clone();
    let session = grant::start_session(&wing, &call, &account, &amr).await?;
    Ok(grant::answer(&call, &session, delivery))
}

/// Whether it may become the password of this account. `Err` says in one sentence why not.
pub fn check(policy: &Policy, password: &str, username: &str, email: Option<&str>) -> Result<(), String> {
    let context = [username, email.unwrap_or_default(), &policy.tokens.issuer];
    password::check(password, &context, &policy.auth.password)
}
