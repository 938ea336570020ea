//! From a proxied session to an `http::Request` for the wing, and back. The wing runs on a runtime
//! of its own, so that a login never holds up a request thread.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, header};
use pingora::ErrorType;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tower::ServiceExt;
use uuid::Uuid;

use super::alias::Alias;
use super::{BadBearer, Caller, Settings, WaivesReauthentication};
use crate::answer;
use crate::config::policy::AuthEndpoint;
use crate::exchange::Exchange;
use crate::rejection::{Code, Rejection};

/// A client that sends its body more slowly than this is cut off.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 1024 * 1024;

pub struct Bridge {
    router: Router,
    runtime: tokio::runtime::Handle,
}

impl Bridge {
    pub fn new(router: Router, runtime: tokio::runtime::Handle) -> Self {
        Self { router, runtime }
    }

    /// Answers the request; `Err` when the answer is up to the caller.
    pub async fn answer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        endpoint: AuthEndpoint,
    ) -> Result<(), Rejection> {
        let max = exchange.route.as_ref().map_or(0, |route| route.max_body);
        let body = read_body(session, max).await?;
        let request = request(session, exchange, endpoint, body)?;
        let router = self.router.clone();
        let answer = self.runtime.spawn(async move {
            let Ok(response) = router.oneshot(request).await;
            let (head, body) = response.into_parts();
            let body = axum::body::to_bytes(body, MAX_ANSWER).await;
            body.map(|body| Response::from_parts(head, body)).map_err(|error| error.to_string())
        });
        let answer = answer.await.unwrap_or_else(|error| Err(error.to_string()));
        let answer = answer.map_err(|cause| {
            tracing::error!(request_id = %exchange.request_id, cause, "an answer of the auth API was lost");
            Rejection::from(Code::Internal)
        })?;
        note_reason(exchange, &answer);
        exchange.answered_here = true;
        if let Err(error) = write(session, exchange, answer).await {
            tracing::debug!(request_id = %exchange.request_id, %error, "the client did not take the answer");
        }
        Ok(())
    }
}

async fn read_body(session: &mut Session, max: u64) -> Result<Bytes, Rejection> {
    let read = async {
        let mut body = BytesMut::new();
        loop {
            match session.read_request_body().await {
                Ok(Some(part)) if (body.len() + part.len()) as u64 > max => {
                    return Err(
                        Rejection::from(Code::BodyTooLarge).because(format!("the body may have {max} bytes"))
                    );
                }
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) => return Ok(body.freeze()),
                Err(error) if *error.etype() == ErrorType::ReadTimedout => {
                    return Err(Code::RequestTimeout.into());
                }
                Err(_) => return Err(Rejection::from(Code::BadRequest).because("the body broke off")),
            }
        }
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(body) => body,
        Err(_) => Err(Code::RequestTimeout.into()),
    }
}

fn request(
    session: &Session,
    exchange: &Exchange,
    endpoint: AuthEndpoint,
    body: Bytes,
) -> Result<Request<Body>, Rejection> {
    let from = session.req_header();
    let path = path(exchange, endpoint)?;
    let uri = match from.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let method = method(endpoint, &from.method);
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .body(Body::from(body))
        .map_err(|_| Rejection::from(Code::BadPath))?;
    *request.headers_mut() = from.headers.clone();
    // The body was read whole; how it was framed is over.
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    let settings = Settings::of(&exchange.edition).ok_or(Rejection::from(Code::Internal))?;
    let extensions = request.extensions_mut();
    extensions.insert(settings);
    extensions.insert(Caller {
        address: exchange.client.address,
        request_id: exchange.request_id.to_string(),
        scheme: scheme(exchange),
        host: exchange.client.believed_host().to_owned(),
    });
    if let Some(translation) = exchange.route.as_ref().and_then(|route| route.translation.clone()) {
        extensions.insert(Alias { endpoint, translation });
    }
    if exchange.route.as_ref().is_some_and(|route| route.waives_reauthentication) {
        extensions.insert(WaivesReauthentication);
    }
    if let Some(code) = exchange.excused {
        extensions.insert(BadBearer(code));
    }
    if let Some(identity) = &exchange.identity {
        extensions.insert(identity.clone());
    }
    Ok(request)
}

/// By which the client reaches us. What arrives in the clear may have come to a proxy over TLS that isn't trusted to
/// say so; the issuer is where clients are sent.
fn scheme(exchange: &Exchange) -> &'static str {
    let is_https = exchange.edition.policy.tokens.issuer.starts_with("https://");
    if !exchange.client.is_scheme_known && is_https { "https" } else { exchange.client.scheme }
}

/// As the wing's router knows it: an alias may have given the endpoint another one.
fn method(endpoint: AuthEndpoint, method: &Method) -> Method {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut own = endpoint.methods();
    if own.contains(method) { method.clone() } else { own.swap_remove(0) }
}

/// As the wing's router knows it. What stands for a parameter is an id or a plain name, so it needs no
/// encoding.
fn path(exchange: &Exchange, endpoint: AuthEndpoint) -> Result<String, Rejection> {
    let path = format!("/{}", endpoint.path());
    if path.contains("{file}") {
        let is_plain = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let name = exchange.param("file").filter(is_plain).ok_or_else(|| Rejection::from(Code::NotFound))?;
        return Ok(path.replace("{file}", name));
    }
    if !path.contains("{id}") {
        return Ok(path);
    }
    let id = exchange.param("id").and_then(|id| Uuid::parse_str(id).ok());
    let id = id.ok_or_else(|| Rejection::from(Code::NotFound))?;
    Ok(path.replace("{id}", &id.to_string()))
}

/// The wing says why it refused; the log and the metrics count by that code.
fn note_reason(exchange: &mut Exchange, answer: &Response<Bytes>) {
    exchange.refused = answer.extensions().get::<Code>().copied();
}

async fn write(session: &mut Session, exchange: &Exchange, answer: Response<Bytes>) -> pingora::Result<()> {
    let (parts, body) = answer.into_parts();
    let mut head = ResponseHeader::build(parts.status, Some(parts.headers.len() + 4))?;
    for (name, value) in &parts.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    if parts.status != StatusCode::NO_CONTENT {
        // RFC 9110 §8.6 forbids it on a 204.
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    }
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    answer::rewrite(&mut head, |headers| answer::sign(headers, exchange))?;
    let without_body = session.req_header().method == Method::HEAD || body.is_empty();
    session.write_response_header(Box::new(head), without_body).await?;
    if without_body {
        return Ok(());
    }
    session.write_response_body(Some(body), true).await
}
