//! `POST /auth/login`: a password for a session, by JSON or by the OAuth2 password form (RFC 6749 §4.3).
//!
//! An unknown user, a wrong password and a stranger's password while strangers are locked out take the same
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
use super::guess::Guess;
use super::{Wing, body, device, origin, second_factor, token};
use crate::config::policy::Policy;
use crate::identity::name;
use crate::rejection::Code;
use crate::store::{Account, AuditEvent};

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
    Ok(device::remembered(call, &session, delivery))
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
    let account = wing.stores.accounts.find_by_username(username).await?;
    let id = account.as_ref().map(|account| account.id);
    let folded = name::fold(username);
    let guess = Guess::begin(wing, call, id, &folded, Subject { user_id: id, username }).await?;
    let (guess, verification) = guess.compare(password, account.as_ref()).await?;
    match account {
        Some(account) if verification.matches => {
            admit(wing, call, &account, guess).await?;
            keep_upgrade(wing, call, &account, verification.upgraded).await;
            Ok(account)
        }
        _ => Err(guess.fail(Code::BadCredentials, None).await?.into()),
    }
}

/// The password was right. A disabled account isn't told of before, so that refusing it costs what a wrong one costs.
async fn admit(wing: &Wing, call: &Call, account: &Account, guess: Guess<'_>) -> Result<(), Refusal> {
    let refused = if account.disabled {
        Some((Code::AccountDisabled, "disabled"))
    } else if must_confirm_first(&call.settings.policy, account) {
        Some((Code::EmailNotVerified, "email not verified"))
    } else {
        None
    };
    if let Some((code, reason)) = refused {
        guess.give_back().await?;
        wing.audit(call, AuditEvent::LoginFailed, about(account), Some(reason)).await;
        return Err(code.into());
    }
    // Failures stay until the second step is done, or the right password would buy more guesses there.
    match account.has_second_factor {
        true => guess.give_back().await,
        false => guess.succeed().await,
    }
}

/// Only those who registered under the rule: whoever was there before it, or has no address, isn't locked out.
/// Their address, which nobody confirmed, is told to nobody.
fn must_confirm_first(policy: &Policy, account: &Account) -> bool {
    policy.auth.email.is_required
        && account.must_confirm_email
        && account.email.is_some()
        && !account.email_verified
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
