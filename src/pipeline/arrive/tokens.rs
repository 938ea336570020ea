//! Bearer tokens, by the keys of the issuers that the route accepts, and no others.

use std::sync::Arc;

use pingora::http::RequestHeader;

use super::authenticate::Presented;
use crate::exchange::Exchange;
use crate::identity::credentials::{self, Credential};
use crate::identity::foreign::{Cause, Refused, issuer_of};
use crate::identity::token::TokenError;
use crate::issuers::TrustedIssuer;
use crate::rejection::{Code, Rejection};

/// What stands for an issuer that the file doesn't name.
const NO_ISSUER: &str = "-";

pub async fn run(token: &str, exchange: &Exchange) -> Presented {
    if token.len() > exchange.edition.policy.tokens.max_size {
        return Presented::Bad(Code::TokenTooLarge);
    }
    match verify(token, exchange) {
        Ok(presented) => presented,
        // Boxed: this future is made and moved for every request.
        Err(UnknownKey(issuer)) => Box::pin(after_fetch(token, exchange, &issuer)).await,
    }
}

/// The issuer's keys may have changed.
struct UnknownKey(Arc<TrustedIssuer>);

async fn after_fetch(token: &str, exchange: &Exchange, issuer: &TrustedIssuer) -> Presented {
    match issuer.verify_by_new_keys(token, exchange.arrived_at).await {
        Ok(identity) => Presented::Token(identity),
        Err((cause, retry_after)) => {
            Presented::Foreign(Box::new(Refused { issuer: issuer.name().to_owned(), cause, retry_after }))
        }
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
    let Some(says) = issuer_of(token).filter(|_| !edition.issuers.is_empty()) else {
        return Ok(Presented::Bad(error.into()));
    };
    let Some(issuer) = foreign.clone().find(|issuer| issuer.speaks_as(&says)) else {
        let accepts_others = foreign.next().is_some();
        return Ok(of_nobody_accepted(&says, error, accepts_others, exchange));
    };
    match issuer.verify(token, now) {
        Ok(identity) => Ok(Presented::Token(identity)),
        Err(Cause::UnknownKey | Cause::KeysUnavailable) => Err(UnknownKey(issuer.clone())),
        Err(cause) => Ok(refused(issuer.name(), cause)),
    }
}

/// A token that says it is of nobody whom the route accepts.
fn of_nobody_accepted(says: &str, error: TokenError, accepts_others: bool, exchange: &Exchange) -> Presented {
    let edition = &exchange.edition;
    if let Some(known) = edition.issuers.iter().find(|issuer| issuer.speaks_as(says)) {
        return refused(known.name(), Cause::IssuerNotAccepted);
    }
    match accepts_others && says != edition.policy.tokens.issuer {
        true => refused(NO_ISSUER, Cause::WrongIssuer),
        false => Presented::Bad(error.into()),
    }
}

fn refused(issuer: &str, cause: Cause) -> Presented {
    Presented::Foreign(Box::new(Refused { issuer: issuer.to_owned(), cause, retry_after: None }))
}

/// Notes why a token of another issuer is refused; to the stages after this it is a bad one like others.
pub fn note(presented: Presented, exchange: &mut Exchange) -> Presented {
    match presented {
        Presented::Foreign(refused) => {
            let code = refused.cause.code();
            exchange.refused_token = Some(refused);
            Presented::Bad(code)
        }
        other => other,
    }
}

/// When the issuer of the token can be asked again, where nobody can say at the moment.
pub fn put_off(rejection: Rejection, exchange: &Exchange) -> Rejection {
    let wait = exchange.refused_token.as_ref().and_then(|refused| refused.retry_after);
    match wait.filter(|_| rejection.code == Code::StoreUnavailable && rejection.retry_after.is_none()) {
        Some(wait) => rejection.retry_after(wait),
        None => rejection,
    }
}

/// Notes it if a role is missing because the token of another issuer brought none that counts.
pub fn note_missing_role(request: &RequestHeader, exchange: &mut Exchange, code: Code) {
    if code != Code::RoleMissing || exchange.edition.issuers.is_empty() {
        return;
    }
    // Users of other issuers have ids of another version than ours.
    let is_foreign =
        exchange.identity.as_ref().is_some_and(|identity| identity.user_id.get_version_num() == 8);
    let Ok(Some(Credential::Token(token))) = credentials::presented(&request.headers) else { return };
    let Some(says) = issuer_of(token).filter(|_| is_foreign) else { return };
    let issuer = exchange.edition.issuers.iter().find(|issuer| issuer.speaks_as(&says));
    let cause = issuer.and_then(|issuer| Some((issuer.name().to_owned(), issuer.why_without_roles(token)?)));
    exchange.refused_token =
        cause.map(|(issuer, cause)| Box::new(Refused { issuer, cause, retry_after: None }));
}
