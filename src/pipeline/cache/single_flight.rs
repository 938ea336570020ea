//! One computation of an answer per fleet: whoever finds nothing takes a lease, and the others wait until
//! the answer is stored, or compute for themselves when nothing comes of it.
//!
//! When the store is down everybody computes: Pingora's own lock still lets only one of this process.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pingora::cache::CacheKey;

use super::storage::{Found, ResponseStorage, name, visit};
use crate::exchange::CacheVisit;
use crate::store::{Flight, Landing};

/// A waiter computes for itself after this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What is stored, once it is this request's turn: `None`, or something stale, to be computed anew.
pub async fn run(storage: &ResponseStorage, key: &CacheKey, mut found: Option<Found>) -> Option<Found> {
    let (Some(flights), Some(visit)) = (&storage.flights, visit(key)) else { return found };
    if is_usable(found.as_ref()) {
        land(visit);
        return found;
    }
    if !visit.fills || visit.flight.lock().is_some() || visit.has_store_failed.load(Ordering::Acquire) {
        return found;
    }
    let name = name(key);
    let began = Instant::now();
    while began.elapsed() < LONGEST_WAIT {
        let watch = flights.landings().watch(&name);
        let flight = match Flight::begin(flights, &name).await {
            Ok(flight) => flight,
            Err(error) => {
                storage.note(&error);
                return found;
            }
        };
        let landing = match flight {
            Some(flight) => {
                *visit.flight.lock() = Some(flight);
                None
            }
            None => {
                visit.is_collapsed.store(true, Ordering::Release);
                Some(watch.landing().await)
            }
        };
        // One may have ended between our look and our taking it, too.
        found = storage.find(key).await.or(found);
        if is_usable(found.as_ref()) {
            land(visit);
            return found;
        }
        if !matches!(landing, Some(Landing::Kept | Landing::Silence)) {
            return found;
        }
    }
    found
}

/// Fresh, or to be served while it is computed anew in the background.
fn is_usable(found: Option<&Found>) -> bool {
    let now = std::time::SystemTime::now();
    found.is_some_and(|found| found.meta.is_fresh(now) || found.meta.serve_stale_while_revalidate(now))
}

/// What was taken needn't be computed any more.
pub fn land(visit: &CacheVisit) {
    if let Some(flight) = visit.flight.lock().take() {
        flight.land();
    }
}
