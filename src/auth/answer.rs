//! The one place that answers a refusal: counts and logs its cause, words it as a problem document
//! (RFC 9457), adds the fields it needs, and forbids caching.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::alias::Alias;
use super::{Caller, Wing};
use crate::accounts::names::NotTheirs;
use crate::accounts::reauthentication::Missing;
use crate::rejection::{Code, Rejection};
use crate::store::{CreateError, StoreError};

const PORTCULLIS_REASON: HeaderName = HeaderName::from_static("portcullis-reason");

/// Stores reconnect within about this time, or stay away for longer anyway.
const STORE_RETRY: Duration = Duration::from_secs(2);

/// Why an endpoint didn't do what was asked.
#[derive(Debug)]
pub enum Refusal {
    Rejected(Rejection),
    /// An OAuth2 form that asks for another grant than these.
    UnsupportedGrant(&'static str),
    /// A token that can't be revoked as one of OAuth2.
    UnsupportedTokenType,
    /// The password was right; the ticket lets the second step follow.
    SecondFactorNeeded {
        ticket: String,
        ttl: Duration,
    },
    /// A sensitive action without what shows that the bearer is the owner.
    ReauthenticationRequired(Missing),
    /// A store that the answer depends on failed.
    Unavailable(StoreError),
}

impl Refusal {
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Rejected(rejection) => rejection.clone(),
            Self::UnsupportedGrant(supported) => {
                Rejection::from(Code::BadRequest).because(format!("grant_type can be {supported}"))
            }
            Self::UnsupportedTokenType => Rejection::from(Code::BadRequest)
                .because("API keys aren't revoked here; their owners delete them at /keys/{id}"),
            Self::SecondFactorNeeded { .. } => Code::MfaRequired.into(),
            Self::ReauthenticationRequired(missing) => {
                Rejection::from(Code::ReauthenticationRequired).because(needed(*missing))
            }
            Self::Unavailable(_) => Rejection::from(Code::StoreUnavailable).retry_after(STORE_RETRY),
        }
    }

    pub fn code(&self) -> Code {
        self.rejection().code
    }

    /// The `error` of RFC 6749 §5.2, for clients that spoke its form.
    fn oauth2_error(&self) -> &'static str {
        match self {
            Self::UnsupportedGrant(_) => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::SecondFactorNeeded { .. } => "mfa_required",
            Self::ReauthenticationRequired(_) => "invalid_request",
            Self::Unavailable(_) => "temporarily_unavailable",
            Self::Rejected(rejection) if rejection.code.status().is_server_error() => {
                "temporarily_unavailable"
            }
            Self::Rejected(rejection) => match rejection.code {
                Code::BadCredentials
                | Code::RefreshInvalid
                | Code::RefreshReused
                | Code::AccountLocked
                | Code::AccountDisabled
                | Code::AccountChanged
                | Code::EmailNotVerified => "invalid_grant",
                _ => "invalid_request",
            },
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::Rejected(code.into())
    }
}

impl From<CreateError> for Refusal {
    fn from(error: CreateError) -> Self {
        match error {
            // Who had it is nobody's business.
            CreateError::UsernameTaken | CreateError::UsernameReserved => Code::UsernameTaken.into(),
            CreateError::Store(error) => error.into(),
        }
    }
}

impl From<NotTheirs> for Refusal {
    fn from(reason: NotTheirs) -> Self {
        let reserved = Rejection::from(Code::UsernameReserved);
        match reason {
            NotTheirs::Reserved => reserved.into(),
            NotTheirs::Address => reserved
                .because("A username with @ must be the confirmed email address of the account")
                .into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

/// Carries a refusal from a handler to [`render`]; extensions must be `Clone`.
#[derive(Clone)]
struct Refused(Arc<Refusal>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.code().status().into_response();
        response.extensions_mut().insert(Refused(Arc::new(self)));
        response
    }
}

/// Marks the answer to an OAuth2 form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SpeaksOAuth2 {
    /// A refusal has the member `error`, too.
    Beside,
    /// A refusal is one of RFC 6749 §5.2: 400 and plain JSON, whatever the status would be elsewhere.
    Only,
}

pub async fn no_such_endpoint() -> Refusal {
    Code::RouteNotFound.into()
}

pub async fn wrong_method() -> Refusal {
    Code::MethodNotAllowed.into()
}

/// Around every endpoint. Also the last resort: a panic becomes `internal`.
pub async fn render(State(wing): State<Wing>, request: Request, next: Next) -> Response {
    let request_id =
        request.extensions().get::<Caller>().map_or_else(String::new, |caller| caller.request_id.clone());
    let alias = request.extensions().get::<Alias>().cloned();
    let method = request.method().clone();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        tracing::error!(request_id, "an auth endpoint panicked");
        Refusal::from(Code::Internal).into_response()
    });

    if let Some(alias) = alias.as_ref().filter(|_| response.extensions().get::<Refused>().is_none()) {
        response = alias.reshape(response, &method).await;
    }
    if let Some(Refused(refusal)) = response.extensions_mut().remove() {
        if let Refusal::Unavailable(error) = &*refusal {
            wing.note_store_error(error, "request refused");
        }
        word(&mut response, &refusal, &request_id, alias.as_ref());
    }
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Fills in the body and header fields of a refusal; fields that are there (cookies) stay.
fn word(response: &mut Response, refusal: &Refusal, request_id: &str, alias: Option<&Alias>) {
    let rejection = refusal.rejection();
    let mut problem = rejection.problem_json(request_id);
    let oauth2 = response.extensions().get::<SpeaksOAuth2>().copied();
    let is_oauth2_only = oauth2 == Some(SpeaksOAuth2::Only);
    if oauth2.is_some() {
        problem = with_member(&problem, "error", refusal.oauth2_error().into());
    }
    if is_oauth2_only {
        problem = oauth2_document(&problem);
        if response.status().is_client_error() {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
    }
    if let Refusal::SecondFactorNeeded { ticket, ttl } = refusal {
        problem = with_member(&problem, "ticket", ticket.as_str().into());
        problem = with_member(&problem, "expires_in", ttl.as_secs().into());
    }
    if let Refusal::ReauthenticationRequired(missing) = refusal {
        problem = with_member(&problem, "needs", missing.names().into());
    }
    if let Some(alias) = alias {
        problem = alias.extend_problem(problem);
    }
    *response.body_mut() = problem.into();
    response.extensions_mut().insert(rejection.code);

    let fields = response.headers_mut();
    let kind = if is_oauth2_only { "application/json" } else { "application/problem+json" };
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(PORTCULLIS_REASON, HeaderValue::from_static(rejection.code.as_str()));
    if let Some(challenge) = challenge(&rejection).filter(|_| !is_oauth2_only) {
        fields.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = rejection.retry_after_seconds() {
        fields.insert(RETRY_AFTER, seconds.into());
    }
    if let Some(methods) = rejection.allow.and_then(|methods| methods.parse().ok()) {
        fields.insert(ALLOW, methods);
    }
}

/// In one sentence for the client.
fn needed(missing: Missing) -> &'static str {
    match missing {
        Missing { sign_in: true, code: true, .. } => {
            "The account has no password: sign in again, then do this within five minutes, with a code of the second factor"
        }
        Missing { sign_in: true, .. } => {
            "The account has no password: sign in again, then do this within five minutes"
        }
        Missing { password: true, code: true, .. } => {
            "This needs the current password and a code of the second factor"
        }
        Missing { code: true, .. } => "This needs a code of the second factor",
        Missing { .. } => "This needs the current password",
    }
}

/// The members of RFC 6749 §5.2, and those of ours that it has no others for.
fn oauth2_document(problem: &str) -> String {
    let mut members: Map<String, Value> = serde_json::from_str(problem).expect("we wrote it ourselves");
    for ours_alone in ["type", "title", "status"] {
        members.remove(ours_alone);
    }
    let detail = members.get("detail").and_then(Value::as_str).unwrap_or_default();
    let plain = |c: char| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '\'' };
    let description: String = detail.chars().map(plain).collect();
    members.insert("error_description".to_owned(), description.into());
    Value::Object(members).to_string()
}

fn with_member(problem: &str, name: &str, value: Value) -> String {
    let mut members: Map<String, Value> = serde_json::from_str(problem).expect("we wrote it ourselves");
    members.insert(name.to_owned(), value);
    Value::Object(members).to_string()
}

/// `WWW-Authenticate`: every 401 must carry one (RFC 9110 §15.5.2), refused logins included.
fn challenge(rejection: &Rejection) -> Option<HeaderValue> {
    let is_unauthorized = rejection.code.status() == StatusCode::UNAUTHORIZED;
    let challenge = rejection.bearer_challenge().or(is_unauthorized.then(|| "Bearer".to_owned()))?;
    Some(challenge.parse().expect("codes and their details are plain ASCII"))
}
