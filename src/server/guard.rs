//! What requests to the admin port must be addressed to, and where they may come from. A page elsewhere can
//! give its own name the address of this machine (DNS rebinding); the name stays in `Host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::config::policy::Admin;
use crate::edition::Edition;
use crate::rejection::{Code, Rejection};
use crate::telemetry::request_id::RequestId;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PORTCULLIS_REASON: HeaderName = HeaderName::from_static("portcullis-reason");

#[derive(Clone)]
struct Guard {
    editions: Arc<ArcSwap<Edition>>,
    address: SocketAddr,
}

/// `address` is where the port listens.
pub fn around(router: Router, editions: Arc<ArcSwap<Edition>>, address: SocketAddr) -> Router {
    router.layer(from_fn_with_state(Guard { editions, address }, check))
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let verdict = judge(request.headers(), &guard.editions.load().policy.admin, guard.address);
    match verdict {
        Ok(()) => next.run(request).await,
        Err(rejection) => refuse(rejection),
    }
}

fn judge(headers: &HeaderMap, admin: &Admin, address: SocketAddr) -> Result<(), Rejection> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|_| hosts.next().is_none());
    match host {
        Some(host) if is_own_name(host, admin, address) => {
            if is_own_origin(headers, host) { Ok(()) } else { Err(Code::CrossOrigin.into()) }
        }
        _ => Err(Rejection::from(Code::WrongHost).because(
            "Call the admin port by its address or as localhost, or name it in `admin.hosts` of the configuration",
        )),
    }
}

/// A loopback address, the one listened on, `localhost` or a name of `admin.hosts`, whatever the port: a
/// tunnel may have another.
fn is_own_name(host: &str, admin: &Admin, address: SocketAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    if name == "localhost" || admin.hosts.contains(&name) {
        return true;
    }
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
    literal.parse::<IpAddr>().is_ok_and(|ip| {
        let (ip, own) = (ip.to_canonical(), address.ip().to_canonical());
        // No page can have an address as its name but one that comes from there.
        ip.is_loopback() || ip == own || own.is_unspecified()
    })
}

/// Browsers send `Origin` with all that could change something. Of a page that sends no referrer it is
/// `null`, even to itself; then `Sec-Fetch-Site` tells.
fn is_own_origin(headers: &HeaderMap, host: &str) -> bool {
    let same_site = || headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "same-origin");
    headers.get_all(ORIGIN).iter().all(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let is_own = authority.is_some_and(|(scheme, authority)| {
            let authority = without_default_port(scheme, authority);
            authority.eq_ignore_ascii_case(without_default_port(scheme, host))
        });
        is_own || (origin == "null" && same_site())
    })
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// The answer, in the form of the gateway's other refusals.
pub fn refuse(rejection: Rejection) -> Response {
    let request_id = RequestId::next().to_string();
    let reason = rejection.code.as_str();
    tracing::debug!(request_id, reason, "the admin port refused a request");
    let body = rejection.problem_json(&request_id);
    let mut response = (rejection.code.status(), body).into_response();
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    fields.insert(PORTCULLIS_REASON, HeaderValue::from_static(reason));
    if let Some(challenge) = rejection.bearer_challenge().and_then(|challenge| challenge.parse().ok()) {
        fields.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(address: &str, fields: &[(&'static str, &'static str)]) -> Result<(), Code> {
        let admin = Admin { hosts: vec!["gate.example".to_owned()], ..Admin::default() };
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        judge(&headers, &admin, address.parse().unwrap()).map_err(|rejection| rejection.code)
    }

    #[test]
    fn the_admin_port_has_its_address_localhost_and_the_names_that_the_file_gives_it() {
        let on_loopback = "127.0.0.1:9090";
        for host in
            ["127.0.0.1:9090", "localhost", "LOCALHOST:1", "[::1]:9090", "gate.example:443", "Gate.Example"]
        {
            assert_eq!(said(on_loopback, &[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "10.0.0.1:9090", "127.0.0.1.evil.example", "localhost.evil.example", "", "a:b"]
        {
            assert_eq!(said(on_loopback, &[("host", host)]), Err(Code::WrongHost), "{host}");
        }
        assert_eq!(said(on_loopback, &[]), Err(Code::WrongHost));
        assert_eq!(said(on_loopback, &[("host", "localhost"), ("host", "x")]), Err(Code::WrongHost));
        assert_eq!(said("10.0.0.1:9090", &[("host", "10.0.0.1:9090")]), Ok(()));
        assert_eq!(said("10.0.0.1:9090", &[("host", "10.0.0.2:9090")]), Err(Code::WrongHost));
        assert_eq!(said("0.0.0.0:9090", &[("host", "10.0.0.2:9090")]), Ok(()));
        assert_eq!(said("0.0.0.0:9090", &[("host", "portcullis:9090")]), Err(Code::WrongHost));
    }

    #[test]
    fn only_its_own_pages_may_send_an_origin() {
        let from = |more: &[(&'static str, &'static str)]| {
            said("127.0.0.1:9090", &[&[("host", "localhost:9090")], more].concat())
        };
        assert_eq!(from(&[("origin", "http://localhost:9090")]), Ok(()));
        assert_eq!(from(&[("origin", "null"), ("sec-fetch-site", "same-origin")]), Ok(()));
        for origin in
            ["http://localhost:8080", "http://evil.example", "https://localhost", "localhost:9090", "null"]
        {
            assert_eq!(from(&[("origin", origin)]), Err(Code::CrossOrigin), "{origin}");
        }
        assert_eq!(from(&[("origin", "null"), ("sec-fetch-site", "cross-site")]), Err(Code::CrossOrigin));
        let behind_tls = [("host", "gate.example"), ("origin", "https://gate.example:443")];
        assert_eq!(said("127.0.0.1:9090", &behind_tls), Ok(()));
    }
}
