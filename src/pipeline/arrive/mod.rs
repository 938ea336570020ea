//! Before anything is forwarded or answered from the cache: all protection sits here, because
//! cache hits skip every later filter. The order of lines is the order of events.

pub mod admit;
pub mod api_keys;
mod arrival;
mod assign_route;
mod authenticate;
mod authorize;
pub mod begin_trace;
mod charges;
mod client;
mod content_length;
pub mod counter_names;
mod excuse;
pub use arrival::Arrival;
pub use client::{is_trusted, peer_address, readable_hops, unknown as unknown_client};
pub use content_length::content_length;
pub mod meter;
mod observe;
pub mod target;
mod tokens;

use self::authenticate::Presented;
use crate::exchange::Exchange;
use crate::rejection::Rejection;

/// Lets a request pass or says why not. Repeatable: a background revalidation comes through here
/// again and isn't charged.
pub async fn run(
    arrival: &Arrival<'_>,
    exchange: &mut Exchange,
    keys: &api_keys::KnownKeys,
    meter: &meter::Meter,
) -> Result<(), Rejection> {
    if let Some(tracing) = exchange.edition.policy.tracing.as_ref().filter(|_| arrival.charged) {
        exchange.trace = begin_trace::run(&arrival.request.headers, &exchange.request_id, tracing);
    }
    let arrived = decide(arrival, exchange, keys, meter).await;
    exchange.arrived_after = Some(exchange.started.elapsed());
    arrived
}

/// The decision itself; `rehearsal` asks it, too.
pub async fn decide(
    arrival: &Arrival<'_>,
    exchange: &mut Exchange,
    keys: &api_keys::KnownKeys,
    meter: &meter::Meter,
) -> Result<(), Rejection> {
    exchange.enter("admit");
    admit::run(arrival, exchange)?;
    exchange.enter("assign_route");
    assign_route::run(arrival.request, exchange)?;
    exchange.enter("authenticate");
    let mut presented = authenticate::run(arrival, exchange, keys).await;
    if let Presented::UnknownKey(key) = &presented {
        // Boxed: this future is made and moved for every request.
        presented = Box::pin(look_up(arrival, exchange, keys, meter, key)).await?;
    }
    let presented = tokens::note(presented, exchange);
    // At most one round trip for revocation and limits; a bad token is charged to its address first, so
    // that guessing costs. Before authorize: a revoked token learns nothing of the rules.
    exchange.enter("meter");
    let metered = meter.run(arrival.request, exchange, presented, arrival.charged).await;
    let metered = metered.map_err(|rejection| tokens::put_off(rejection, exchange));
    let metered = excuse::run(metered, exchange);
    observe::run(metered, exchange)?;
    exchange.enter("authorize");
    let authorized = authorize::run(exchange);
    if let Err(rejection) = &authorized {
        tokens::note_missing_role(arrival.request, exchange, rejection.code);
    }
    observe::run(authorized, exchange)
}

/// The address pays before the store is asked, so that whoever makes keys up is stopped by its limits.
async fn look_up(
    arrival: &Arrival<'_>,
    exchange: &mut Exchange,
    keys: &api_keys::KnownKeys,
    meter: &meter::Meter,
    key: &api_keys::UnknownKey,
) -> Result<Presented, Rejection> {
    if arrival.charged {
        meter.charge_address(arrival.request, exchange).await?;
    }
    keys.look_up(key, exchange).await
}
