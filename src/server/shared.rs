//! What the proxy, the auth wing and the admin port share, and each of them as it is made of that.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Handle;

use super::admin::Admin;
use super::admin_cache::AdminCache;
use super::admin_limits::AdminLimits;
use super::control::Placed;
use super::editions::{Builder, Generated};
use super::health::Health;
use super::open_stores::{self, OpenStores};
use super::policy_api::{self, PolicyApi};
use super::reload::Reloads;
use super::shutdown::{Remains, Traces};
use super::signing_key::KeyPlace;
use super::status::Status;
use super::{StartError, catching_up, certificates, console, retention};
use crate::auth::bridge::Bridge;
use crate::auth::console::Door;
use crate::auth::{self, Mailer, PasswordQueue};
use crate::config::policy::{Listen, Policy, Storage, UserStorage};
use crate::edition::Edition;
use crate::gateway::{Gateway, Records, Stages};
use crate::identity::token::generated::GeneratedKeys;
use crate::pipeline::arrive::api_keys::KnownKeys;
use crate::pipeline::arrive::meter::Meter;
use crate::pipeline::cache::enable::Cache;
use crate::pipeline::cache::storage::ResponseStorage;
use crate::pipeline::cache::undelivered::Undelivered;
use crate::pipeline::forward::fast_lane::FastLane;
use crate::store::memory::Fallback;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::decisions::Decisions;
use crate::telemetry::{Metrics, known_labels};
use crate::tls::Listeners;

const KEYS_EVERY: Duration = Duration::from_millis(500);
/// A look takes one question of the account store.
const NOTICES_EVERY: Duration = Duration::from_secs(5);

pub struct Shared {
    pub editions: Arc<ArcSwap<Edition>>,
    pub status: Arc<Status>,
    pub listeners: Arc<Listeners>,
    stores: OpenStores,
    passwords: PasswordQueue,
    mailer: Mailer,
    meter: Arc<Meter>,
    access_log: Arc<AccessLog>,
    decisions: Arc<Decisions>,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// With its stores open and a first edition in force, and what builds those to come. Must run in the office.
    pub async fn open(policy: &Arc<Policy>) -> Result<(Self, Builder), StartError> {
        let metrics = metrics(&policy.storage);
        let stores = open_stores::open(policy, true).await?;
        let generated = generated_keys(policy, &stores).await?;
        let builder = Builder::new(generated, metrics.clone(), Handle::current());
        let first = builder.build(policy.clone(), None).await.map_err(StartError::Config)?;
        let listeners = certificates::listeners(&policy.listen, &metrics)?;
        certificates::serve(&first, &listeners, &metrics);
        let shared = Self {
            editions: Arc::new(ArcSwap::from_pointee(first)),
            status: Arc::new(Status::new(metrics.clone())),
            listeners,
            passwords: passwords(policy, &metrics)?,
            mailer: Mailer::new(stores.for_auth(), metrics.clone()),
            meter: meter(&stores, &metrics),
            access_log: access_log(&metrics)?,
            decisions: Arc::new(Decisions::new(metrics.decision_log_dropped.clone())),
            stores,
            metrics,
        };
        keep_sending(shared.mailer.clone(), shared.editions.clone());
        retention::start(shared.stores.audit.clone(), shared.editions.clone(), shared.metrics.clone());
        Ok((shared, builder))
    }

    /// The proxy with the auth wing in it.
    pub fn gateway(&self, office: &Handle) -> Gateway {
        let Self { stores, passwords, mailer, metrics, .. } = self;
        let wing = auth::router(stores.for_auth(), passwords.clone(), mailer.clone(), metrics.clone());
        Gateway::from(Stages {
            editions: self.editions.clone(),
            meter: self.meter.clone(),
            keys: KnownKeys::new(stores.api_keys.clone(), stores.gatekeeper.clone(), metrics.clone()),
            cache: cache(stores, metrics),
            fast_lane: FastLane::default(),
            auth: Bridge::new(wing, office.clone()),
            metrics: metrics.clone(),
            records: Arc::new(Records {
                metrics: metrics.clone(),
                access_log: self.access_log.clone(),
                decisions: self.decisions.clone(),
            }),
        })
    }

    /// The admin port, and the control socket if there can be one. Must run in the office.
    pub async fn open_admin(&self, listen: &Listen, reloads: Reloads) -> Result<Option<Placed>, StartError> {
        let health =
            Health::new(self.editions.clone(), self.status.clone(), self.listeners.clone(), &self.stores);
        let policy = self.policy_api(reloads);
        let console = console::router(self.console(health.clone(), policy.clone()));
        let cache = AdminCache::new(self.editions.clone(), &self.stores).router();
        let limits = AdminLimits::new(self.editions.clone(), &self.stores).router();
        let revocations = catching_up::router(self.stores.revocations.clone());
        let api = self.admin_api(vec![policy_api::router(policy), cache, limits, revocations]);
        let admin = Admin::new(self.editions.clone(), self.status.clone(), &self.stores, health, api);
        admin.open_port(listen.admin, console).await?;
        admin.open_socket(&listen.control).await
    }

    /// With `more` for the same callers.
    fn admin_api(&self, more: Vec<(Router, Value)>) -> Router {
        let Self { stores, passwords, mailer, metrics, decisions, .. } = self;
        let (passwords, mailer) = (passwords.clone(), mailer.clone());
        auth::api::router(stores.for_auth(), passwords, mailer, metrics.clone(), decisions.clone(), more)
    }

    fn policy_api(&self, reloads: Reloads) -> PolicyApi {
        PolicyApi {
            editions: self.editions.clone(),
            status: self.status.clone(),
            reloads,
            gatekeeper: self.stores.gatekeeper.clone(),
            accounts: self.stores.accounts.clone(),
            api_keys: self.stores.api_keys.clone(),
        }
    }

    fn console(&self, health: Health, policy: PolicyApi) -> console::Console {
        let Self { stores, passwords, mailer, metrics, .. } = self;
        console::Console {
            door: Door::new(stores.for_auth(), passwords.clone(), mailer.clone(), metrics.clone()),
            limits: console::Limits { editions: self.editions.clone(), meter: self.meter.clone() },
            policy,
            health,
            history: console::History::start(metrics.clone()),
            metrics: metrics.clone(),
        }
    }

    pub fn remains(&self, traces: Traces) -> Remains {
        Remains {
            mailer: self.mailer.clone(),
            access_log: self.access_log.clone(),
            metrics: self.metrics.clone(),
            connections: Arc::default(),
            traces: Arc::new(traces),
        }
    }
}

/// Notices that were put off, or that another gateway has left, are looked for all the time.
fn keep_sending(mailer: Mailer, editions: Arc<ArcSwap<Edition>>) {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(NOTICES_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            mailer.send_notices(&editions.load().policy);
        }
    });
}

/// An alert on a rate needs the series before the first failure.
fn metrics(storage: &Storage) -> Arc<Metrics> {
    let metrics = Metrics::new();
    known_labels::of_process(&metrics);
    for store in open_stores::names(storage) {
        metrics.store_errors.with_label_values(&[store]);
    }
    Arc::new(metrics)
}

async fn generated_keys(policy: &Policy, stores: &OpenStores) -> Result<Option<Generated>, StartError> {
    let Some(place) = KeyPlace::of(policy, stores) else { return Ok(None) };
    let keys = Mutex::new(keys_in_time(&place, &policy.storage.users).await?);
    tracing::info!("tokens.keys names no key; signing with those kept with the accounts");
    Ok(Some(Generated { place, keys }))
}

/// Without its keys a gateway can neither sign nor verify: those in a Postgres that is away are waited for.
async fn keys_in_time(place: &KeyPlace, users: &UserStorage) -> Result<GeneratedKeys, StartError> {
    let mut has_told = false;
    loop {
        match place.get_or_create().await {
            Err(StartError::Store(error)) if matches!(users, UserStorage::Postgres(_)) => {
                if !std::mem::replace(&mut has_told, true) {
                    tracing::warn!(%error, "waiting for the signing keys, which are kept with the accounts");
                }
                tokio::time::sleep(KEYS_EVERY).await;
            }
            outcome => return outcome,
        }
    }
}

fn passwords(policy: &Policy, metrics: &Arc<Metrics>) -> Result<PasswordQueue, StartError> {
    let rules = &policy.auth.password;
    PasswordQueue::start(rules.workers, rules.queue, metrics.clone())
        .map_err(|cause| StartError::Io { doing: "starting the password threads", cause })
}

fn meter(stores: &OpenStores, metrics: &Arc<Metrics>) -> Arc<Meter> {
    Arc::new(Meter {
        gatekeeper: stores.gatekeeper.clone(),
        fallback: Fallback::default(),
        metrics: metrics.clone(),
    })
}

fn cache(stores: &OpenStores, metrics: &Arc<Metrics>) -> Cache {
    Cache::new(ResponseStorage {
        undelivered: Undelivered::default(),
        responses: stores.responses.clone(),
        purges: stores.purges.clone(),
        flights: stores.flights.clone(),
        process_tier: stores.process_tier.clone(),
        metrics: metrics.clone(),
    })
}

fn access_log(metrics: &Metrics) -> Result<Arc<AccessLog>, StartError> {
    // Not by the standard library's own buffer, which keeps what can't be written and tears lines.
    let out = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    out.and_then(|out| AccessLog::start(out, metrics.access_log_dropped.clone()))
        .map(Arc::new)
        .map_err(|cause| StartError::Io { doing: "starting the access log", cause })
}
