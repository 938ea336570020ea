//! The second step of a login, and of whatever asks for it again: a code of the authenticator app, or a
//! recovery code. Wrong ones count like wrong passwords, and lock the account like them.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Refusal;
use super::call::Call;
use super::grant::{self, Delivery, Tokens, Wanted};
use super::guess::Guess;
use super::{Wing, body, device, email, login};
use crate::clock::unix_seconds;
use crate::identity::typed_code::TypedCode;
use crate::identity::{one_time, recovery_code, totp};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, OneTimeToken, Purpose};

#[derive(Deserialize, ToSchema)]
#[schema(as = SecondStep)]
#[serde(deny_unknown_fields)]
struct Document {
    ticket: String,
    code: String,
    refresh_token: Option<Wanted>,
}

/// How somebody proved who they are, in the words of RFC 8176.
pub const PASSWORD: &[&str] = &["pwd"];
pub const PASSWORD_AND_APP: &[&str] = &["pwd", "otp", "mfa"];
/// A recovery code is none of the methods of the RFC.
const PASSWORD_AND_RECOVERY_CODE: &[&str] = &["pwd", "mfa"];

/// After the right password: what lets the bearer take the second step, once.
pub async fn ticket(wing: &Wing, call: &Call, account: &Account) -> Result<Refusal, Refusal> {
    let text = one_time::mint();
    let ttl = call.settings.policy.auth.mfa.ticket_ttl;
    let token = OneTimeToken {
        hash: one_time::hash(&text),
        purpose: Purpose::SecondFactor,
        user_id: account.id,
        address: None,
        version: Some(account.version),
        created_at: call.now,
        expires_at: call.now + ttl,
    };
    if !wing.stores.one_time_tokens.keep(&token, call.settings.policy.auth.email.most).await? {
        return Err(Code::BadCredentials.into());
    }
    Ok(Refusal::SecondFactorNeeded { ticket: text.to_string(), ttl })
}

/// Take the second step of a login.
#[utoipa::path(
    post, path = "/login/mfa", operation_id = "login_mfa", tag = "sessions",
    request_body = Document,
    responses((status = 200, description = "Tokens", body = Tokens)),
    extensions(("x-refusals" = json!(["one_time_token_invalid", "mfa_code_invalid", "account_locked", "account_changed", "store_unavailable"]))),
)]
pub async fn login(State(wing): State<Wing>, call: Call) -> Response {
    let result = open_session(&wing, &call).await;
    login::count(&wing, result.as_ref().err());
    result.into_response()
}

async fn open_session(wing: &Wing, call: &Call) -> Result<Response, Refusal> {
    let document: Document = body::json(call)?;
    let ticket = one_time::hash(&document.ticket);
    let account = email::owner(wing, call, &ticket, Purpose::SecondFactor).await?;
    let methods = check(wing, call, &account, &document.code).await?;
    if !wing.stores.one_time_tokens.redeem(&ticket, Purpose::SecondFactor, call.now).await? {
        return email::refuse(wing, call).await;
    }
    let session = grant::start_session(wing, call, &account, methods).await?;
    let detail = Some(methods.join(" "));
    wing.audit(call, AuditEvent::LoggedIn, login::about(&account), detail.as_deref()).await;
    Ok(device::remembered(call, &session, Delivery::of(call, document.refresh_token)))
}

/// Uses the code up; says by which methods the account has shown who it is then.
pub async fn check(
    wing: &Wing,
    call: &Call,
    account: &Account,
    code: &str,
) -> Result<&'static [&'static str], Refusal> {
    let code = typed(code)?;
    let guess = Guess::of(wing, call, account).await?;
    let methods = match &code {
        _ if !guess.is_counted() => Ok(None),
        TypedCode::Recovery(code) => use_recovery_code(wing, call, account, code).await,
        TypedCode::App(code) => use_app_code(wing, call, account, code).await,
    };
    match methods {
        Ok(Some(methods)) => {
            guess.succeed().await?;
            Ok(methods)
        }
        Ok(None) => Err(guess.fail(Code::MfaCodeInvalid, Some("second factor")).await?.into()),
        Err(refusal) => {
            guess.give_back().await?;
            Err(refusal)
        }
    }
}

/// What can be no code at all is no guess, and isn't counted as one.
pub fn typed(code: &str) -> Result<TypedCode, Refusal> {
    let what = "A code has six digits; a recovery code has four groups of six letters and digits";
    TypedCode::read(code).ok_or_else(|| Rejection::from(Code::MfaCodeInvalid).because(what).into())
}

type Methods = Option<&'static [&'static str]>;

async fn use_app_code(wing: &Wing, call: &Call, account: &Account, code: &str) -> Result<Methods, Refusal> {
    let Some(factor) =
        wing.stores.second_factors.find(account.id).await?.filter(|factor| factor.is_confirmed)
    else {
        return Ok(None);
    };
    let vault = &call.settings.vault;
    let Some(opened) = vault.open(&factor.sealed_secret, account.id) else {
        tracing::error!(user_id = %account.id, "a second factor is sealed by a token key that is gone");
        return Ok(None);
    };
    let Some(step) = totp::matching_step(&opened.secret, code, unix_seconds(call.now)) else {
        return Ok(None);
    };
    if !wing.stores.second_factors.use_step(account.id, step).await? {
        return Ok(None);
    }
    if opened.is_by_older_key {
        let sealed = vault.seal(&opened.secret, account.id);
        wing.stores.second_factors.reseal(account.id, &factor.sealed_secret, &sealed).await?;
    }
    Ok(Some(PASSWORD_AND_APP))
}

/// Its being right shows only by using it up. It can't be guessed.
async fn use_recovery_code(
    wing: &Wing,
    call: &Call,
    account: &Account,
    code: &str,
) -> Result<Methods, Refusal> {
    let hash = recovery_code::hash(code, account.id);
    if !wing.stores.second_factors.use_code(account.id, &hash).await? {
        return Ok(None);
    }
    wing.audit(call, AuditEvent::RecoveryCodeUsed, login::about(account), None).await;
    Ok(Some(PASSWORD_AND_RECOVERY_CODE))
}
