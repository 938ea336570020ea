//! The operator console: `/console/` on the admin port. Pages made here, for operators (`admin.roles`);
//! they work without scripts, load nothing from elsewhere and run nothing that stands in a page. What they
//! show and do is what `/metrics`, `/readyz`, `/api/…` and the command line do.

mod account_deeds;
mod accounts;
mod assets;
mod audit;
mod chart;
mod explain;
mod history;
mod limits;
mod overview;
mod page;
mod policy;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::Markup;

pub use history::History;
pub use limits::Limits;

use super::health::Health;
use super::policy_api::PolicyApi;
use crate::auth::console::{Door, Guest};
use crate::rejection::{Code, Rejection};
use crate::telemetry::Metrics;

const MAX_BODY: usize = 16 << 10;
/// Nothing that stands in a page is run or loaded, whatever got into it.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[derive(Clone)]
pub struct Console {
    pub door: Door,
    pub limits: Limits,
    pub policy: PolicyApi,
    pub health: Health,
    pub metrics: Arc<Metrics>,
    pub history: Arc<History>,
}

/// Requests must carry what the admin API's do.
pub fn router(console: Console) -> Router {
    let inside = Router::new()
        .route("/", get(overview::show))
        .route("/policy", get(policy::show))
        .route("/explain", get(explain::show))
        .route("/audit", get(audit::show))
        .route("/users", get(accounts::list))
        .route("/users/{id}", get(accounts::show))
        .route("/users/{id}/{deed}", post(account_deeds::act))
        .route("/sessions/{id}/end", post(account_deeds::end_session))
        .route("/keys/{id}/end", post(account_deeds::end_key))
        .route("/logout", post(sign_in::sign_out))
        .layer(from_fn_with_state(console.clone(), let_in));
    let outside = Router::new()
        .route("/login", get(sign_in::show).post(sign_in::sign_in))
        .route("/console.css", get(assets::style))
        .route("/icon.svg", get(assets::icon))
        .route("/console.js", get(assets::script));
    let outside = outside.fallback(|| async { page::refusal(&Code::RouteNotFound.into()) });
    let pages = inside.merge(outside).layer(DefaultBodyLimit::max(MAX_BODY)).layer(from_fn(harden));
    Router::new()
        .route("/console", get(|| async { Redirect::permanent("/console/") }))
        .nest("/console/", pages)
        .with_state(console)
}

/// Whoever isn't signed in is asked to; whoever is comes as an extension.
async fn let_in(State(console): State<Console>, request: Request, next: Next) -> Response {
    let is_read = request.method().is_safe();
    let (parts, body) = request.into_parts();
    match console.door.let_in(Request::from_parts(parts.clone(), body)).await {
        Ok(mut guest) => {
            let cookie = guest.cookie.take();
            // The guest has the body; what the router knows of the path stays.
            let mut request = Request::from_parts(parts, axum::body::Body::empty());
            request.extensions_mut().insert(Arc::new(guest));
            let mut response = next.run(request).await;
            if let Some(cookie) = cookie.filter(|_| !response.headers().contains_key(SET_COOKIE)) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Err(rejection) if rejection.code.status() == StatusCode::UNAUTHORIZED && is_read => {
            to_login(&rejection)
        }
        Err(rejection) => page::refusal(&rejection),
    }
}

/// The reason, unless it is only that nobody was signed in.
fn to_login(rejection: &Rejection) -> Response {
    let to = match rejection.code {
        Code::NoCredentials => "/console/login",
        _ => "/console/login?ended=true",
    };
    (StatusCode::SEE_OTHER, [(LOCATION, HeaderValue::from_static(to))]).into_response()
}

async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(X_FRAME_OPTIONS, "DENY");
    set(REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(CACHE_CONTROL, "no-store");
    response
}

/// What a page comes to: itself, or why there is none.
type Shown = Result<Markup, Rejection>;

/// A page of the console with what it shows, for this operator.
fn answer(title: &str, guest: &Guest, shown: Shown) -> Response {
    match shown {
        Ok(content) => page::inside(title, guest, &content).into_response(),
        Err(rejection) => page::refusal(&rejection),
    }
}

/// The query as `T`, in which empty fields of a form count as absent.
fn query<T: serde::de::DeserializeOwned>(uri: &Uri) -> Result<T, Rejection> {
    let wrong = |_| Rejection::from(Code::BadRequest).because("A field is unknown or unusable");
    let fields: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).map_err(wrong)?;
    let filled: Vec<(String, String)> =
        fields.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect();
    let text = serde_urlencoded::to_string(filled).map_err(|_| Rejection::from(Code::BadRequest))?;
    serde_urlencoded::from_str(&text).map_err(wrong)
}

/// To another page of the console.
fn go(to: &str) -> Response {
    Redirect::to(to).into_response()
}
