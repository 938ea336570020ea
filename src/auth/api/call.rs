//! From a request to what an operator wants done, and from the outcome to an answer.

use std::fmt;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::auth::Wing;
use crate::auth::administration::{Administration, AdministrationError, Operator};
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::rejection::{Code, Rejection};

/// How many of a list come at once.
pub const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// Of what ends the API keys of an account, too.
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

/// A body in JSON, for endpoints that stand outside of this module.
pub struct Sent<T>(pub T);

/// A body that is an object: structures without members would take an empty array, too.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let sent = Json::<T>::from_request(request, state).await;
        sent.map(|Json(sent)| Self(sent)).map_err(|rejection| match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType.into(),
            StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge.into(),
            _ => Rejection::from(Code::BadRequest).because(rejection.body_text()).into(),
        })
    }
}

pub(in crate::auth) fn administration(wing: &Wing, call: &Call) -> Result<Administration, Refusal> {
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

/// Of a list that was asked for one more than a page has: the page, and the cursor of the one that follows.
pub fn page<T, C>(mut found: Vec<T>, limit: u32, cursor: impl Fn(&T) -> C) -> (Vec<T>, Option<C>) {
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| has_more).map(cursor);
    (found, next)
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
