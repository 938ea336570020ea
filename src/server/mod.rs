//! The outer ring: files, sockets, signals and the names of concrete stores. Nothing imports it
//! but the command line.

mod admin;
mod admin_cache;
mod api;
mod console;
mod editions;
mod health;
pub mod load;
pub mod open_stores;
pub mod policy_api;
mod proxy;
pub mod reload;
mod shutdown;
pub mod signing_key;
pub mod status;
pub mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::runtime::Runtime;

use open_stores::OpenStores;
use parking_lot::Mutex;
use signing_key::KeyPlace;

use crate::auth::bridge::Bridge;
use crate::auth::console::Door;
use crate::auth::{self, Mailer, PasswordQueue};
use crate::clock::now;
use crate::config::compile::Compiled;
use crate::config::policy::{Policy, Tokens};
use crate::gateway::{Gateway, Stages};
use crate::pipeline::arrive::api_keys::KnownKeys;
use crate::pipeline::arrive::meter::Meter;
use crate::pipeline::cache::enable::Cache;
use crate::pipeline::cache::storage::ResponseStorage;
use crate::pipeline::forward::fast_lane::FastLane;
use crate::store::memory::LocalCounters;
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::decisions::Decisions;
use crate::telemetry::log::Log;

/// Why the gateway did not start; the command line prints it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Config(String),
    #[error("opening the stores: {0}")]
    Store(#[from] crate::store::StoreError),
    #[error("listening on {address}: {cause}")]
    Listen { address: std::net::SocketAddr, cause: std::io::Error },
    #[error("reading the certificate of {address}: {cause}")]
    Tls { address: std::net::SocketAddr, cause: String },
    #[error("{doing}: {cause}")]
    Io { doing: &'static str, cause: std::io::Error },
}

/// Runs the gateway until a signal ends it.
pub fn serve(config: &Path, log: Log) -> Result<(), StartError> {
    let watching = |cause| StartError::Io { doing: "watching the configuration", cause };
    let changes = reload::Changes::follow(config).map_err(watching)?;
    let loaded = load::load_tested(config).map_err(|problems| StartError::Config(load::render(&problems)))?;
    let policy = announce(loaded);
    log.set_level(policy.log.level);
    // Stores, the auth wing and the admin port live here; Pingora has runtimes of its own.
    let office = office()?;
    let metrics = Arc::new(Metrics::new());
    // An alert on a rate needs the series before the first failure.
    for store in open_stores::names(&policy.storage) {
        metrics.store_errors.with_label_values(&[store]);
    }
    let stores = office.block_on(open_stores::open(&policy, true))?;
    let generated = office.block_on(generated_keys(&policy, &stores))?;
    let passwords = &policy.auth.password;
    let passwords = PasswordQueue::start(passwords.workers, passwords.queue, metrics.clone())
        .map_err(|cause| StartError::Io { doing: "starting the password threads", cause })?;

    let builder = editions::Builder::new(generated, metrics.clone(), office.handle().clone());
    let first = office.block_on(builder.build(policy.clone(), None)).map_err(StartError::Config)?;
    let editions = Arc::new(ArcSwap::from_pointee(first));
    let access_log = access_log(&metrics)?;
    let decisions = Arc::new(Decisions::new(metrics.decision_log_dropped.clone()));
    let status = Arc::new(status::Status::new(metrics.clone()));

    let mailer = office.block_on(async { Mailer::start(stores.for_auth(), metrics.clone()) });
    let router = auth::router(stores.for_auth(), passwords.clone(), mailer.clone(), metrics.clone());
    let door = Door::new(stores.for_auth(), passwords.clone(), mailer.clone(), metrics.clone());
    let api = auth::api::router(stores.for_auth(), passwords, mailer, metrics.clone(), decisions.clone());
    let api = Router::new().nest("/api", api);
    let gateway = Gateway::from(Stages {
        editions: editions.clone(),
        meter: Meter {
            gatekeeper: stores.gatekeeper.clone(),
            fallback: LocalCounters::default(),
            metrics: metrics.clone(),
        },
        keys: KnownKeys::new(stores.api_keys.clone(), stores.gatekeeper.clone(), metrics.clone()),
        cache: Cache::new(ResponseStorage {
            responses: stores.responses.clone(),
            purges: stores.purges.clone(),
            flights: stores.flights.clone(),
            process_tier: stores.process_tier.clone(),
            metrics: metrics.clone(),
        }),
        fast_lane: FastLane::default(),
        auth: Bridge::new(router, office.handle().clone()),
        metrics: metrics.clone(),
        access_log: access_log.clone(),
        decisions,
    });
    let reload = reload::Reload {
        path: PathBuf::from(config),
        builder,
        editions: editions.clone(),
        status: status.clone(),
        log,
        retired: Mutex::default(),
    };
    let reloads = reload.start(changes, &office).map_err(watching)?;
    let policy_api = policy_api::PolicyApi {
        editions: editions.clone(),
        status: status.clone(),
        reloads,
        gatekeeper: stores.gatekeeper.clone(),
        accounts: stores.accounts.clone(),
        api_keys: stores.api_keys.clone(),
    };
    let health = health::Health::new(status.clone(), &stores);
    let console = console::Console {
        door,
        policy: policy_api.clone(),
        health: health.clone(),
        history: office.block_on(async { console::History::start(metrics.clone()) }),
        metrics,
    };
    let api =
        api::router(editions, api.merge(console::router(console))).merge(policy_api::router(policy_api));
    office.block_on(admin::start(policy.listen.admin, status.clone(), &stores, health, api))?;
    proxy::run(gateway, &policy.listen, office.handle(), status, access_log)
}

/// `tokens:` with the keys that the gateway has made for itself where the file names none.
pub async fn tokens_with_keys(policy: &Policy, stores: &OpenStores) -> Result<Tokens, StartError> {
    let mut tokens = policy.tokens.clone();
    if let Some(place) = KeyPlace::of(policy, stores) {
        tokens.keys = place.get_or_create().await?.in_force(now());
    }
    Ok(tokens)
}

async fn generated_keys(
    policy: &Policy,
    stores: &OpenStores,
) -> Result<Option<editions::Generated>, StartError> {
    let Some(place) = KeyPlace::of(policy, stores) else { return Ok(None) };
    let keys = Mutex::new(place.get_or_create().await?);
    tracing::info!("tokens.keys names no key; signing with those kept with the accounts");
    Ok(Some(editions::Generated { place, keys }))
}

/// The policy of the file; its warnings go to the log. `Err` lists every problem.
pub fn load_policy(path: &Path) -> Result<Arc<Policy>, String> {
    load::load(path).map(announce).map_err(|problems| load::render(&problems))
}

/// Says the warnings in the log.
fn announce(loaded: Compiled) -> Arc<Policy> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    loaded.policy
}

fn office() -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("office")
        .enable_all()
        .build()
        .map_err(|cause| StartError::Io { doing: "starting a runtime", cause })
}

fn access_log(metrics: &Metrics) -> Result<Arc<AccessLog>, StartError> {
    AccessLog::start(std::io::stdout(), metrics.access_log_dropped.clone())
        .map(Arc::new)
        .map_err(|cause| StartError::Io { doing: "starting the access log", cause })
}
