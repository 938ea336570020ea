//! How requests end: what is said when something went wrong, what goes on record, and whether the connection of one
//! that came by the front door serves another.

use bytes::Buf;
use http::Method;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::AsyncWriteExt;

use super::Gateway;
use crate::exchange::Exchange;
use crate::pipeline::cache::serve::PlainHit;
use crate::pipeline::respond::{cause, failure};
use crate::pipeline::settle::Outcome;
use crate::pipeline::{arrive, respond};
use crate::rejection::{Code, Rejection};

impl Gateway {
    /// The answer to what is no request, on record as far as it was understood.
    pub async fn refuse_unreadable(&self, session: &mut Session, code: Code) {
        let mut exchange = self.begin();
        exchange.client = arrive::unknown_client(session, &exchange.edition.policy);
        respond::render_error::unreadable(session, &mut exchange, code).await;
        let method = Method::from_bytes(b"-").unwrap_or_default();
        self.record(session, &mut exchange, &method, b"-");
    }

    /// Says what went wrong, if there is anybody and nothing was said yet.
    pub async fn fail(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> Code {
        let code = exchange.refused.unwrap_or_else(|| failure::code_of(error));
        if exchange.upload_cut {
            return code;
        }
        if code.is_failure_of_upstream() && exchange.failure.is_none() {
            exchange.failure = Some(cause::of(error, exchange.upstream_took.is_some()));
        }
        if failure::is_client_gone(error) {
            exchange.client_left = true;
        } else if session.response_written().is_none() {
            announce_close(session);
            let rejection = Rejection::from(code);
            respond::render_error::run(session, exchange, &rejection).await;
        } else {
            exchange.refused = Some(code);
            session.downstream_session.shutdown_with_reason(failure::reset_code(error));
        }
        code
    }

    /// Counts the request and writes its line into the access log.
    pub fn settle(&self, session: &Session, exchange: &mut Exchange) {
        self.settle_as(session, None, session.body_bytes_sent(), exchange);
    }

    /// The same, once, with the status of an answer that is about to be written and the bytes of its body.
    pub(super) fn settle_as(
        &self,
        session: &Session,
        status: Option<u16>,
        body_bytes: usize,
        exchange: &mut Exchange,
    ) {
        if exchange.is_settled {
            return;
        }
        let request = session.req_header();
        let outcome = Outcome {
            method: &request.method,
            target: request.raw_path(),
            status: status.unwrap_or_else(|| status_of(session)),
            body_bytes: Some(body_bytes),
            took: exchange.started.elapsed(),
        };
        self.note(exchange, &outcome);
    }

    fn record(&self, session: &Session, exchange: &mut Exchange, method: &Method, target: &[u8]) {
        let outcome = Outcome {
            method,
            target,
            status: status_of(session),
            body_bytes: Some(session.body_bytes_sent()),
            took: exchange.started.elapsed(),
        };
        self.note(exchange, &outcome);
    }

    /// The same as [`settle`](Self::settle) for an answer that no session has written.
    fn note(&self, exchange: &mut Exchange, outcome: &Outcome) {
        // A head that is late never gets as far as a route.
        if exchange.refused == Some(Code::RequestTimeout) && exchange.route.is_some() {
            self.metrics.late_clients("body").inc();
        }
        self.records.note(exchange, outcome);
    }

    /// After an answer by the session. Returns the connection if another request may follow, as the next two do.
    pub async fn end(&self, session: Session, mut exchange: Box<Exchange>) -> Option<Stream> {
        self.settle(&session, &mut exchange);
        drop(exchange);
        let reusable = session.downstream_session.finish().await.ok().flatten()?;
        Some(reusable.into_parts().0)
    }

    pub async fn end_failed(&self, mut session: Session, mut exchange: Box<Exchange>, error: &Error) {
        Box::pin(self.fail(&mut session, error, &mut exchange)).await;
        self.settle(&session, &mut exchange);
    }

    /// Gives a hit to the client as it lies there, head and body in one go: writing it by Pingora's session takes a
    /// sixth of what a hit costs outside the kernel, and one more system call for all but the shortest bodies.
    pub async fn give(
        &self,
        hit: &PlainHit,
        mut message: impl Buf,
        request: &RequestHeader,
        mut stream: Stream,
        mut exchange: Box<Exchange>,
    ) -> Option<Stream> {
        let written = send(&mut stream, &mut message).await;
        exchange.client_left = written.is_err();
        let outcome = Outcome {
            method: &request.method,
            target: request.raw_path(),
            status: hit.answer.status.as_u16(),
            body_bytes: Some(hit.body().filter(|_| written.is_ok()).map_or(0, |body| body.len())),
            took: exchange.started.elapsed(),
        };
        self.note(&mut exchange, &outcome);
        written.is_ok().then_some(stream)
    }
}

fn status_of(session: &Session) -> u16 {
    session.response_written().map_or(499, |response| response.status.as_u16())
}

pub fn into_http1(session: Session) -> Option<HttpSession> {
    match *session.downstream_session {
        ServerSession::H1(session) => Some(session),
        _ => None,
    }
}

async fn send(stream: &mut Stream, message: &mut impl Buf) -> Result<()> {
    let sent = async {
        stream.write_all_buf(message).await?;
        stream.flush().await
    };
    sent.await.or_err(ErrorType::WriteError, "while a hit is sent").map_err(|error| error.into_down())
}

/// Pingora closes the client's connection after a failed upstream request. The answer has to say
/// so, or the client's next request on it is lost.
pub(super) fn announce_close(session: &mut Session) {
    session.set_keepalive(None);
}
