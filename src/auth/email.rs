//! `/auth/email/…`: whether mail to the address of an account reaches its owner.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::mailer::Job;
use super::notice::{self, Change};
use super::openapi::schemas::Email;
use super::{Wing, audit, body, login};
use crate::identity::{email as address, one_time};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AddressState, AuditEvent, Purpose};

/// More accounts than this share no address that anybody reads.
const MOST_ACCOUNTS: u32 = 10;

#[derive(Deserialize, ToSchema)]
#[schema(as = MailToken)]
#[serde(deny_unknown_fields)]
pub struct Token {
    token: String,
    /// API keys that were made before the first address was confirmed go on.
    #[serde(default)]
    keep_keys: bool,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = MailAddress)]
#[serde(deny_unknown_fields)]
pub struct Address {
    #[schema(value_type = Email)]
    pub email: String,
}

/// Confirm an address by the token of a mail.
#[utoipa::path(
    post, path = "/email/verify", operation_id = "verify_email", tag = "accounts",
    request_body = Token,
    responses((status = 204, description = "Confirmed")),
    extensions(("x-refusals" = json!(["one_time_token_invalid", "store_unavailable"]))),
)]
pub async fn verify(State(wing): State<Wing>, call: Call) -> Result<StatusCode, Refusal> {
    let Token { token, keep_keys } = body::json(&call)?;
    let hash = one_time::hash(&token);
    let account = owner(&wing, &call, &hash, Purpose::VerifyEmail).await?;
    let record = wing.record(&call, AuditEvent::EmailVerified, login::about(&account), None);
    // Whoever made keys before an address was confirmed may be somebody else than its owner.
    let is_first = !account.email_verified && !keep_keys;
    let reason = is_first.then_some("first address confirmed");
    // Where another address than before is confirmed, no token goes on telling the former one.
    let change = wing.stores.one_time_tokens.verify_email(&hash, call.now, &record);
    let Some(changed) = wing.change(&call, &account, reason, change).await? else {
        return refuse(&wing, &call).await;
    };
    audit::log(&record);
    if changed.account.version > account.version {
        notice::post(&wing, &call, &account, Change::Email).await;
    }
    changed.ended()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Have another mail sent to an address that isn't confirmed yet.
#[utoipa::path(
    post, path = "/email/resend", operation_id = "resend_email", tag = "accounts",
    request_body = Address,
    responses((status = 202, description = "Mail goes to whoever has this address, if anybody has it")),
    extensions(("x-refusals" = json!(["not_found", "store_unavailable"]))),
)]
pub async fn resend(State(wing): State<Wing>, call: Call) -> Result<StatusCode, Refusal> {
    let Address { email } = body::json(&call)?;
    request(&wing, &call, Purpose::VerifyEmail, &email).await
}

/// Has mail sent to whoever has this address. The answer is the same if nobody has it.
pub async fn request(wing: &Wing, call: &Call, purpose: Purpose, email: &str) -> Result<StatusCode, Refusal> {
    if call.settings.policy.mail.delivery.is_none() {
        return Err(Rejection::from(Code::NotFound).because("No mail is sent from here").into());
    }
    let email = address::parse(email).map_err(|detail| Rejection::from(Code::BadRequest).because(detail))?;
    let place = wing.mailer.reserve(purpose)?;
    let state = match purpose {
        Purpose::VerifyEmail => AddressState::Unconfirmed,
        _ => AddressState::Confirmed,
    };
    let accounts = wing.stores.accounts.find_by_email(&email, state, MOST_ACCOUNTS).await?;
    if !accounts.is_empty() {
        wing.mailer.post(place, job(wing, call, purpose, accounts));
    }
    Ok(StatusCode::ACCEPTED)
}

/// After an account got an address. It can be asked for again, so that a full queue is no failure.
pub fn confirm(wing: &Wing, call: &Call, account: &Account) {
    if account.unconfirmed_email().is_some() && call.settings.policy.mail.delivery.is_some() {
        let Ok(place) = wing.mailer.reserve(Purpose::VerifyEmail) else {
            tracing::warn!(user_id = %account.id, "too many mails are waiting; none to confirm an address");
            return;
        };
        wing.mailer.post(place, job(wing, call, Purpose::VerifyEmail, vec![account.clone()]));
    }
}

fn job(wing: &Wing, call: &Call, purpose: Purpose, accounts: Vec<Account>) -> Job {
    let nobody = Subject { user_id: None, username: "" };
    let record = wing.record(call, AuditEvent::VerificationSent, nobody, None);
    Job { purpose, accounts, policy: call.settings.policy.clone(), record }
}

/// Whose token it is.
pub async fn owner(wing: &Wing, call: &Call, hash: &[u8], purpose: Purpose) -> Result<Account, Refusal> {
    match wing.stores.one_time_tokens.owner(hash, purpose, call.now).await? {
        Some(account) => Ok(account),
        None => refuse(wing, call).await,
    }
}

pub async fn refuse<T>(wing: &Wing, call: &Call) -> Result<T, Refusal> {
    let nobody = Subject { user_id: None, username: "" };
    wing.audit(call, AuditEvent::OneTimeTokenRefused, nobody, None).await;
    Err(Code::OneTimeTokenInvalid.into())
}
