//! What is known of a caller before any password is compared: the browser by its device cookie, or the session of
//! the access token. Neither opens anything; both have a counter of their own for failed attempts.

use ::cookie::{Cookie, SameSite};
use axum::response::Response;
use http::HeaderValue;
use http::header::{COOKIE, SET_COOKIE};
use uuid::Uuid;

use super::call::Call;
use super::cookie;
use super::grant::{self, Delivery};
use crate::accounts::lockout::KNOWN_FOR;
use crate::clock::unix_seconds;
use crate::identity::UserId;
use crate::store::Session;
use crate::store::lockouts::Device;

const SECURE_NAME: &str = "__Secure-portcullis_device";
/// As with the refresh cookie: over plain HTTP browsers refuse the prefix.
const LOCAL_NAME: &str = "portcullis_device";

/// The device that signed in to this account before.
pub fn known(call: &Call, account: UserId) -> Option<Device> {
    let session = || {
        let identity = call.identity.as_ref().filter(|identity| identity.user_id == account)?;
        Some(Device::Session(identity.session_id))
    };
    browser(call, account).map(Device::Browser).or_else(session)
}

/// The answer to a sign-in. A client that keeps cookies gets one that shows it next time.
pub fn remembered(call: &Call, session: &Session, delivery: Delivery) -> Response {
    let mut response = grant::answer(call, session, delivery);
    if delivery.in_cookie {
        let cookie = set(call, session.user_id, &call.settings.policy.auth.device_path);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Of several cookies, which a neighbouring subdomain may have planted, the first that is ours.
fn browser(call: &Call, account: UserId) -> Option<Uuid> {
    let keys = call.settings.refresh_keys.devices();
    let (name, now) = (name(call), unix_seconds(call.now));
    let lines = call.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(|line| Cookie::split_parse(line).flatten());
    let mut ours = cookies.filter(|cookie| cookie.name() == name);
    ours.find_map(|cookie| keys.open(cookie.value(), account, now))
}

/// Has the browser show that it signed in, wherever `path` is the beginning. A device that is known already stays
/// the same one.
pub fn set(call: &Call, account: UserId, path: &str) -> HeaderValue {
    let device = browser(call, account).unwrap_or_else(Uuid::new_v4);
    let until = unix_seconds(call.now + KNOWN_FOR);
    let value = call.settings.refresh_keys.devices().mint(account, device, until);
    let cookie = Cookie::build((name(call), value))
        .path(path)
        .secure(!cookie::is_local(call))
        .http_only(true)
        .same_site(SameSite::Strict)
        .max_age(::cookie::time::Duration::seconds(KNOWN_FOR.as_secs().cast_signed()));
    cookie.build().to_string().parse().expect("base64url, and a checked path")
}

/// On one machine several gateways share the browser's cookies, whatever their ports: it is told from theirs.
fn name(call: &Call) -> String {
    if !cookie::is_local(call) {
        return SECURE_NAME.to_owned();
    }
    let port = call.caller.host.rsplit_once(':').map(|(_, port)| port);
    match port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(port) => format!("{LOCAL_NAME}_{port}"),
        None => LOCAL_NAME.to_owned(),
    }
}
