//! The refresh token a client presents: in the cookie, in the JSON body, or in both.

use serde::Deserialize;

use super::answer::Refusal;
use super::call::Call;
use super::{body, cookie, origin};
use crate::rejection::{Code, Rejection};

pub struct Presented {
    pub token: String,
    /// Where it came from is where the successor goes.
    pub in_cookie: bool,
    pub in_body: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    refresh_token: Option<String>,
}

impl Presented {
    /// `None` when no token came at all. A cookie counts only on requests from our own origin.
    pub fn find(call: &Call) -> Result<Option<Self>, Refusal> {
        let by_cookie = cookie::read(call)?;
        if by_cookie.is_some() && !origin::is_own(call) {
            return Err(Code::CrossOrigin.into());
        }
        let by_body = match call.body.is_empty() {
            true => None,
            false => body::json::<Document>(call)?.refresh_token,
        };
        let (in_cookie, in_body) = (by_cookie.is_some(), by_body.is_some());
        match (by_cookie, by_body) {
            (Some(one), Some(other)) if one != other => {
                let detail = "The cookie and the body hold different refresh tokens; send one";
                Err(Rejection::from(Code::BadRequest).because(detail).into())
            }
            (by_cookie, by_body) => Ok(by_body.or(by_cookie).map(|token| Self { token, in_cookie, in_body })),
        }
    }
}
