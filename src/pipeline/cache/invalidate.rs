//! An unsafe request that went well makes what is stored for its target doubtful (RFC 9111 §4.4).

use http::StatusCode;
use pingora::http::RequestHeader;

use super::key;
use super::storage::ResponseStorage;
use crate::exchange::Exchange;

/// Before the client hears of it, so that its next request finds the new state. For requests to the
/// cached route itself, where its rule says so: whoever may write there could empty a shared cache. A purge does it
/// for others.
pub async fn run(
    request: &RequestHeader,
    status: StatusCode,
    exchange: &Exchange,
    storage: &'static ResponseStorage,
) {
    let went_well = status.is_success() || status.is_redirection();
    let is_asked_to = exchange.cache_rule().is_some_and(|rule| rule.invalidate);
    if request.method.is_safe() || !went_well || !is_asked_to || !exchange.edition.policy.cache.enabled {
        return;
    }
    if let Some(key) = key::run(request, exchange) {
        storage.invalidate(key).await;
    }
}
