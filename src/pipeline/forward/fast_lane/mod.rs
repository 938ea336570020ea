//! The fast lane: plain requests are forwarded straight from the end of `request_filter`, over
//! connections of our own. Pingora's way leads through two futures, two channels and a clone of the
//! request's head, a quarter of what a request costs outside the kernel (docs/performance.md).
//!
//! Both lanes make the same request and the same answer and fail with the same codes: they share
//! `choose_upstream`, `rewrite_request`, `request_body` and `respond::pass_on`. The tests of
//! forwarding run through both (`full_lane.rs`). `forwarding: { fast_lane: false }` closes this one.

mod connections;
mod qualify;
mod relay;
mod request;

use bytes::Bytes;
use pingora::protocols::http::v1::client::HttpSession as Upstream;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use self::connections::Connections;
pub use self::qualify::run as qualifies;
use super::choose_upstream;
use crate::exchange::Exchange;
use crate::pipeline::respond::failure::refuse;

#[derive(Default)]
pub struct FastLane {
    connections: Connections,
}

impl FastLane {
    /// Forwards the request and writes the answer. `Err` when that failed, at whatever point;
    /// `fail_to_proxy` knows what is left to say then.
    pub async fn run(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        let body = request::read_body(session, exchange).await?;
        let mut may_reuse = true;
        loop {
            match self.attempt(session, exchange, body.as_ref(), may_reuse).await {
                Err(error) if error.retry() => may_reuse = false,
                outcome => return outcome,
            }
        }
    }

    /// One attempt with one server. An error says whether another attempt may follow.
    async fn attempt(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        body: Option<&Bytes>,
        may_reuse: bool,
    ) -> Result<()> {
        let target = choose_upstream::next(exchange).map_err(|code| refuse(exchange, code))?;
        let opened = self.connections.open(&target, exchange, may_reuse).await;
        let (mut upstream, is_reused) = opened.map_err(|mut error| {
            error.set_retry(choose_upstream::may_try_another(exchange));
            error.into_up()
        })?;
        let outcome = match request::send(&mut upstream, session, exchange, body).await {
            Ok(()) => relay::run(&mut upstream, session, exchange).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => self.connections.keep(&target, upstream, exchange).await,
            Err(mut error) => {
                let may_retry = is_reused && is_broken_off(&error) && is_repeatable(session);
                error.set_retry(may_retry);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether the connection broke instead of bringing an answer, as one does that the server closed
/// while it was idle. The server may have taken the request all the same: see `is_repeatable`.
fn is_broken_off(error: &Error) -> bool {
    let of_upstream = *error.esource() == pingora::ErrorSource::Upstream;
    let is_closed =
        matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError);
    of_upstream && is_closed
}

/// RFC 9110 §9.2.2: only idempotent requests are sent again; and not when the client has seen
/// part of an answer.
fn is_repeatable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && session.response_written().is_none()
}
