//! Bearer tokens, by the keys of the issuers that the route accepts, and no others.

use std::sync::Arc;

use super::authenticate::Presented;
use crate::exchange::Exchange;
use crate::identity::foreign::issuer_of;
use crate::identity::token::TokenError;
use crate::issuers::{Checked, TrustedIssuer};
use crate::rejection::Code;

pub async fn run(token: &str, exchange: &Exchange) -> Presented {
    match verify(token, exchange) {
        Ok(presented) => presented,
        // Boxed: this future is made and moved for every request.
        Err(UnknownKey(issuer)) => Box::pin(after_fetch(token, exchange, &issuer)).await,
    }
}

/// The issuer's keys may have changed.
struct UnknownKey(Arc<TrustedIssuer>);

async fn after_fetch(token: &str, exchange: &Exchange, issuer: &TrustedIssuer) -> Presented {
    issuer.refetch().await;
    match verify(token, exchange) {
        Ok(presented) => presented,
        Err(UnknownKey(issuer)) if issuer.has_keys() => Presented::Bad(Code::TokenInvalid),
        // Without any keys nothing can be said about the token.
        Err(UnknownKey(_)) => Presented::Bad(Code::StoreUnavailable),
    }
}

fn verify(token: &str, exchange: &Exchange) -> Result<Presented, UnknownKey> {
    let (edition, now) = (&exchange.edition, exchange.arrived_at);
    let accepted = exchange.route.as_ref().map(|route| &route.issuers);
    let foreign = accepted.into_iter().flat_map(|accepted| &accepted.foreign);
    let mut foreign = foreign.filter_map(|index| edition.issuers.get(*index));
    if let Some(identity) = foreign.clone().find_map(|issuer| issuer.remembered(token, now)) {
        return Ok(Presented::Token(identity));
    }
    let own = match accepted.is_some_and(|accepted| accepted.own) {
        true => edition.verifier.verify_cached(token, now),
        false => Err(TokenError::Invalid),
    };
    let error = match own {
        Ok(identity) => return Ok(Presented::Token(identity)),
        Err(error) => error,
    };
    let says = foreign.clone().next().and_then(|_| issuer_of(token));
    match foreign.find(|issuer| says.as_deref() == Some(issuer.iss())) {
        None => Ok(Presented::Bad(error.into())),
        Some(issuer) => match issuer.verify(token, now) {
            Checked::Good(identity) => Ok(Presented::Token(identity)),
            Checked::Bad(error) => Ok(Presented::Bad(error.into())),
            Checked::UnknownKey => Err(UnknownKey(issuer.clone())),
        },
    }
}
