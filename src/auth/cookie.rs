//! The refresh cookie. `__Secure-` rather than `__Host-`, because the latter would need `Path=/`
//! and so send the token to every backend.

use cookie::{Cookie, CookieBuilder, SameSite};
use http::HeaderValue;
use http::header::COOKIE;

use super::call::Call;

const SECURE_NAME: &str = "__Secure-portcullis_refresh";
/// Over plain HTTP browsers refuse the prefix and `Secure`; only for trying out on one machine. What follows is the
/// port: cookies don't tell ports apart, and two gateways on one machine would take each other's for theirs.
const LOCAL_NAME: &str = "portcullis_refresh";

/// What came as a refresh cookie, each value once. There may be several: a neighbouring subdomain can plant one.
pub fn read(call: &Call) -> Vec<String> {
    let name = name(call);
    // Without the port until now.
    let is_ours =
        |cookie: &Cookie<'_>| cookie.name() == name || is_local(call) && cookie.name() == LOCAL_NAME;
    let lines = call.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut values: Vec<String> = Vec::new();
    for cookie in lines.flat_map(|line| Cookie::split_parse(line).flatten()).filter(is_ours) {
        if !values.iter().any(|value| value == cookie.value()) {
            values.push(cookie.value().to_owned());
        }
    }
    values
}

/// `Set-Cookie` with this refresh token.
pub fn set(call: &Call, refresh_token: &str) -> HeaderValue {
    let ttl = call.settings.policy.tokens.refresh_ttl;
    let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
    field(base(call, refresh_token).max_age(cookie::time::Duration::seconds(seconds)))
}

/// `Set-Cookie` that makes the browser forget it.
pub fn clear(call: &Call) -> HeaderValue {
    field(base(call, "").max_age(cookie::time::Duration::ZERO))
}

fn base<'a>(call: &'a Call, value: &'a str) -> CookieBuilder<'a> {
    Cookie::build((name(call), value))
        .path(call.settings.policy.auth.cookie_path.as_str())
        .secure(!is_local(call))
        .http_only(true)
        .same_site(SameSite::Strict)
}

fn field(cookie: CookieBuilder<'_>) -> HeaderValue {
    cookie.build().to_string().parse().expect("the token is base64url, the path a checked one")
}

fn name(call: &Call) -> String {
    if is_local(call) { local_name(call, LOCAL_NAME) } else { SECURE_NAME.to_owned() }
}

/// A cookie's name for this gateway, beside others on the same machine.
pub fn local_name(call: &Call, name: &str) -> String {
    format!("{name}_{}", port(call).unwrap_or("80"))
}

/// Plain HTTP on this very machine.
pub fn is_local(call: &Call) -> bool {
    let host = call.caller.host.as_str();
    let name = port(call).map_or(host, |port| &host[..host.len() - port.len() - 1]);
    call.caller.scheme == "http" && matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// As the client addressed us.
fn port(call: &Call) -> Option<&str> {
    let (_, port) = call.caller.host.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(port)
}
