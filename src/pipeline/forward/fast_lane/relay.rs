//! The answer on its way down, as it comes: what is there already goes out in one write.

use futures::FutureExt;
use http::{Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::task::unconstrained;

use super::Upstream;
use crate::exchange::Exchange;
use crate::pipeline::respond;

/// Pieces of an answer that go out together at most; a piece of a body has up to 64 KiB.
const BATCH: usize = 4;

/// Returns when the answer is through. A client that leaves meanwhile is an error, so that the
/// server is not kept working for nobody.
pub async fn run(upstream: &mut Upstream, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    loop {
        let task = tokio::select! {
            biased;
            task = upstream.read_response_task() => task,
            gone = session.read_body_or_idle(true) => return match gone {
                Err(error) => Err(error.into_down()),
                Ok(_) => Error::e_explain(ErrorType::ConnectError, "data after the end of the request"),
            },
        };
        let mut tasks = vec![pass_on(task, session, exchange)];
        while tasks.len() < BATCH && tasks.last().is_some_and(is_followed) {
            let Some(task) = at_once(upstream) else { break };
            tasks.push(pass_on(task, session, exchange));
        }
        if session.response_duplex_vec(tasks).await? {
            return session.finish_body().await.map_err(|error| error.into_down());
        }
    }
}

fn is_followed(task: &HttpTask) -> bool {
    !task.is_end() && !matches!(task, HttpTask::Failed(_))
}

/// The next piece, if it needn't be waited for.
fn at_once(upstream: &mut Upstream) -> Option<Result<HttpTask>> {
    // No wait, no time-out: it would set up a timer.
    let timeout = upstream.read_timeout.take();
    let task = unconstrained(upstream.read_response_task()).now_or_never();
    upstream.read_timeout = timeout;
    task
}

/// A piece as the client gets it. An error travels in its place, behind what came before it.
fn pass_on(task: Result<HttpTask>, session: &Session, exchange: &mut Exchange) -> HttpTask {
    let task = task.and_then(|task| match task {
        HttpTask::Header(mut head, is_end) => {
            let is_head = session.req_header().method == Method::HEAD;
            pass_head_on(&mut head, is_end || is_head, exchange)?;
            Ok(HttpTask::Header(head, is_end))
        }
        other => Ok(other),
    });
    task.unwrap_or_else(|error| HttpTask::Failed(error.into_up()))
}

fn pass_head_on(head: &mut ResponseHeader, is_bodiless: bool, exchange: &mut Exchange) -> Result<()> {
    respond::pass_on::from_upstream(head, exchange, false)?;
    if !is_bodiless && ends_with_connection(head) {
        head.set_version(Version::HTTP_11);
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    respond::pass_on::to_client(head, exchange, None)
}

/// Whether only the end of the connection ends the body (RFC 9112 §6.3), as with HTTP/1.0; the
/// client's connection stays, so it gets chunks.
fn ends_with_connection(head: &ResponseHeader) -> bool {
    let has_body = !head.status.is_informational()
        && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    has_body
        && !head.headers.contains_key(header::TRANSFER_ENCODING)
        && !head.headers.contains_key(header::CONTENT_LENGTH)
}
