//! Takes from an upstream's answer what must not pass a gateway. Pingora leaves responses alone,
//! so hop-by-hop fields and what `Connection` nominates are ours to remove (RFC 9110 §7.6.1).

use http::{HeaderName, StatusCode, header};
use pingora::http::ResponseHeader;

pub fn run(response: &mut ResponseHeader) {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let nominated = response
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !matches!(*name, header::TRANSFER_ENCODING | header::CONTENT_LENGTH));
    let forbidden = response.headers.keys().filter(|name| is_forbidden(name)).cloned();
    let removed: Vec<HeaderName> = forbidden.chain(nominated).collect();
    for name in &removed {
        response.remove_header(name);
    }
}

/// What only a hop or only we may say. `Transfer-Encoding` stays: Pingora frames the answer by it.
fn is_forbidden(name: &HeaderName) -> bool {
    let hop_by_hop = matches!(
        *name,
        header::CONNECTION | header::PROXY_AUTHENTICATE | header::TE | header::TRAILER | header::UPGRADE
    );
    hop_by_hop
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "portcullis-reason" | "cache-status")
}
