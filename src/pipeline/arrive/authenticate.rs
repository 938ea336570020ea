//! Who is it? Verifies the bearer token (RFC 6750 §2.1), on routes that look at one. Touches no
//! store: whether the token was revoked is asked together with the limits, in `meter`.

use std::sync::Arc;

use pingora::http::RequestHeader;

use crate::config::policy::Access;
use crate::exchange::Exchange;
use crate::identity::{Identity, credentials};
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
    match credentials::bearer(&request.headers) {
        Ok(None) if required => Presented::Bad(Code::NoCredentials),
        Ok(None) => Presented::Nothing,
        Err(code) => Presented::Bad(code),
        Ok(Some(token)) => match exchange.edition.keys.verify_cached(token, exchange.arrived_at) {
            Ok(identity) => Presented::Token(identity),
            Err(error) => Presented::Bad(error.into()),
        },
    }
}
