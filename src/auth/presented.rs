//! The refresh tokens a client presents: in cookies, in the JSON body, or as the bearer.

use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Refusal;
use super::call::Call;
use super::{Wing, body, cookie, origin};
use crate::identity::{SessionId, credentials, refresh};
use crate::rejection::{Code, Rejection};
use crate::store::Presenter;

/// A refresh token that we minted, taken apart: the session and the generation.
pub type Opened = (SessionId, u64);

pub struct Presented {
    /// Those that we minted, one for each session.
    pub opened: Vec<Opened>,
    /// Where it came from is where the successor goes.
    pub in_cookie: bool,
    pub in_body: bool,
    user_agent: Option<String>,
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

    /// The same where the body has been read. A cookie counts only on requests from our own origin. Of several
    /// cookies each may be ours; what we didn't mint isn't.
    pub fn find_beside(call: &Call, by_body: Option<String>) -> Result<Option<Self>, Refusal> {
        let by_cookie = cookie::read(call);
        if !by_cookie.is_empty() && !origin::is_own(call) {
            return Err(Code::CrossOrigin.into());
        }
        let by_body = one_of(by_body, as_bearer(call))?;
        let (in_cookie, in_body) = (!by_cookie.is_empty(), by_body.is_some());
        let tokens = match by_body {
            Some(token) if in_cookie && !by_cookie.contains(&token) => return Err(different()),
            Some(token) => vec![token],
            None => by_cookie,
        };
        if tokens.is_empty() {
            return Ok(None);
        }
        let presented = Self::of(call, &tokens);
        Ok(Some(Self { in_cookie, in_body, ..presented }))
    }

    /// In the body.
    pub fn of(call: &Call, tokens: &[String]) -> Self {
        let keys = &call.settings.refresh_keys;
        let opened = newest_of_each(tokens.iter().filter_map(|token| keys.open(token)));
        Self { opened, in_cookie: false, in_body: true, user_agent: call.user_agent() }
    }

    /// Who presents them, to the session store. A program's name says something only together with the cookie,
    /// which scripts and other programs don't have.
    pub fn by<'a>(&'a self, call: &Call) -> Presenter<'a> {
        let device = self.user_agent.as_deref().filter(|_| self.in_cookie);
        Presenter { address: Some(call.caller.address), device }
    }

    /// Cookies of several people: somebody planted one, and guessing which would let them choose the session.
    pub async fn check_owner(&self, wing: &Wing, call: &Call) -> Result<(), Refusal> {
        let mut owner = None;
        for (id, _) in self.opened.iter().filter(|_| self.opened.len() > 1) {
            let found = wing.stores.sessions.find(*id, call.now).await?;
            let Some(user) = found.map(|session| session.user_id) else { continue };
            if *owner.get_or_insert(user) != user {
                let detail = "Refresh cookies of several accounts came; log in again";
                return Err(Rejection::from(Code::BadRequest).because(detail).into());
            }
        }
        Ok(())
    }
}

fn newest_of_each(tokens: impl Iterator<Item = Opened>) -> Vec<Opened> {
    let mut newest: Vec<Opened> = Vec::new();
    for (id, generation) in tokens {
        match newest.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = generation.max(*known),
            None => newest.push((id, generation)),
        }
    }
    newest
}

fn one_of(one: Option<String>, other: Option<String>) -> Result<Option<String>, Refusal> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(different()),
        (one, other) => Ok(one.or(other)),
    }
}

fn different() -> Refusal {
    Rejection::from(Code::BadRequest).because("Different refresh tokens came; send one").into()
}

/// As clients of Flask-JWT-Extended send it. What else stands there isn't looked at.
fn as_bearer(call: &Call) -> Option<String> {
    let bearer = credentials::bearer(&call.headers).ok()?;
    bearer.filter(|text| refresh::is_one(text)).map(str::to_owned)
}
