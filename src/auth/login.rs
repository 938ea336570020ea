//! `POST /auth/login`: a password for a session, by JSON or by the OAuth2 password form (RFC 6749 §4.3).
//!
//! An unknown user, a wrong password and a locked account with a wrong password take the same
//! steps: one hash, the same calls to the stores, the same answer. A right password that is refused all the
//! same takes them too, so that its time tells nothing about passwords.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer::{Refusal, SpeaksOAuth2};
use super::audit::Subject;
use super::call::Call;
use super::grant::{self, Delivery, Tokens, Wanted};
use super::{Wing, body, origin, second_factor, token};
use crate::config::policy::Policy;
use crate::identity::name;
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, LockoutRule};

/// Whose failures are counted in place of somebody's: no username can be so.
const NOBODY: &str = " ";

#[derive(Deserialize, ToSchema)]
#[schema(as = Login)]
#[serde(deny_unknown_fields)]
pub struct Document {
    username: String,
    password: String,
    refresh_token: Option<Wanted>,
}

/// The password form of OAuth2 (RFC 6749 §4.3).
#[derive(Deserialize, ToSchema)]
#[schema(as = PasswordForm)]
struct Form {
    /// Some clients leave it out; another value than `password` is refused.
    #[serde(rename = "grant_type")]
    #[schema(pattern = "^password$", nullable = false, example = "password")]
    _grant_type: Option<String>,
    username: String,
    password: String,
    /// Not granted, which the answer says.
    #[schema(nullable = false)]
    scope: Option<String>,
}

struct Credentials {
    username: String,
    password: Zeroizing<String>,
    delivery: Delivery,
}

impl Credentials {
    fn read(call: &Call) -> Result<Self, Refusal> {
        if body::is_form(call) {
            if token::grant_type(call)?.is_some_and(|grant| grant != "password") {
                return Err(Refusal::UnsupportedGrant("`password`; `refresh_token` at the token endpoint"));
            }
            let form: Form = body::form(call)?;
            let password = Zeroizing::new(form.password);
            let delivery = Delivery::of_form(call, form.scope.as_deref());
            // Any page can send a form: a foreign one must not sign somebody in here.
            if delivery.in_cookie && !origin::is_own(call) {
                return Err(Code::CrossOrigin.into());
            }
            return Ok(Self { username: form.username, password, delivery });
        }
        let document: Document = body::json(call)?;
        Ok(Self {
            username: document.username,
            password: Zeroizing::new(document.password),
            delivery: Delivery::of(call, document.refresh_token),
        })
    }
}

/// Start a session.
#[utoipa::path(
    post, path = "/login", operation_id = "login", tag = "sessions",
    request_body(content((Document = "application/json"), (Form = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "Tokens", body = Tokens)),
    extensions(("x-refusals" = json!(["bad_credentials", "account_locked", "account_disabled", "email_not_verified", "account_changed", "mfa_required", "overloaded", "store_unavailable"]))),
)]
pub async fn login(State(wing): State<Wing>, call: Call) -> Response {
    let result = open_session(&wing, &call).await;
    count(&wing, result.as_ref().err());

    let mut response = result.into_response();
    if body::is_form(&call) {
        response.extensions_mut().insert(SpeaksOAuth2::Beside);
    }
    response
}

/// A login, or one of its two steps.
pub fn count(wing: &Wing, refusal: Option<&Refusal>) {
    let outcome = refusal.map_or("success", |refusal| refusal.code().as_str());
    wing.metrics.login_attempts.with_label_values(&[outcome]).inc();
}

async fn open_session(wing: &Wing, call: &Call) -> Result<Response, Refusal> {
    let Credentials { username, password, delivery } = Credentials::read(call)?;
    let account = authenticate(wing, call, &username, password).await?;
    if account.has_second_factor {
        return Err(second_factor::ticket(wing, call, &account).await?);
    }
    let session = grant::start_session(wing, call, &account, second_factor::PASSWORD).await?;
    wing.audit(call, AuditEvent::LoggedIn, about(&account), None).await;
    Ok(grant::answer(call, &session, delivery))
}

/// The account whose password this is, unless it is locked or disabled. The console comes in this way, too:
/// whatever else a login is to ask for must be asked for here, or be refused there.
pub async fn authenticate(
    wing: &Wing,
    call: &Call,
    username: &str,
    password: Zeroizing<String>,
) -> Result<Account, Refusal> {
    if name::check_username(username).is_err() {
        // No account can have it, which is no secret; the stores needn't see it.
        let subject = Subject { user_id: None, username };
        wing.audit(call, AuditEvent::LoginFailed, subject, Some("not a username")).await;
        return Err(Code::BadCredentials.into());
    }
    let params = call.settings.policy.auth.password.argon2;
    let account = wing.stores.accounts.find_by_username(username).await?;
    let stored = account.as_ref().map(|account| account.password_hash.clone());
    let verification = wing.passwords.verify(password, stored, params).await?;
    match account {
        Some(account) if verification.matches => {
            admit(wing, call, &account).await?;
            keep_upgrade(wing, call, &account, verification.upgraded).await;
            Ok(account)
        }
        account => {
            let subject = Subject { user_id: account.map(|account| account.id), username };
            count_failure(wing, call, subject, None).await?;
            Err(Code::BadCredentials.into())
        }
    }
}

/// Once the password was found right, after the hash: guesses sent in parallel with the right one
/// have been counted by the time its turn comes.
pub async fn check_lockout(wing: &Wing, call: &Call, account: &Account) -> Result<(), Refusal> {
    let key = name::fold(&account.username);
    if let Some(wait) = wing.stores.lockouts.locked_for(&key, call.now).await? {
        wing.audit(call, AuditEvent::LoginFailed, about(account), Some("locked")).await;
        return Err(Rejection::from(Code::AccountLocked).retry_after(wait).into());
    }
    Ok(())
}

/// The password was right.
async fn admit(wing: &Wing, call: &Call, account: &Account) -> Result<(), Refusal> {
    if account.disabled {
        return refuse_right_password(wing, call, account, Code::AccountDisabled, "disabled").await;
    }
    if must_confirm_first(&call.settings.policy, account) {
        return refuse_right_password(wing, call, account, Code::EmailNotVerified, "email not verified")
            .await;
    }
    check_lockout(wing, call, account).await?;
    // Failures stay until the second step is done, or the right password would buy more guesses there.
    if !account.has_second_factor {
        wing.stores.lockouts.clear(&name::fold(&account.username)).await?;
    }
    Ok(())
}

/// Only those who registered under the rule: whoever was there before it, or has no address, isn't locked out.
/// Their address, which nobody confirmed, is told to nobody.
fn must_confirm_first(policy: &Policy, account: &Account) -> bool {
    policy.auth.email.is_required
        && account.must_confirm_email
        && account.email.is_some()
        && !account.email_verified
}

/// Whoever knows the password and can't use it hasn't guessed; but what isn't counted takes its time.
async fn refuse_right_password(
    wing: &Wing,
    call: &Call,
    account: &Account,
    code: Code,
    reason: &str,
) -> Result<(), Refusal> {
    let never_locks = LockoutRule { failures: u32::MAX, ..call.settings.policy.auth.lockout };
    wing.stores.lockouts.record_failure(NOBODY, never_locks, call.now).await?;
    wing.audit(call, AuditEvent::LoginFailed, about(account), Some(reason)).await;
    Err(code.into())
}

/// For unknown users too, so that nothing tells which accounts exist.
pub async fn count_failure(
    wing: &Wing,
    call: &Call,
    subject: Subject<'_>,
    reason: Option<&str>,
) -> Result<(), Refusal> {
    let rule = call.settings.policy.auth.lockout;
    let key = name::fold(subject.username);
    let locks = wing.stores.lockouts.record_failure(&key, rule, call.now).await?;
    wing.audit(call, AuditEvent::LoginFailed, subject, reason).await;
    if locks {
        wing.audit(call, AuditEvent::LockedOut, subject, None).await;
    }
    Ok(())
}

/// A failing upgrade doesn't fail the login: the next one tries again.
async fn keep_upgrade(wing: &Wing, call: &Call, account: &Account, upgraded: Option<String>) {
    let Some(hash) = upgraded else { return };
    let accounts = &wing.stores.accounts;
    if let Err(error) = accounts.upgrade_hash(account.id, &account.password_hash, &hash, call.now).await {
        wing.note_store_error(&error, "password hash not upgraded");
    }
}

pub fn about(account: &Account) -> Subject<'_> {
    Subject { user_id: Some(account.id), username: &account.username }
}
