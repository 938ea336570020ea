//! The request's body on its way up: bounded, ended only once, and given up when the answer has come long before.

use std::time::Duration;

use bytes::Bytes;
use pingora::{Error, ErrorType, Result};

use crate::exchange::Exchange;
use crate::rejection::Code;

/// How much of a body is read after its answer, and for how long. Clients need to go on for a while to read the
/// answer; then the stream is reset (RFC 9113 §8.1).
pub const AFTER_ANSWER: u64 = 1 << 20;
pub const AFTER_ANSWER_TIME: Duration = Duration::from_secs(2);

pub fn run(body: &mut Option<Bytes>, end_of_stream: bool, exchange: &mut Exchange) -> Result<()> {
    exchange.body_received += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
    let max = exchange.route.as_ref().map_or(0, |route| route.max_body);
    if exchange.body_received > max {
        exchange.refused = Some(Code::BodyTooLarge);
        return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is too large");
    }
    if let Some(ended) = exchange.answer_ended {
        exchange.body_after_answer += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if exchange.body_after_answer > AFTER_ANSWER || ended.elapsed() > AFTER_ANSWER_TIME {
            exchange.upload_cut = true;
            return Error::e_explain(ErrorType::ConnectionClosed, "the upload goes on after its answer");
        }
    }
    // Pingora 0.9.1 writes the last chunk twice for an empty last DATA frame of HTTP/2, which
    // desynchronises the upstream connection (class 65). Only at the end: earlier, `None` would
    // end the body.
    if end_of_stream && body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
    Ok(())
}
