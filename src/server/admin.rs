//! The admin side: the admin port, and the control socket for the command line on this machine. Never on a
//! proxy port.
//!
//! `/healthz`, `/readyz` and, unless it has a token, `/metrics` are for everybody. All else on the port asks
//! for an operator, and under a name of its own: `guard`.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::{TcpListener, UnixListener};

use super::admin_cache::AdminCache;
use super::admin_listener::AdminListener;
use super::health::Health;
use super::open_stores::OpenStores;
use super::status::Status;
use super::{StartError, api, control, guard};
use crate::auth::LocalOperator;
use crate::auth::api::{Known, Operators};
use crate::config::policy::ControlSocket;
use crate::edition::Edition;
use crate::identity::credentials;
use crate::identity::secret::Secret;
use crate::rejection::Code;
use crate::store::Revocations;

#[derive(Clone)]
pub struct Admin {
    editions: Arc<ArcSwap<Edition>>,
    status: Arc<Status>,
    revocations: Arc<dyn Revocations>,
    cache: AdminCache,
    health: Health,
    /// Beneath `/api`, without what their requests must carry.
    api: Router,
}

impl Admin {
    pub fn new(
        editions: Arc<ArcSwap<Edition>>,
        status: Arc<Status>,
        stores: &OpenStores,
        health: Health,
        api: Router,
    ) -> Self {
        let (revocations, cache) = (stores.revocations.clone(), AdminCache::new(editions.clone(), stores));
        Self { editions, status, revocations, cache, health, api: Router::new().nest("/api", api) }
    }

    /// Binds the port and serves in the background; must run within the office runtime.
    pub async fn open_port(&self, address: SocketAddr, console: Router) -> Result<(), StartError> {
        let listener =
            TcpListener::bind(address).await.map_err(|cause| StartError::Listen { address, cause })?;
        // The tap does nothing but let the peer be known to the service.
        let listener = AdminListener::new(listener).tap_io(|_| ());
        let guarded = Router::new()
            .route("/", get(async || Redirect::to("/console/")))
            .merge(self.api.clone())
            .merge(console);
        let guarded = guard::around(guarded, self.editions.clone(), address);
        let router = api::over_tcp(self.editions.clone(), self.open().merge(guarded));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!(%error, "the admin port stopped");
            }
        });
        Ok(())
    }

    /// The same for the control socket, without the console. `None`: there is none, and the log says why.
    pub async fn open_socket(&self, socket: &ControlSocket) -> Result<Option<control::Placed>, StartError> {
        let Some((listener, placed)) = control::open(socket).await? else { return Ok(None) };
        let router = api::over_socket(self.editions.clone(), self.open().merge(self.api.clone()));
        tokio::spawn(serve_socket(listener, router));
        Ok(Some(placed))
    }

    fn open(&self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
    }
}

async fn serve_socket(listener: UnixListener, router: Router) {
    let service = router.into_make_service_with_connect_info::<control::Peer>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "the control socket stopped");
    }
}

/// 503 unless requests would be served. Only operators are told the details.
async fn readyz(State(admin): State<Admin>, request: Request) -> Response {
    let known = Known::of(&request);
    let headers = request.headers().clone();
    let operators = Operators { revocations: admin.revocations.clone() };
    let (is_ready, readiness) = admin.health.read().await;
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match operators.recognise(known, &headers).await {
        Ok(_) => (code, Json(readiness)).into_response(),
        Err(_) => (code, Json(json!({ "status": readiness.status }))).into_response(),
    }
}

async fn metrics(State(admin): State<Admin>, request: Request) -> Response {
    let is_local = request.extensions().get::<LocalOperator>().is_some();
    let token = admin.editions.load().policy.admin.metrics_token.clone().filter(|_| !is_local);
    if let Some(code) = token.and_then(|token| missing(&token, &request)) {
        return guard::refuse(code.into());
    }
    let mirroring = admin.revocations.mirroring();
    let metrics = &admin.status.metrics;
    metrics.revocation_lag.set(mirroring.map_or(0.0, |mirroring| mirroring.age.as_secs_f64()));
    metrics.revocation_mirrored.set(mirroring.is_some_and(|mirroring| mirroring.is_current).into());
    for (tier, bytes) in admin.cache.held_bytes() {
        if let Some(bytes) = bytes {
            metrics.cache_bytes.with_label_values(&[tier]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, admin.status.metrics.render()).into_response()
}

/// What is wrong with a request that must carry this token; compared in constant time.
fn missing(token: &Secret, request: &Request) -> Option<Code> {
    match credentials::bearer(request.headers()) {
        Ok(Some(presented)) if Secret::new(presented) == *token => None,
        Ok(Some(_)) => Some(Code::TokenInvalid),
        Ok(None) => Some(Code::NoCredentials),
        Err(code) => Some(code),
    }
}
