//! Which requests are plain enough. Whatever is odd goes Pingora's way, which knows what to do.

use http::{HeaderName, HeaderValue, Version, header};
use pingora::proxy::Session;

use crate::config::policy::Destination;
use crate::exchange::Exchange;
use crate::pipeline::arrive::content_length;

/// Longer bodies are streamed, Pingora's way; shorter ones are read whole before a server is chosen,
/// so that a slow client holds no connection to it.
const MAX_BODY: u64 = 64 * 1024;

pub fn run(session: &mut Session, exchange: &Exchange) -> bool {
    let Some(route) = &exchange.route else { return false };
    let request = session.req_header();
    exchange.edition.policy.fast_lane
        && matches!(route.destination, Destination::Upstream(_))
        && route.cache.is_none()
        && !route.websocket
        // A background request of the cache's.
        && session.subrequest_ctx.is_none()
        && matches!(request.version, Version::HTTP_11 | Version::HTTP_2)
        && request.headers.iter().all(|(name, value)| is_plain(name, value))
        && match content_length(&request.headers) {
            Ok(Some(length)) => length <= MAX_BODY,
            Ok(None) => session.is_body_empty(),
            Err(_) => false,
        }
}

/// Whether a field neither changes how the message is read nor concerns this connection alone
/// (RFC 9110 §7.6.1). `Connection` may say only what our own handling of connections settles.
fn is_plain(name: &HeaderName, value: &HeaderValue) -> bool {
    match *name {
        header::CONNECTION => {
            let option = value.as_bytes();
            option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
        }
        header::EXPECT
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::UPGRADE => false,
        _ => !matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(name: &'static str, value: &'static str) -> bool {
        super::is_plain(&HeaderName::from_static(name), &HeaderValue::from_static(value))
    }

    #[test]
    fn what_concerns_the_connection_or_the_framing_is_not_plain() {
        for (name, value) in [
            ("connection", "x-forwarded-user"),
            ("connection", "keep-alive, x"),
            ("connection", "upgrade"),
            ("connection", ""),
            ("upgrade", "websocket"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic x"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("http2-settings", "x"),
        ] {
            assert!(!is_plain(name, value), "{name}: {value}");
        }
        for (name, value) in [("connection", "Keep-Alive"), ("connection", "close"), ("accept", "*/*")] {
            assert!(is_plain(name, value), "{name}: {value}");
        }
    }
}
