//! Who is it? Verifies the bearer token (RFC 6750 §2.1), on routes that look at one. Touches no
//! store: whether the token was revoked is asked together with the limits, in `meter`.

use std::sync::Arc;

use http::header;
use pingora::http::RequestHeader;

use crate::config::policy::Access;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::identity::token::TokenError;
use crate::rejection::Code;

/// What the request presented. A bad token isn't refused here yet: it is charged first.
pub enum Presented {
    /// Nothing, or a route that doesn't look.
    Nothing,
    Token(Arc<Identity>),
    /// Refused with this code once charged.
    Bad(Code),
}

pub fn run(request: &RequestHeader, exchange: &Exchange) -> Presented {
    let required = match exchange.route.as_ref().map(|route| &route.access) {
        None | Some(Access::Public) => return Presented::Nothing,
        Some(Access::Optional) => false,
        Some(Access::Authenticated(_)) => true,
    };
    match token(request) {
        Ok(None) if required => Presented::Bad(Code::NoCredentials),
        Ok(None) => Presented::Nothing,
        Err(code) => Presented::Bad(code),
        Ok(Some(token)) => match exchange.edition.keys.verify_cached(token, exchange.arrived_at) {
            Ok(identity) => Presented::Token(identity),
            Err(error) => Presented::Bad(code_of(error)),
        },
    }
}

/// The bearer token, `None` without `Authorization`. Several credentials are none (class 20).
fn token(request: &RequestHeader) -> Result<Option<&str>, Code> {
    let mut values = request.headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Code::TokenMalformed);
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Code::TokenMalformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Code::TokenMalformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Code::TokenMalformed);
    }
    Ok(Some(token))
}

fn code_of(error: TokenError) -> Code {
    match error {
        TokenError::Malformed => Code::TokenMalformed,
        TokenError::Invalid => Code::TokenInvalid,
        TokenError::Expired => Code::TokenExpired,
        TokenError::NotYetValid => Code::TokenNotYetValid,
    }
}
