//! A rule that is being tried out: what it would refuse is noted, and passes.

use crate::config::policy::Access;
use crate::exchange::Exchange;
use crate::rejection::{Code, Rejection};

/// The same verdict, unless the route's access rule observes only and it is this rule's.
pub fn run(verdict: Result<(), Rejection>, exchange: &mut Exchange) -> Result<(), Rejection> {
    match verdict {
        Err(rejection) if is_observed(exchange) && is_about_access(rejection.code) => {
            // The first is the reason; what follows from it isn't.
            exchange.would_deny.get_or_insert(rejection.code);
            Ok(())
        }
        verdict => verdict,
    }
}

fn is_observed(exchange: &Exchange) -> bool {
    let access = exchange.route.as_ref().map(|route| &route.access);
    matches!(access, Some(Access::Authenticated(requirement)) if requirement.observe)
}

/// Limits and failing stores aren't the rule's.
fn is_about_access(code: Code) -> bool {
    matches!(
        code,
        Code::NoCredentials
            | Code::TokenMalformed
            | Code::TokenTooLarge
            | Code::TokenInvalid
            | Code::TokenExpired
            | Code::TokenNotYetValid
            | Code::TokenRevoked
            | Code::TokenStale
            | Code::RoleMissing
            | Code::NotOwner
            | Code::MfaRequired
    )
}
