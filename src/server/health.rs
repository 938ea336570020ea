//! Would this gateway serve, and how well? For `/readyz` and the console.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::Mutex;

use super::admin_cache::AdminCache;
use super::open_stores::OpenStores;
use super::status::Status;
use crate::config::policy::{Access, Destination, OnStoreError, Policy, Route};
use crate::edition::Edition;
use crate::store::{Accounts, Revocations, StoreError};
use crate::tls::{Listeners, ServedCertificate};

/// A store that doesn't answer within this is down.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Whoever asks more often gets the last answer: a probe writes to the store.
const PROBE_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct Health {
    editions: Arc<ArcSwap<Edition>>,
    status: Arc<Status>,
    listeners: Arc<Listeners>,
    accounts: Arc<dyn Accounts>,
    revocations: Arc<dyn Revocations>,
    cache: AdminCache,
    probed: Arc<Mutex<Option<Probe>>>,
}

/// What the stores said when they were last asked; `None`: all is well.
#[derive(Clone)]
struct Probe {
    at: Instant,
    accounts: Option<String>,
    state: Option<String>,
}

/// What was found out.
#[derive(Serialize)]
pub struct Readiness {
    pub status: &'static str,
    pub listening: bool,
    pub draining: bool,
    pub accounts: &'static str,
    pub state: &'static str,
    /// Why one of them is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub revocations: &'static str,
    pub last_reload: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<ServedCertificate>,
}

impl Health {
    pub fn new(
        editions: Arc<ArcSwap<Edition>>,
        status: Arc<Status>,
        listeners: Arc<Listeners>,
        stores: &OpenStores,
    ) -> Self {
        let (accounts, revocations) = (stores.accounts.clone(), stores.revocations.clone());
        let cache = AdminCache::new(editions.clone(), stores);
        Self { editions, status, listeners, accounts, revocations, cache, probed: Arc::default() }
    }

    /// Not ready while starting or draining, and when the state store is down or takes no writes, unless the
    /// policy in force serves every route without it. Starting takes until the revocations have been read once.
    /// Without the account store tokens still work, so taking the gateway out of service would only widen the
    /// outage: ready, but `degraded`. So it is while revocations can't be followed, and after a refused reload,
    /// which leaves a working policy.
    pub async fn read(&self) -> (bool, Readiness) {
        let Probe { accounts, state, .. } = self.probe().await;
        let (listening, draining) = (self.status.is_listening(), self.status.is_draining());
        let mirroring = self.revocations.mirroring();
        let is_stale = mirroring.is_some_and(|mirroring| !mirroring.is_current);
        let serves = match &state {
            None => mirroring.is_none_or(|mirroring| mirroring.is_filled) && self.cache.is_filled(),
            Some(_) => serves_without_state(&self.editions.load().policy),
        };
        let ready = listening && !draining && serves;
        let degraded = accounts.is_some() || state.is_some() || is_stale || self.status.has_reload_failed();
        let word = |problem: &Option<String>| if problem.is_none() { "ok" } else { "down" };
        let readiness = Readiness {
            status: match (ready, degraded) {
                (true, false) => "ready",
                (true, true) => "degraded",
                (false, _) => "not ready",
            },
            listening,
            draining,
            accounts: word(&accounts),
            state: word(&state),
            revocations: match mirroring {
                Some(mirroring) if mirroring.is_current => "mirrored",
                Some(_) => "mirror is stale, checked per request",
                None => "checked per request",
            },
            cause: state.or(accounts),
            last_reload: if self.status.has_reload_failed() { "refused" } else { "ok" },
            certificates: self.listeners.certificates(),
        };
        (ready, readiness)
    }

    async fn probe(&self) -> Probe {
        let mut probed = self.probed.lock().await;
        if let Some(probe) = probed.as_ref().filter(|probe| probe.at.elapsed() < PROBE_EVERY) {
            return probe.clone();
        }
        let (accounts, state) = tokio::join!(ask(self.accounts.ping()), ask(self.revocations.ping()));
        let probe = Probe { at: Instant::now(), accounts, state };
        note_change(probed.as_ref(), &probe);
        probed.insert(probe).clone()
    }
}

/// Says once when a store goes or comes back.
fn note_change(before: Option<&Probe>, now: &Probe) {
    let was = |store: fn(&Probe) -> &Option<String>| before.and_then(|before| store(before).as_ref());
    for (name, was, is) in [
        ("users", was(|probe| &probe.accounts), &now.accounts),
        ("state", was(|probe| &probe.state), &now.state),
    ] {
        match (was, is) {
            (None, Some(cause)) => tracing::warn!(store = name, cause, "a store is down or takes no writes"),
            (Some(_), None) => tracing::info!(store = name, "a store is back"),
            _ => {}
        }
    }
}

/// Whether every route goes on while the state store is away: nobody's token has to be checked there, and no
/// limit refuses for want of it.
fn serves_without_state(policy: &Policy) -> bool {
    let is_forwarded = |route: &&Arc<Route>| matches!(route.destination, Destination::Upstream(_));
    let mut routes = policy.routes.routes().iter().filter(is_forwarded).peekable();
    let is_served = |route: &Arc<Route>| {
        let asks_nobody = route.access == Access::Public || policy.revocation.admit_unchecked_bearers;
        let refuses =
            route.limits.iter().any(|limit| !limit.observe && limit.on_store_error == OnStoreError::Deny);
        asks_nobody && !refuses
    };
    // Without any, the gateway is there for its accounts alone.
    routes.peek().is_some() && routes.all(is_served)
}

/// What is wrong.
async fn ask(call: impl Future<Output = Result<(), StoreError>>) -> Option<String> {
    match tokio::time::timeout(PROBE_TIMEOUT, call).await {
        Ok(answer) => answer.err().map(|error| error.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    }
}
