//! Can this gateway serve, and how well? For `/readyz` and the console.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::admin_cache::AdminCache;
use super::open_stores::OpenStores;
use super::status::Status;
use crate::store::{Accounts, Revocations, StoreError};

/// A store that doesn't answer a ping within this is down.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Health {
    status: Arc<Status>,
    accounts: Arc<dyn Accounts>,
    revocations: Arc<dyn Revocations>,
    cache: AdminCache,
}

/// What was found out.
#[derive(Serialize)]
pub struct Readiness {
    pub status: &'static str,
    pub listening: bool,
    pub draining: bool,
    pub accounts: &'static str,
    pub state: &'static str,
    pub revocations: &'static str,
    pub last_reload: &'static str,
}

impl Health {
    pub fn new(status: Arc<Status>, stores: &OpenStores) -> Self {
        let (accounts, revocations) = (stores.accounts.clone(), stores.revocations.clone());
        Self { status, accounts, revocations, cache: AdminCache::new(stores) }
    }

    /// Not ready while starting or draining and when the state store is down: requests with a token would
    /// be refused. Starting takes until the revocations have been read once. Without the account store
    /// tokens still work, so taking the gateway out of service would only widen the outage: ready, but
    /// `degraded`. So it is while revocations can't be followed, and after a refused reload, which leaves
    /// a working policy.
    pub async fn read(&self) -> (bool, Readiness) {
        let (accounts, state) = tokio::join!(ping(self.accounts.ping()), ping(self.revocations.ping()));
        let (listening, draining) = (self.status.is_listening(), self.status.is_draining());
        let mirroring = self.revocations.mirroring();
        let is_stale = mirroring.is_some_and(|mirroring| !mirroring.is_current);
        let is_filled = mirroring.is_none_or(|mirroring| mirroring.is_filled) && self.cache.is_filled();
        let ready = listening && !draining && state && is_filled;
        let degraded = !accounts || is_stale || self.status.has_reload_failed();
        let readiness = Readiness {
            status: match (ready, degraded) {
                (true, false) => "ready",
                (true, true) => "degraded",
                (false, _) => "not ready",
            },
            listening,
            draining,
            accounts: if accounts { "ok" } else { "down" },
            state: if state { "ok" } else { "down" },
            revocations: match mirroring {
                Some(mirroring) if mirroring.is_current => "mirrored",
                Some(_) => "mirror is stale, checked per request",
                None => "checked per request",
            },
            last_reload: if self.status.has_reload_failed() { "refused" } else { "ok" },
        };
        (ready, readiness)
    }
}

async fn ping(call: impl Future<Output = Result<(), StoreError>>) -> bool {
    matches!(tokio::time::timeout(PING_TIMEOUT, call).await, Ok(Ok(())))
}
