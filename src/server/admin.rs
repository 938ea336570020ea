//! The admin port: `/metrics`, `/healthz`, `/readyz`, `/cache/…`, and the admin API. Never on a proxy port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

use super::StartError;
use super::admin_cache::AdminCache;
use super::open_stores::OpenStores;
use super::status::Status;
use crate::store::{Accounts, Revocations, StoreError};

/// A store that doesn't answer a ping within this is down.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Admin {
    status: Arc<Status>,
    accounts: Arc<dyn Accounts>,
    revocations: Arc<dyn Revocations>,
    cache: AdminCache,
}

/// Binds and serves in the background; must run within the office runtime.
pub async fn start(
    address: SocketAddr,
    status: Arc<Status>,
    stores: &OpenStores,
    api: Router,
) -> Result<(), StartError> {
    let listener = TcpListener::bind(address).await.map_err(|cause| StartError::Listen { address, cause })?;
    let cache = AdminCache::new(stores);
    let admin = Admin {
        status,
        accounts: stores.accounts.clone(),
        revocations: stores.revocations.clone(),
        cache: cache.clone(),
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(admin)
        .merge(cache.router())
        .merge(api);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!(%error, "the admin port stopped");
        }
    });
    Ok(())
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let mirroring = admin.revocations.mirroring();
    let metrics = &admin.status.metrics;
    metrics.revocation_lag.set(mirroring.map_or(0.0, |mirroring| mirroring.age.as_secs_f64()));
    metrics.revocation_mirrored.set(mirroring.is_some_and(|mirroring| mirroring.is_current).into());
    for (tier, bytes) in admin.cache.held_bytes() {
        if let Some(bytes) = bytes {
            metrics.cache_bytes.with_label_values(&[tier]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.status.metrics.render())
}

/// What `/readyz` found out.
#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    listening: bool,
    draining: bool,
    accounts: &'static str,
    state: &'static str,
    revocations: &'static str,
    last_reload: &'static str,
}

/// 503 while starting or draining and when the state store is down: requests with a token would
/// be refused. Starting takes until the revocations have been read once. Without the account store
/// tokens still work, so taking the gateway out of service would only widen the outage: 200,
/// `degraded`. So it is while revocations can't be followed, and after a refused reload, which leaves
/// a working policy.
async fn readyz(State(admin): State<Admin>) -> Response {
    let (accounts, state) = tokio::join!(ping(admin.accounts.ping()), ping(admin.revocations.ping()));
    let (listening, draining) = (admin.status.is_listening(), admin.status.is_draining());
    let mirroring = admin.revocations.mirroring();
    let is_stale = mirroring.is_some_and(|mirroring| !mirroring.is_current);
    let is_filled = mirroring.is_none_or(|mirroring| mirroring.is_filled) && admin.cache.is_filled();
    let ready = listening && !draining && state && is_filled;
    let degraded = !accounts || is_stale || admin.status.has_reload_failed();
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
        last_reload: if admin.status.has_reload_failed() { "refused" } else { "ok" },
    };
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness)).into_response()
}

async fn ping(call: impl Future<Output = Result<(), StoreError>>) -> bool {
    matches!(tokio::time::timeout(PING_TIMEOUT, call).await, Ok(Ok(())))
}
