//! Which route takes the request. Default deny: no route, no answer but 404.

use http::Method;
use pingora::http::RequestHeader;

use super::content_length;
use crate::config::policy::{Assignment, Auth, Destination, Route};
use crate::exchange::Exchange;
use crate::rejection::{Code, Rejection};

pub fn run(request: &RequestHeader, exchange: &mut Exchange) -> Result<(), Rejection> {
    let policy = &exchange.edition.policy;
    let host = without_port(&exchange.client.host);
    match policy.routes.assign(host, &request.method, &exchange.path) {
        Assignment::Route(route, params) => {
            // `/AUTH/login` and `/login/x` must not fall to an upstream behind a wildcard, password and all.
            if is_ours(&policy.auth, &request.method, &exchange.path, &route) {
                return Err(Code::RouteNotFound.into());
            }
            exchange.params = params;
            exchange.route = Some(route);
            check_length(request, exchange)
        }
        Assignment::WrongMethod(allow) => Err(Rejection::from(Code::MethodNotAllowed).allow(allow)),
        Assignment::NotFound => Err(Code::RouteNotFound.into()),
    }
}

/// Whether an upstream's route must not take the request: all beneath the prefix is the gateway's, and beneath
/// an alias whatever may carry credentials, unless the route names a path there itself.
fn is_ours(auth: &Auth, method: &Method, path: &str, route: &Route) -> bool {
    if matches!(route.destination, Destination::Auth(_)) {
        return false;
    }
    let may_carry_credentials = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    lies_under(path, &auth.prefix)
        || may_carry_credentials
            && auth.alias_paths.iter().any(|alias| lies_under(path, alias) && !is_named(&route.path, alias))
}

/// Whether a pattern leads to the alias's path or beneath it by its literals.
fn is_named(pattern: &str, alias: &str) -> bool {
    pattern.strip_prefix(alias).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses a body that says it is too large before any of it is read; bodies without a length are
/// counted as they come.
fn check_length(request: &RequestHeader, exchange: &Exchange) -> Result<(), Rejection> {
    let odd = |_| Rejection::from(Code::BadRequest).because("Content-Length is not a number");
    let Some(length) = content_length(&request.headers).map_err(odd)? else { return Ok(()) };
    let max = exchange.route.as_ref().map_or(0, |route| route.max_body);
    if length > max {
        return Err(Rejection::from(Code::BodyTooLarge).because(format!("the body may have {max} bytes")));
    }
    Ok(())
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// Whether the path is the prefix or below it, in any case.
fn lies_under(path: &str, prefix: &str) -> bool {
    let Some(head) = path.get(..prefix.len()) else { return false };
    head.eq_ignore_ascii_case(prefix) && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_auth_prefix_is_ours_in_any_case() {
        for path in ["/auth", "/auth/", "/auth/x", "/AUTH/login", "/Auth"] {
            assert!(lies_under(path, "/auth"), "{path}");
        }
        for path in ["/", "/authors", "/au", "/x/auth"] {
            assert!(!lies_under(path, "/auth"), "{path}");
        }
    }
}
