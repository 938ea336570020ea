//! Who is it? Verifies the bearer token (RFC 6750 §2.1) or API key, on routes that look at one. Touches
//! no store but for API keys that aren't known here: whether the token was revoked is asked together with
//! the limits, in `meter`.

use std::sync::Arc;

use super::Arrival;
use super::api_keys::KnownKeys;
use super::tokens;
use crate::config::policy::Access;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::identity::credentials::{self, Credential};
use crate::identity::refresh;
use crate::rejection::{Code, Rejection};

/// What the request presented. A bad token isn't refused here yet: it is charged first.
pub enum Presented {
    /// Nothing, or a route that doesn't look.
    Nothing,
    Token(Arc<Identity>),
    /// Refused with this code once charged.
    Bad(Code),
}

/// `Err` only when nobody can say at the moment.
pub async fn run(
    arrival: &Arrival<'_>,
    exchange: &Exchange,
    keys: &KnownKeys,
) -> Result<Presented, Rejection> {
    let required = match exchange.route.as_ref().map(|route| &route.access) {
        None | Some(Access::Public) => return Ok(Presented::Nothing),
        Some(Access::Optional) => false,
        Some(Access::Authenticated(_)) => true,
    };
    Ok(match credentials::presented(&arrival.request.headers) {
        Ok(None) if required => Presented::Bad(Code::NoCredentials),
        Ok(None) => Presented::Nothing,
        Err(code) => Presented::Bad(code),
        // A key must not make another one with more rights, nor end its owner's sessions.
        Ok(Some(Credential::Key(_))) if exchange.is_for_auth() => Presented::Bad(Code::TokenInvalid),
        // For the wing to judge: some programs end a session by its refresh token.
        Ok(Some(Credential::Token(token)))
            if !required && exchange.is_for_auth() && refresh::is_one(token) =>
        {
            Presented::Nothing
        }
        // Keys are made by the accounts here.
        Ok(Some(Credential::Key(_))) if !accepts_own(exchange) => Presented::Bad(Code::TokenInvalid),
        // Boxed: this future is made and moved for every request.
        Ok(Some(Credential::Key(key))) => Box::pin(keys.identify(key, exchange)).await?,
        Ok(Some(Credential::Token(token))) => match &arrival.given {
            None => tokens::run(token, exchange).await,
            Some(identity) if accepts_own(exchange) => Presented::Token(identity.clone()),
            Some(_) => Presented::Bad(Code::TokenInvalid),
        },
    })
}

fn accepts_own(exchange: &Exchange) -> bool {
    exchange.route.as_ref().is_some_and(|route| route.issuers.own)
}
