//! Takes from an upstream's answer what must not pass a gateway. Pingora leaves responses alone,
//! so hop-by-hop fields and what `Connection` nominates are ours to remove (RFC 9110 §7.6.1).

use http::{HeaderName, StatusCode, header};
use pingora::http::ResponseHeader;

/// `Transfer-Encoding` stays: Pingora frames the answer by it.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "upgrade"];

pub fn run(response: &mut ResponseHeader) {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !matches!(*name, header::TRANSFER_ENCODING | header::CONTENT_LENGTH))
        .collect();
    for name in &nominated {
        response.remove_header(name);
    }
    for name in HOP_BY_HOP {
        response.remove_header(name);
    }
    // Whoever reads these must be able to trust that we said them.
    response.remove_header("portcullis-reason");
    response.remove_header("cache-status");
}
