//! Who is it? Verifies the bearer token (RFC 6750 §2.1) or API key, on routes that look at one. Touches
//! no store: whether the token was revoked is asked together with the limits, in `meter`, and an API key that isn't
//! known here is looked up once its address has been charged.

use std::sync::Arc;

use super::Arrival;
use super::api_keys::{KnownKeys, UnknownKey};
use super::tokens;
use crate::config::policy::Access;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::identity::credentials::{self, Credential};
use crate::identity::foreign::Refused;
use crate::identity::refresh;
use crate::rejection::Code;

/// What the request presented. A bad token isn't refused here yet: it is charged first.
pub enum Presented {
    /// Nothing, or a route that doesn't look.
    Nothing,
    Token(Arc<Identity>),
    /// An API key that only the store can tell about.
    UnknownKey(Box<UnknownKey>),
    /// Refused with this code once charged.
    Bad(Code),
    /// The same, with the cause: a token of another issuer. Boxed: it is rare.
    Foreign(Box<Refused>),
}

pub async fn run(arrival: &Arrival<'_>, exchange: &Exchange, keys: &KnownKeys) -> Presented {
    let required = match exchange.route.as_ref().map(|route| &route.access) {
        None | Some(Access::Public) => return Presented::Nothing,
        Some(Access::Optional) => false,
        Some(Access::Authenticated(_)) => true,
    };
    match credentials::presented(&arrival.request.headers) {
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
        Ok(Some(Credential::Key(key))) => keys.identify(key, exchange),
        Ok(Some(Credential::Token(token))) => match &arrival.given {
            None => tokens::run(token, exchange).await,
            Some(identity) if accepts_own(exchange) => Presented::Token(identity.clone()),
            Some(_) => Presented::Bad(Code::TokenInvalid),
        },
    }
}

fn accepts_own(exchange: &Exchange) -> bool {
    exchange.route.as_ref().is_some_and(|route| route.issuers.own)
}
