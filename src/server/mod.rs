//! The outer ring: files, sockets, signals and the names of concrete stores. Nothing imports it
//! but the command line.

mod admin;
mod admin_cache;
mod admin_limits;
mod admin_listener;
mod api;
mod catching_up;
mod certificates;
mod console;
pub mod control;
mod descriptors;
mod editions;
mod greeting;
mod guard;
mod health;
pub mod limit_counters;
mod listeners;
pub mod load;
pub mod open_stores;
pub mod policy_api;
mod proxy;
pub mod reload;
mod retention;
pub mod run_file;
mod shared;
mod shutdown;
pub mod signing_key;
pub mod status;
pub mod watch;

pub use admin_cache::check_purge;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Runtime;

use open_stores::OpenStores;
use parking_lot::Mutex;
use run_file::RunFile;
use shared::Shared;
use shutdown::Traces;
use signing_key::KeyPlace;

use crate::clock::now;
use crate::config::compile::Compiled;
use crate::config::policy::{Policy, Tokens};
use crate::telemetry::log::Log;

/// Why the gateway did not start; the command line prints it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Config(String),
    #[error("opening the stores: {0}")]
    Store(#[from] crate::store::StoreError),
    #[error("can't listen on {address}: {cause}")]
    Listen { address: std::net::SocketAddr, cause: std::io::Error },
    #[error("opening the control socket {}: {cause}", .path.display())]
    Control { path: PathBuf, cause: String },
    #[error("setting up TLS: {0}")]
    Tls(rustls::Error),
    #[error("{doing}: {cause}")]
    Io { doing: &'static str, cause: std::io::Error },
}

/// Runs the gateway until a signal ends it.
pub fn serve(config: &Path, log: Log) -> Result<(), StartError> {
    let watching = |cause| StartError::Io { doing: "watching the configuration", cause };
    let is_readable_again = load::is_readable_again(config);
    let changes = reload::Changes::follow(config).map_err(watching)?;
    descriptors::raise_limit();
    let loaded = load::load_tested(config).map_err(|problems| StartError::Config(load::render(&problems)))?;
    let policy = announce(loaded);
    log.set_level(policy.log.level);
    // Stores, the auth wing and the admin port live here; Pingora has runtimes of its own.
    let office = office()?;
    let doing = "listening for signals";
    office.block_on(async { shutdown::ignore_others() }).map_err(|cause| StartError::Io { doing, cause })?;
    let (shared, builder) = office.block_on(Shared::open(&policy))?;
    let gateway = shared.gateway(office.handle());
    let reload = reload::Reload {
        path: PathBuf::from(config),
        is_readable_again,
        builder,
        editions: shared.editions.clone(),
        status: shared.status.clone(),
        listeners: shared.listeners.clone(),
        log,
        reading: Arc::default(),
        retired: Mutex::default(),
    };
    let reloads = reload.start(changes, &office).map_err(watching)?;
    let control = office.block_on(shared.open_admin(&policy.listen, reloads))?;
    let run_file = RunFile::write(config, control.as_ref().map(|placed| placed.path()), policy.listen.admin);
    let remains = shared.remains(Traces { control, run_file });
    let docs = policy.auth.docs.then(|| format!("{}/docs", policy.auth.prefix));
    office.block_on(async { greeting::start(&policy.listen, docs, shared.status.clone()) });
    let (listeners, status) = (shared.listeners.clone(), shared.status.clone());
    let ran = proxy::run(gateway, &policy.listen, listeners, office.handle(), status, remains.clone());
    if ran.is_err() {
        remains.settle();
    }
    ran
}

/// `tokens:` with the keys that the gateway has made for itself where the file names none.
pub async fn tokens_with_keys(policy: &Policy, stores: &OpenStores) -> Result<Tokens, StartError> {
    let mut tokens = policy.tokens.clone();
    if let Some(place) = KeyPlace::of(policy, stores) {
        tokens.keys = place.get_or_create().await?.in_force(now());
    }
    Ok(tokens)
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
