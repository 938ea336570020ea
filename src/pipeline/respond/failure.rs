//! Which code stands for an error of Pingora's.

use pingora::{Error, ErrorSource, ErrorType};

use crate::rejection::Code;

pub fn code_of(error: &Error) -> Code {
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
        (ErrorSource::Downstream, _) => Code::BadRequest,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Code::Internal,
    }
}

/// Whether there is nobody left to answer.
pub fn is_client_gone(error: &Error) -> bool {
    let broken =
        matches!(error.etype(), ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed);
    *error.esource() == ErrorSource::Downstream && broken
}
