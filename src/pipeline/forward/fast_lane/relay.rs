//! The answer on its way down, as it comes: what is there already goes out in one write.

use futures::FutureExt;
use http::{Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::task::unconstrained;

use super::Upstream;
use crate::answer;
use crate::exchange::Exchange;
use crate::pipeline::respond;

/// Pieces of an answer that go out together at most; a piece of a body has up to 64 KiB.
const BATCH: usize = 4;

/// Returns when the answer is through. A client that leaves meanwhile is an error, so that the
/// server is not kept working for nobody.
pub async fn run(upstream: &mut Upstream, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    loop {
        let is_headless = is_headless(upstream);
        let piece = tokio::select! {
            biased;
            piece = next(upstream, is_headless) => piece,
            gone = session.read_body_or_idle(true) => return match gone {
                Err(error) => Err(error.into_down()),
                Ok(_) => Error::e_explain(ErrorType::ConnectError, "data after the end of the request"),
            },
        };
        let mut tasks = vec![pass_on(piece, upstream, session, exchange)];
        while tasks.len() < BATCH && tasks.last().is_some_and(|task| !task.is_end()) {
            let Some(piece) = at_once(upstream) else { break };
            tasks.push(pass_on(piece, upstream, session, exchange));
        }
        if session.response_duplex_vec(tasks).await? {
            return session.finish_body().await.map_err(|error| error.into_down());
        }
    }
}

/// What has come from the server.
enum Piece {
    /// A head, which the upstream's session holds.
    Head,
    Body(HttpTask),
}

/// Whether the final head is still to come: interim ones (1xx) go before it (RFC 9110 §15.2).
fn is_headless(upstream: &Upstream) -> bool {
    upstream.get_status().is_none_or(|status| status.is_informational())
}

async fn next(upstream: &mut Upstream, is_headless: bool) -> Result<Piece> {
    if is_headless {
        upstream.read_response().await?;
        return Ok(Piece::Head);
    }
    upstream.read_response_task().await.map(Piece::Body)
}

/// The next piece, if it needn't be waited for.
fn at_once(upstream: &mut Upstream) -> Option<Result<Piece>> {
    let is_headless = is_headless(upstream);
    // No wait, no time-out: it would set up a timer.
    let timeout = upstream.read_timeout.take();
    let piece = unconstrained(next(upstream, is_headless)).now_or_never();
    upstream.read_timeout = timeout;
    piece
}

/// A piece as the client gets it. An error travels in its place, behind what came before it.
fn pass_on(
    piece: Result<Piece>,
    upstream: &mut Upstream,
    session: &Session,
    exchange: &mut Exchange,
) -> HttpTask {
    let task = piece.and_then(|piece| match piece {
        Piece::Head => {
            let is_end = upstream.is_body_done();
            let is_bodiless = is_end || session.req_header().method == Method::HEAD;
            let head = head(upstream, is_bodiless, exchange)?;
            Ok(HttpTask::Header(Box::new(head), is_end))
        }
        Piece::Body(task) => Ok(task),
    });
    task.unwrap_or_else(|error| HttpTask::Failed(error.into_up()))
}

/// The head for the client. The upstream's session keeps its own, to know what becomes of the
/// connection; a copy of the fields alone costs half of one with Pingora's map of spellings.
fn head(upstream: &Upstream, is_bodiless: bool, exchange: &mut Exchange) -> Result<ResponseHeader> {
    let Some(received) = upstream.resp_header() else {
        return Error::e_explain(ErrorType::InternalError, "a head was read");
    };
    let mut head = answer::response_header(received.status, received.headers.clone());
    head.set_version(received.version);
    respond::pass_on::from_upstream(&mut head, exchange, false)?;
    if !is_bodiless && ends_with_connection(&head) {
        head.set_version(Version::HTTP_11);
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    respond::pass_on::to_client(&mut head, exchange, None)?;
    Ok(head)
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
