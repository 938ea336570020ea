//! An upstream's answer on its way to the client: without what must not pass a gateway, and with
//! what every answer of ours carries. Both lanes of `forward` come through here.

use http::{HeaderValue, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use super::{framing, harden_headers};
use crate::answer;
use crate::exchange::Exchange;
use crate::pipeline::cache::outcome::CACHE_STATUS;

/// As it came from the upstream, before it may be stored. `Err` for a switch of protocols that
/// nobody asked for (RFC 9110 §15.2.2): what follows could be anything.
pub fn from_upstream(
    response: &mut ResponseHeader,
    exchange: &mut Exchange,
    asked_for_upgrade: bool,
) -> Result<()> {
    let may_switch = asked_for_upgrade && response.version == Version::HTTP_11;
    if response.status == StatusCode::SWITCHING_PROTOCOLS && !may_switch {
        let error =
            Error::explain(ErrorType::InvalidHTTPHeader, "101 to a request that asked for no upgrade");
        return Err(error.into_up());
    }
    exchange.upstream_took =
        exchange.arrived_after.map(|arrived| exchange.started.elapsed().saturating_sub(arrived));
    if !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS {
        exchange.answer_began = Some(response.status);
    }
    if !response.status.is_informational()
        && let Some(mut span) = exchange.upstream_span.take()
    {
        span.say("http.response.status_code", response.status.as_str());
    }
    harden_headers::run(response);
    framing::from_upstream(response)
}

/// As this client gets it, from the upstream or from the cache.
pub fn to_client(
    response: &mut ResponseHeader,
    exchange: &Exchange,
    cache_status: Option<HeaderValue>,
) -> Result<()> {
    answer::rewrite(response, |headers| {
        if let Some(status) = cache_status {
            headers.insert(CACHE_STATUS, status);
        }
        answer::sign(headers, exchange)
    })
}
