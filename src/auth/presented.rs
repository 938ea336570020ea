//! The refresh token a client presents: in the cookie, in the JSON body, or as the bearer.

use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Refusal;
use super::call::Call;
use super::{body, cookie, origin};
use crate::identity::{credentials, refresh};
use crate::rejection::{Code, Rejection};

pub struct Presented {
    pub token: String,
    /// Where it came from is where the successor goes.
    pub in_cookie: bool,
    pub in_body: bool,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = RefreshToken)]
#[serde(deny_unknown_fields)]
pub struct Document {
    refresh_token: Option<String>,
}

impl Presented {
    /// `None` when no token came at all.
    pub fn find(call: &Call) -> Result<Option<Self>, Refusal> {
        let by_body = match call.body.is_empty() {
            true => None,
            false => body::json::<Document>(call)?.refresh_token,
        };
        Self::find_beside(call, by_body)
    }

    /// The same where the body has been read. A cookie counts only on requests from our own origin.
    pub fn find_beside(call: &Call, by_body: Option<String>) -> Result<Option<Self>, Refusal> {
        let by_cookie = cookie::read(call)?;
        if by_cookie.is_some() && !origin::is_own(call) {
            return Err(Code::CrossOrigin.into());
        }
        let by_body = one_of(by_body, as_bearer(call))?;
        let (in_cookie, in_body) = (by_cookie.is_some(), by_body.is_some());
        let token = one_of(by_body, by_cookie)?;
        Ok(token.map(|token| Self { token, in_cookie, in_body }))
    }
}

fn one_of(one: Option<String>, other: Option<String>) -> Result<Option<String>, Refusal> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            let detail = "Different refresh tokens came; send one";
            Err(Rejection::from(Code::BadRequest).because(detail).into())
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// As clients of Flask-JWT-Extended send it. What else stands there isn't looked at.
fn as_bearer(call: &Call) -> Option<String> {
    let bearer = credentials::bearer(&call.headers).ok()?;
    bearer.filter(|text| refresh::is_one(text)).map(str::to_owned)
}
