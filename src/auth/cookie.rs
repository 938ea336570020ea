//! The refresh cookie. `__Secure-` rather than `__Host-`, because the latter would need `Path=/`
//! and so send the token to every backend.

use cookie::{Cookie, CookieBuilder, SameSite};
use http::HeaderValue;
use http::header::COOKIE;

use super::answer::Refusal;
use super::call::Call;
use crate::rejection::{Code, Rejection};

const SECURE_NAME: &str = "__Secure-portcullis_refresh";
/// Over plain HTTP browsers refuse the prefix and `Secure`; only for trying out on one machine.
const LOCAL_NAME: &str = "portcullis_refresh";

/// The refresh token that came as a cookie. Two different ones can't both be ours: a neighbouring
/// subdomain may have planted one, and guessing which would let it choose the session.
pub fn read(call: &Call) -> Result<Option<String>, Refusal> {
    let name = name(call);
    let mut found: Option<String> = None;
    for line in call.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok()) {
        for cookie in Cookie::split_parse(line).flatten().filter(|cookie| cookie.name() == name) {
            if found.as_deref().is_some_and(|first| first != cookie.value()) {
                return Err(Rejection::from(Code::BadRequest).because("Several refresh cookies came").into());
            }
            found = Some(cookie.value().to_owned());
        }
    }
    Ok(found)
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

fn name(call: &Call) -> &'static str {
    if is_local(call) { LOCAL_NAME } else { SECURE_NAME }
}

/// Plain HTTP on this very machine.
pub fn is_local(call: &Call) -> bool {
    let host = call.caller.host.as_str();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    call.caller.scheme == "http" && matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}
