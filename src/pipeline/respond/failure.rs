//! Which code stands for an error of Pingora's, and the reverse.

use std::io;

use h2::Reason;
use pingora::{Error, ErrorSource, ErrorType};

use crate::downstream::NoAnswer;
use crate::exchange::Exchange;
use crate::rejection::Code;

pub fn code_of(error: &Error) -> Code {
    if is_without_answer(error) {
        return Code::UpstreamTimeout;
    }
    match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(413)) => Code::BodyTooLarge,
        (
            ErrorSource::Upstream,
            ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::TLSHandshakeTimedout,
        ) => Code::UpstreamTimeout,
        (ErrorSource::Upstream, _) => Code::UpstreamUnreachable,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Code::RequestTimeout,
        (ErrorSource::Downstream, _) => Code::BadRequest,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Code::Internal,
    }
}

/// An error that makes `fail_to_proxy` answer with this code.
pub fn refuse(exchange: &mut Exchange, code: Code) -> Box<Error> {
    exchange.refused = Some(code);
    Error::explain(ErrorType::HTTPStatus(code.status().as_u16()), code.as_str())
}

/// Whether there is nobody left to answer: the connection has ended, or over HTTP/2 the stream.
pub fn is_client_gone(error: &Error) -> bool {
    let broken = matches!(
        error.etype(),
        ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed | ErrorType::H2Error
    );
    *error.esource() == ErrorSource::Downstream && broken && !is_without_answer(error)
}

/// Whether it was the upstream that took too long, though the client's stream has noticed.
fn is_without_answer(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is_some_and(|cause| cause.is::<NoAnswer>())
}

/// How HTTP/2 ends an answer that was cut off. Never CANCEL: clients take what came before it for the whole
/// answer (RFC 9113 §7, §8.1).
pub fn reset_code(error: &Error) -> Reason {
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => Reason::PROTOCOL_ERROR,
        (ErrorSource::Downstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
            Reason::ENHANCE_YOUR_CALM
        }
        _ => Reason::INTERNAL_ERROR,
    }
}
