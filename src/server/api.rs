//! What each request to the admin side must carry: the settings in force, and who is calling.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::HOST;

use super::control;
use crate::auth::{Caller, LocalOperator, Settings};
use crate::edition::Edition;
use crate::telemetry::request_id::RequestId;

type Editions = Arc<ArcSwap<Edition>>;

/// By the edition in force when a request comes in.
pub fn over_tcp(editions: Editions, router: Router) -> Router {
    router.layer(from_fn_with_state(editions, introduce)).layer(from_fn(to_the_end))
}

/// The same for requests by the control socket, whose senders are operators.
pub fn over_socket(editions: Editions, router: Router) -> Router {
    router.layer(from_fn_with_state(editions, introduce_local)).layer(from_fn(to_the_end))
}

/// What a request has begun goes on though its client leaves: a change of an account must not stop between the two
/// stores.
async fn to_the_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request to the admin side ended early");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn introduce(
    State(editions): State<Editions>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    equip(&mut request, &editions, peer.ip());
    next.run(request).await
}

async fn introduce_local(
    State(editions): State<Editions>,
    ConnectInfo(peer): ConnectInfo<control::Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    equip(&mut request, &editions, IpAddr::V4(Ipv4Addr::LOCALHOST));
    request.extensions_mut().insert(LocalOperator { name: peer.name() });
    next.run(request).await
}

fn equip(request: &mut Request, editions: &ArcSwap<Edition>, address: IpAddr) {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let caller = Caller {
        address,
        request_id: RequestId::next().to_string(),
        scheme: "http",
        host: host.unwrap_or_default().to_ascii_lowercase(),
    };
    let settings = Settings::of(&editions.load());
    let extensions = request.extensions_mut();
    extensions.insert(caller);
    if let Some(settings) = settings {
        extensions.insert(settings);
    }
}
