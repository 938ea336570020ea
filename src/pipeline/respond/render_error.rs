//! The one place that answers a refused request.

use bytes::Bytes;
use http::{Method, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::answer;
use crate::exchange::Exchange;
use crate::rejection::{Code, Rejection};

/// Writes the answer. A client that is gone already gets none; nothing is left to do then.
pub async fn run(session: &mut Session, exchange: &mut Exchange, rejection: &Rejection) {
    exchange.refused = Some(rejection.code);
    exchange.answered_here = true;
    let problem = rejection.problem_json(exchange.request_id.as_str());
    let translation = exchange.route.as_ref().and_then(|route| route.translation.as_ref());
    let body = match translation.and_then(|translation| translation.answer.as_ref()) {
        Some(shape) => shape.extend_problem(&problem),
        None => problem,
    };
    let written = match head(exchange, rejection, body.len()) {
        Ok(head) => write(session, head, body).await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        tracing::debug!(request_id = %exchange.request_id, %error, "the client did not take the answer");
    }
}

/// Answers what can't be read as a request (RFC 9112), or didn't come in time, and closes the connection: there is
/// no telling where another request would begin.
pub async fn unreadable(session: &mut Session, exchange: &mut Exchange, code: Code) {
    let rejection = Rejection::from(code);
    exchange.refused = Some(rejection.code);
    exchange.answered_here = true;
    let body = rejection.problem_json(exchange.request_id.as_str());
    let written = match head(exchange, &rejection, body.len()) {
        Ok(head) => session.downstream_session.write_error_response(head, Bytes::from(body)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        tracing::debug!(request_id = %exchange.request_id, %error, "the client did not take the answer");
    }
}

async fn write(session: &mut Session, head: ResponseHeader, body: String) -> pingora::Result<()> {
    let without_body = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head), without_body).await?;
    if without_body {
        // Pingora's session doesn't end an HTTP/2 stream with the head, and after a failure resets what is open.
        return if session.is_http2() { session.finish_body().await.map(drop) } else { Ok(()) };
    }
    session.write_response_body(Some(Bytes::from(body)), true).await
}

fn head(exchange: &Exchange, rejection: &Rejection, length: usize) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(rejection.code.status(), Some(12))?;
    head.insert_header(header::CONTENT_TYPE, "application/problem+json")?;
    head.insert_header(header::CONTENT_LENGTH, length.to_string())?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    head.insert_header("Portcullis-Reason", rejection.code.as_str())?;
    if let Some(challenge) = rejection.bearer_challenge() {
        head.insert_header(header::WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(seconds) = rejection.retry_after_seconds() {
        head.insert_header(header::RETRY_AFTER, seconds.to_string())?;
    }
    if let Some(methods) = &rejection.allow {
        head.insert_header(header::ALLOW, methods.as_str())?;
    }
    answer::rewrite(&mut head, |headers| answer::sign(headers, exchange))?;
    Ok(head)
}
