//! From a request to what an operator wants done, and from the outcome to an answer.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::auth::Wing;
use crate::auth::administration::{Administration, AdministrationError, Operator};
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::rejection::{Code, Rejection};

/// How many of a list come at once.
pub const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// Of what ends the sessions of an account.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct KeysToo {
    /// API keys go on.
    #[serde(default)]
    pub keep_keys: bool,
}

/// The one parameter of a path.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|_| Code::BadPath.into())
    }
}

pub fn administration(wing: &Wing, call: &Call) -> Result<Administration, Refusal> {
    let bearer = call.bearer()?;
    Ok(Administration {
        stores: wing.stores.clone(),
        policy: call.settings.policy.clone(),
        passwords: wing.passwords.clone(),
        mailer: wing.mailer.clone(),
        operator: Operator {
            name: bearer.username.clone(),
            address: Some(call.caller.address),
            user_agent: call.user_agent(),
            request_id: Some(call.caller.request_id.clone()),
        },
    })
}

pub fn query<T: DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    let query = Query::<T>::try_from_uri(&call.uri);
    query.map(|Query(query)| query).map_err(|_| {
        Rejection::from(Code::BadRequest).because("A parameter of the query is unknown or unusable").into()
    })
}

pub fn limit(asked: Option<u32>) -> Result<u32, Refusal> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Rejection::from(Code::BadRequest)
            .because(format!("`limit` must be between 1 and {MAX_LIMIT}"))
            .into()),
    }
}

impl From<AdministrationError> for Refusal {
    fn from(error: AdministrationError) -> Self {
        let because = |code: Code| Rejection::from(code).because(error.to_string()).into();
        match error {
            AdministrationError::Unknown(_)
            | AdministrationError::UnknownSession(_)
            | AdministrationError::UnknownKey(_)
            | AdministrationError::NoFormerName(_) => because(Code::NotFound),
            AdministrationError::Taken(_) => Code::UsernameTaken.into(),
            AdministrationError::Changed(_) => because(Code::AccountChanged),
            AdministrationError::Reserved(_) => because(Code::UsernameTaken),
            AdministrationError::Bad(_) => because(Code::BadRequest),
            AdministrationError::Weak(_) => because(Code::WeakPassword),
            AdministrationError::Busy(rejection) => rejection.into(),
            AdministrationError::Store(error) => error.into(),
        }
    }
}
