//! Whether a request that a browser authenticates by cookie comes from a page of our own origin.
//! `SameSite=Strict` alone would let neighbouring subdomains and ports in.

use http::HeaderName;
use http::header::ORIGIN;

use super::call::Call;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// `Sec-Fetch-Site` decides where it is sent, else `Origin`. Neither comes from clients that are
/// no browsers, and nobody can make those send a cookie they don't mean to send.
pub fn is_own(call: &Call) -> bool {
    let mut sites = call.headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        return sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    let own = format!("{}://{}", call.caller.scheme, call.caller.host);
    let own = without_default_port(&own);
    call.headers.get_all(ORIGIN).iter().all(|origin| {
        origin.to_str().is_ok_and(|origin| without_default_port(origin).eq_ignore_ascii_case(own))
    })
}

fn without_default_port(origin: &str) -> &str {
    let port = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}
