//! The admin port: `/metrics`, `/healthz`, `/readyz`, `/cache/…`, and the admin API. Never on a proxy port.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::StartError;
use super::admin_cache::AdminCache;
use super::health::Health;
use super::open_stores::OpenStores;
use super::status::Status;
use crate::store::Revocations;

#[derive(Clone)]
struct Admin {
    status: Arc<Status>,
    revocations: Arc<dyn Revocations>,
    cache: AdminCache,
    health: Health,
}

/// Binds and serves in the background; must run within the office runtime.
pub async fn start(
    address: SocketAddr,
    status: Arc<Status>,
    stores: &OpenStores,
    health: Health,
    api: Router,
) -> Result<(), StartError> {
    let listener = TcpListener::bind(address).await.map_err(|cause| StartError::Listen { address, cause })?;
    let cache = AdminCache::new(stores);
    let admin = Admin { status, revocations: stores.revocations.clone(), cache: cache.clone(), health };
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

/// 503 unless requests can be served.
async fn readyz(State(admin): State<Admin>) -> Response {
    let (is_ready, readiness) = admin.health.read().await;
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness)).into_response()
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
