//! Is this a request at all? Method, `Host`, header sizes and the target, before any meaning is
//! looked for. Touches no store; fails closed.

use http::{HeaderMap, Method, Version, header};
use pingora::http::RequestHeader;

use super::{Arrival, client, target};
use crate::exchange::Exchange;
use crate::rejection::{Code, Rejection};

/// The methods that are passed on; the rest is 405, TRACE and CONNECT among them (ASVS 13.4.4).
pub const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

const MAX_HEADER_BYTES: usize = 64 * 1024;

pub fn run(arrival: &Arrival<'_>, exchange: &mut Exchange) -> Result<(), Rejection> {
    let request = arrival.request;
    if !METHODS.contains(&request.method) {
        return Err(
            Rejection::from(Code::MethodNotAllowed).allow("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        );
    }
    exchange.method = request.method.clone();
    check_headers(&request.headers, exchange.edition.policy.listen.max_fields)?;
    let host = host(request)?;
    exchange.client =
        client::identify(arrival.peer, arrival.tls, host, &request.headers, &exchange.edition.policy);

    keep_request_id(arrival, exchange);

    if let Some(line) = &arrival.request_line {
        check_request_line(line, request)?;
    }
    if exchange.is_line_odd {
        return Err(odd_line());
    }
    let target = origin_form(request, &exchange.client.host)?;
    let read = target::read(target).map_err(|why| Rejection::from(Code::BadPath).because(why))?;
    exchange.path = read.path.into_owned();
    Ok(())
}

/// Goes on with the id that a trusted proxy has given the request, where gateway.yaml says so.
fn keep_request_id(arrival: &Arrival<'_>, exchange: &mut Exchange) {
    let policy = &exchange.edition.policy;
    if !policy.trust_request_id {
        return;
    }
    let is_trusted = arrival.peer.is_some_and(|peer| client::is_trusted(policy, peer.to_canonical()));
    if let Some(said) = client::single(&arrival.request.headers, "x-request-id").filter(|_| is_trusted) {
        exchange.request_id.adopt(said);
    }
}

/// The target as it is matched and forwarded. In absolute form it must name the host that `Host` names, whose rules
/// apply (RFC 9112 §3.2.2).
fn origin_form<'a>(request: &'a RequestHeader, host: &str) -> Result<&'a [u8], Rejection> {
    let raw = request.raw_path();
    let Some(rest) = without_scheme(raw) else { return Ok(raw) };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let authority = std::str::from_utf8(authority).ok().filter(|authority| client::is_authority(authority));
    if authority.map(client::plain_authority).as_deref() != Some(host) {
        return Err(Rejection::from(Code::BadPath).because("the target names another host than Host does"));
    }
    match target {
        [b'/', ..] => Ok(target),
        // All that Pingora's own reading of the target could lose.
        _ if target.contains(&b'#') => Err(odd_line()),
        _ => Ok(request.uri.path_and_query().map_or(b"/", |path| path.as_str().as_bytes())),
    }
}

fn without_scheme(target: &[u8]) -> Option<&[u8]> {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let has =
        |scheme: &&[u8]| target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    target.get(schemes.into_iter().find(has)?.len()..)
}

/// Their bytes were checked by the parsers: `httparse` and `h2` let no control character into a value.
fn check_headers(headers: &HeaderMap, max_fields: u32) -> Result<(), Rejection> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() as u64 > u64::from(max_fields) || bytes > MAX_HEADER_BYTES {
        let why = format!("more than {max_fields} header fields or 64 KiB of them");
        return Err(Rejection::from(Code::HeadersTooLarge).because(why));
    }
    Ok(())
}

/// The one authority of a request: `:authority` of HTTP/2, else exactly one valid `Host`
/// (RFC 9112 §3.2). In lower case, without a final dot.
fn host(request: &RequestHeader) -> Result<String, Rejection> {
    let bad = |why: &str| Rejection::from(Code::BadRequest).because(why);
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(bad("more than one Host"));
    }
    let field = first.map(|value| value.to_str().map_err(|_| bad("Host is not plain text"))).transpose()?;
    let authority = match (request.version, request.uri.authority()) {
        (Version::HTTP_2, Some(authority)) => {
            if field.is_some_and(|field| !field.eq_ignore_ascii_case(authority.as_str())) {
                return Err(bad("Host and :authority differ"));
            }
            authority.as_str()
        }
        _ => field.ok_or_else(|| bad("no Host"))?,
    };
    if !client::is_authority(authority) {
        return Err(bad("Host is not a valid authority"));
    }
    Ok(client::plain_authority(authority))
}

fn check_request_line(line: &[u8], request: &RequestHeader) -> Result<(), Rejection> {
    let mut words = line.split(|&byte| byte == b' ');
    let same = words.next() == Some(request.method.as_str().as_bytes())
        && words.next() == Some(request.raw_path())
        && words.next().is_some_and(|version| version.starts_with(b"HTTP/1."))
        && words.next().is_none();
    if same { Ok(()) } else { Err(odd_line()) }
}

fn odd_line() -> Rejection {
    Rejection::from(Code::BadPath).because("the request line holds more than a plain target")
}
