//! The request's body on its way up: bounded, and ended only once.

use bytes::Bytes;
use pingora::{Error, ErrorType, Result};

use crate::exchange::Exchange;
use crate::rejection::Code;

pub fn run(body: &mut Option<Bytes>, end_of_stream: bool, exchange: &mut Exchange) -> Result<()> {
    exchange.body_received += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
    let max = exchange.route.as_ref().map_or(0, |route| route.max_body);
    if exchange.body_received > max {
        exchange.refused = Some(Code::BodyTooLarge);
        return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is too large");
    }
    // Pingora 0.9.1 writes the last chunk twice for an empty last DATA frame of HTTP/2, which
    // desynchronises the upstream connection (class 65). Only at the end: earlier, `None` would
    // end the body.
    if end_of_stream && body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
    Ok(())
}
