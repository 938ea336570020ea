//! A logout may come with an access token that is over: the refresh token beside it can be proof enough, which
//! the wing finds out.

use crate::config::policy::AuthEndpoint;
use crate::exchange::Exchange;
use crate::rejection::{Code, Rejection};

/// The same verdict, unless it is about the token of a logout.
pub fn run(verdict: Result<(), Rejection>, exchange: &mut Exchange) -> Result<(), Rejection> {
    match verdict {
        Err(rejection)
            if is_about_token(rejection.code) && exchange.auth_endpoint() == Some(AuthEndpoint::Logout) =>
        {
            exchange.excused = Some(rejection.code);
            Ok(())
        }
        verdict => verdict,
    }
}

/// What isn't a bearer token at all, or comes twice, is refused here as everywhere.
fn is_about_token(code: Code) -> bool {
    matches!(
        code,
        Code::TokenInvalid
            | Code::TokenExpired
            | Code::TokenNotYetValid
            | Code::TokenRevoked
            | Code::TokenStale
    )
}
