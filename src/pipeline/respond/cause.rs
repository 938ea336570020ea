//! Why an upstream gave no whole answer, in a few words for the log, the metrics and the console. They never repeat
//! what the server or a client has sent, so that they are a bounded set.

use std::borrow::Cow;
use std::io;

use pingora::{Error, ErrorType};

/// What rustls says, in Pingora's words around it, and what that means.
const TLS: [(&str, &str); 12] = [
    ("UnknownIssuer", "tls: unknown issuer"),
    ("not valid for name", "tls: wrong name"),
    ("NotValidForName", "tls: wrong name"),
    ("expired", "tls: certificate expired"),
    ("Expired", "tls: certificate expired"),
    ("not valid yet", "tls: certificate not valid yet"),
    ("NotValidYet", "tls: certificate not valid yet"),
    ("Revoked", "tls: certificate revoked"),
    ("CaUsedAsEndEntity", "tls: certificate of an authority"),
    ("invalid peer certificate", "tls: certificate"),
    ("InvalidContentType", "tls: the server doesn't speak it"),
    ("received fatal alert", "tls: the server refused"),
];

/// `has_head`: the head of an answer had come.
pub fn of(error: &Error, has_head: bool) -> Cow<'static, str> {
    Cow::Borrowed(match error.etype() {
        ErrorType::ConnectRefused => "refused",
        ErrorType::ConnectNoRoute => "no route",
        ErrorType::ConnectTimedout => "timeout: connect",
        ErrorType::TLSHandshakeTimedout => "timeout: tls",
        ErrorType::ReadTimedout if has_head => "timeout: body",
        ErrorType::ReadTimedout => "timeout: first byte",
        ErrorType::WriteTimedout => "timeout: request",
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => of_tls(error),
        ErrorType::ConnectionClosed if has_head => "closed: unfinished body",
        ErrorType::ConnectionClosed => "closed: no answer",
        ErrorType::ReadError | ErrorType::WriteError => of_socket(error, has_head),
        ErrorType::ConnectError | ErrorType::SocketError | ErrorType::BindError => "connect",
        ErrorType::InvalidHTTPHeader => return of_head(error),
        ErrorType::H1Error | ErrorType::H2Error | ErrorType::InvalidH2 => "bad answer: framing",
        other => of_other(other.as_str()),
    })
}

fn of_tls(error: &Error) -> &'static str {
    let said = error.to_string();
    TLS.iter().find(|(words, _)| said.contains(words)).map_or("tls: handshake", |(_, meaning)| meaning)
}

fn of_socket(error: &Error, has_head: bool) -> &'static str {
    let kind = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => "reset",
        Some(io::ErrorKind::TimedOut) if has_head => "timeout: body",
        Some(io::ErrorKind::TimedOut) => "timeout: first byte",
        Some(io::ErrorKind::UnexpectedEof) if has_head => "closed: unfinished body",
        Some(io::ErrorKind::UnexpectedEof) => "closed: no answer",
        _ => "broken connection",
    }
}

fn of_head(error: &Error) -> Cow<'static, str> {
    if let Some(cause) = error.root_cause().downcast_ref::<httparse::Error>() {
        return Cow::Borrowed(of_parser(*cause));
    }
    match &error.context {
        // Written in the source, here or in Pingora's: nothing that came from outside.
        Some(why) if !why.is_owned() => Cow::Owned(format!("bad answer: {why}")),
        Some(why) if why.as_str().starts_with("Response header larger") => {
            Cow::Borrowed("bad answer: header too large")
        }
        _ => Cow::Borrowed("bad answer: header"),
    }
}

fn of_parser(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "bad answer: header name",
        httparse::Error::HeaderValue => "bad answer: header value",
        httparse::Error::TooManyHeaders => "bad answer: too many fields",
        httparse::Error::NewLine => "bad answer: line ending",
        _ => "bad answer: status line",
    }
}

/// Kinds of errors that Pingora's readers of bodies have for themselves.
fn of_other(kind: &str) -> &'static str {
    match kind {
        "InvalidChunk" => "bad answer: chunk",
        "PrematureBodyEnd" => "closed: unfinished body",
        "InvalidTrailerEnd" => "bad answer: trailer",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_says_what_happened_and_nothing_that_was_sent() {
        let cause = |kind, context: &'static str| of(&Error::explain(kind, context.to_owned()), false);
        assert_eq!(cause(ErrorType::ConnectRefused, "127.0.0.1:1"), "refused");
        assert_eq!(cause(ErrorType::ReadTimedout, "x"), "timeout: first byte");
        assert_eq!(cause(ErrorType::InvalidHTTPHeader, "secret"), "bad answer: header");
        let unknown = "TLS connect() failed: invalid peer certificate: UnknownIssuer, SNI: expired.example";
        assert_eq!(cause(ErrorType::TLSHandshakeFailure, unknown), "tls: unknown issuer");
        assert_eq!(cause(ErrorType::TLSHandshakeFailure, "eof"), "tls: handshake");
        assert_eq!(of(&Error::explain(ErrorType::ConnectionClosed, "x"), true), "closed: unfinished body");
    }

    #[test]
    fn a_broken_head_names_its_part() {
        let parsed = |error: httparse::Error| {
            of(&Error::because(ErrorType::InvalidHTTPHeader, "buf: secret", error), false)
        };
        assert_eq!(parsed(httparse::Error::HeaderName), "bad answer: header name");
        assert_eq!(parsed(httparse::Error::TooManyHeaders), "bad answer: too many fields");
        let ours = Error::explain(ErrorType::InvalidHTTPHeader, "101 unasked");
        assert_eq!(of(&ours, false), "bad answer: 101 unasked");
    }

    #[test]
    fn a_reset_is_told_from_other_broken_connections() {
        let broken = |kind: io::ErrorKind| {
            of(&Error::because(ErrorType::ReadError, "x", io::Error::from(kind)), false)
        };
        assert_eq!(broken(io::ErrorKind::ConnectionReset), "reset");
        assert_eq!(broken(io::ErrorKind::Other), "broken connection");
    }
}
