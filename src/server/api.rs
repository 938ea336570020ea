//! Brings the admin API and the console onto the admin port: what each of their requests must carry.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::HOST;

use crate::auth::{Caller, Settings};
use crate::edition::Edition;
use crate::telemetry::request_id::RequestId;

/// The endpoints; by the edition in force when a request comes in.
pub fn router(editions: Arc<ArcSwap<Edition>>, endpoints: Router) -> Router {
    endpoints.layer(from_fn_with_state(editions, introduce))
}

async fn introduce(
    State(editions): State<Arc<ArcSwap<Edition>>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let edition = editions.load();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let caller = Caller {
        address: peer.ip(),
        request_id: RequestId::next().to_string(),
        scheme: "http",
        host: host.unwrap_or_default().to_ascii_lowercase(),
    };
    let settings = Settings::of(&edition);
    drop(edition);
    let extensions = request.extensions_mut();
    if let Some(settings) = settings {
        extensions.insert(settings);
    }
    extensions.insert(caller);
    next.run(request).await
}
