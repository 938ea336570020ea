//! A request that a stored answer may serve, read without Pingora's session: making one, having it copy the
//! head's fields with their spellings, and taking it apart again is a third of what a hit costs outside the
//! kernel (docs/performance.md).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use httparse::Status;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;

use crate::gateway::Arrival;

/// A head with more of them is Pingora's to read.
const MAX_FIELDS: usize = 32;

/// What says that there is more to a request than its head.
const NOT_PLAIN: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

/// Of a connection.
#[derive(Clone, Copy)]
pub struct Origin {
    peer: Option<IpAddr>,
    tls: bool,
}

/// A `GET` or `HEAD` of HTTP/1.1 without a body, all that the client has sent so far, on a connection that
/// stays open.
pub struct PlainRequest {
    pub header: RequestHeader,
    pub head: Bytes,
}

impl PlainRequest {
    /// `None` for every other request, and for what isn't one. Fields are told apart by the parser that Pingora
    /// uses, and none that it would refuse is taken here.
    pub fn read(head: Bytes) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        if parsed.parse(&head).ok()? != Status::Complete(head.len()) || parsed.version != Some(1) {
            return None;
        }
        let target = parsed.path.filter(|target| is_plain_target(target))?;
        let mut request = http::Request::new(()).into_parts().0;
        request.method = method(parsed.method?)?;
        request.uri = Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).ok()?;
        request.version = Version::HTTP_11;
        request.headers.reserve(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            if !is_plain_field(&name, field.value, &request.headers) {
                return None;
            }
            let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).ok()?;
            request.headers.append(name, value);
        }
        Some(Self { header: RequestHeader::from(request), head })
    }

    pub fn arrival(&self, origin: Origin) -> Arrival<'_> {
        Arrival {
            request: &self.header,
            peer: origin.peer,
            tls: origin.tls,
            // It was read as a whole: such a target is neither encoded nor cut.
            request_line: None,
            charged: true,
            given: None,
        }
    }
}

impl Origin {
    pub fn of(stream: &Stream) -> Self {
        let socket = stream.get_socket_digest();
        let peer = socket.as_ref().and_then(|socket| socket.peer_addr()?.as_inet());
        Self { peer: peer.map(SocketAddr::ip), tls: stream.get_ssl_digest().is_some() }
    }
}

fn method(name: &str) -> Option<Method> {
    match name {
        "GET" => Some(Method::GET),
        "HEAD" => Some(Method::HEAD),
        _ => None,
    }
}

/// A path that nobody reads in two ways, with or without a query.
fn is_plain_target(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// After the fields `before` it.
fn is_plain_field(name: &HeaderName, value: &[u8], before: &HeaderMap) -> bool {
    match *name {
        // More than one is refused, as is userinfo (RFC 9110 §4.2.4).
        header::HOST => !value.contains(&b'@') && !before.contains_key(name),
        header::CONNECTION => value.eq_ignore_ascii_case(b"keep-alive"),
        _ => !NOT_PLAIN.contains(name),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use pingora::protocols::http::ServerSession;
    use proptest::prelude::*;

    use super::*;

    fn read(head: &str) -> Option<PlainRequest> {
        PlainRequest::read(Bytes::copy_from_slice(head.as_bytes()))
    }

    /// By Pingora's session, on a connection on which nothing follows; `None` if it isn't one that it would
    /// answer and keep the connection for.
    fn read_by_session(head: &[u8]) -> Option<ServerSession> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (stream, _) = tokio::io::duplex(64);
            let mut session = ServerSession::new_http1(Box::new(stream));
            super::super::begin(&mut session, BytesMut::from(head), 1, Duration::from_secs(1));
            session.read_request().await.ok()?.then_some(())?;
            let session_read = session.as_http1()?.get_headers_raw_bytes().len();
            let will_keepalive = session.as_http1()?.will_keepalive();
            let is_plain = session_read == head.len() && will_keepalive && session.is_body_empty();
            is_plain.then_some(session)
        })
    }

    #[test]
    fn what_clients_send_is_plain() {
        for fields in [
            "Host: a\r\n",
            "Host: a\r\nConnection: keep-alive\r\nAccept: */*\r\nAuthorization: Bearer x\r\n",
            "Host: a\r\nconnection: Keep-Alive\r\nIf-None-Match: \"x\"\r\n",
        ] {
            let head = format!("GET /a%20b?c=d HTTP/1.1\r\n{fields}\r\n");
            let plain = read(&head).expect("it is plain");
            assert_eq!(plain.header.raw_path(), b"/a%20b?c=d");
        }
    }

    #[test]
    fn what_asks_for_more_is_left_to_the_session() {
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(MAX_FIELDS));
        for head in [
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
            &many,
        ] {
            assert!(read(head).is_none(), "{head:?}");
        }
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let request_lines = prop::sample::select(vec![
            "GET / HTTP/1.1",
            "GET /a?b=c HTTP/1.1",
            "HEAD /a HTTP/1.1",
            "GET //a HTTP/1.1",
            "GET /a HTTP/1.0",
            "POST /a HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET http://a/ HTTP/1.1",
            "GET /\"<>\\^`{|} HTTP/1.1",
            "GET ?a HTTP/1.1",
            "GET /%zz HTTP/1.1",
            "GET  / HTTP/1.1",
        ]);
        let fields = prop::sample::select(vec![
            "Host: a",
            "host: b",
            "Host: u@a",
            "Connection: keep-alive",
            "Connection: close",
            "CONNECTION: x",
            "Connection: keep-alive, close",
            "Keep-Alive: timeout=1",
            "Content-Length: 0",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Range: bytes=0-1",
            "TE: x",
            "Accept:",
            "Accept: \t a \t",
            "X-Odd: \u{e9}",
            "X-Odd: a\tb",
            "X-Odd: a\0b",
            "X-Odd: a\rb",
            "X_Y: z",
            " folded",
            "Bad Name: x",
            "x: y",
            ": y",
            "Authorization: Bearer x.y.z",
            "Proxy-Connection: close",
        ]);
        let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", ""]);
        let last = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\n", "", "\r\nGET"]);
        (request_lines, prop::collection::vec((fields, end), 0..5), last).prop_map(|(first, fields, last)| {
            let fields: String = fields.into_iter().map(|(field, end)| format!("{field}{end}")).collect();
            format!("{first}\r\n{fields}{last}").into_bytes()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Nothing is taken that Pingora's session would refuse or read otherwise.
        #[test]
        fn a_plain_request_is_what_the_session_reads(
            head in lines(),
            spoilt in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut head = head;
            if let Some((at, byte)) = spoilt {
                let at = at.index(head.len());
                head[at] = byte;
            }
            if let Some(plain) = PlainRequest::read(Bytes::copy_from_slice(&head)) {
                let session = read_by_session(&head);
                prop_assert!(session.is_some(), "{:?}", String::from_utf8_lossy(&head));
                let session = session.expect("it was just looked at");
                let theirs = session.req_header();
                prop_assert_eq!(&plain.header.method, &theirs.method);
                prop_assert_eq!(plain.header.raw_path(), theirs.raw_path());
                // `Arrival::request_line` has nothing to add.
                let line = [plain.header.method.as_str().as_bytes(), b" ", theirs.raw_path(), b" HTTP/1.1"].concat();
                prop_assert!(head.starts_with(&line), "{:?}", String::from_utf8_lossy(&head));
                prop_assert_eq!(&plain.header.uri, &theirs.uri);
                prop_assert_eq!(plain.header.version, theirs.version);
                prop_assert_eq!(&plain.header.headers, &theirs.headers);
            }
        }
    }
}
