//! A client's connection, after the TLS handshake where there is one. HTTP/2 has a file of its own. Over HTTP/1, one
//! request comes after the other. What needs no more of Pingora than its session is answered right here; everything
//! else is handed to Pingora's proxy.
//!
//! Pingora makes one future of a request's whole way, some 80 KB, and moves it twice for each request,
//! a fifth of what a request costs outside the kernel (docs/performance.md). Here, what a connection
//! keeps is made once, and is small.

mod await_request;
mod head;
mod http2;
mod open_connections;
mod plain_request;
mod waiting_room;

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use http::{Method, Version};
use pingora::ErrorType;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{HttpProxy, Session};
use pingora::server::ShutdownWatch;
use tokio::time::Instant;

use self::head::{beyond_head, body_of, is_ambiguous, is_hopeless, is_plain_line, is_too_long};
pub use self::open_connections::{Connections, OpenConnections};
use self::plain_request::{Origin, PlainRequest};
use self::waiting_room::WaitingRoom;
use crate::downstream::{BodyEnd, ClientStream, ConnectionLimits, Patience};
use crate::exchange::Exchange;
use crate::gateway::{Arrival, Gateway, Standing, into_http1};
use crate::rejection::{Code, Rejection};
use crate::tls::Listeners;

/// Requests per connection; closing now and then frees what a connection holds.
const MAX_REQUESTS: u32 = 100_000;
/// How long connections that have heard nothing of the end stay open once nothing new is accepted: a client may be
/// about to send its next request.
pub const LINGER: Duration = Duration::from_secs(1);
/// After a hit so many of the next requests are looked up before they get a session: a client that asked for
/// what is stored is likely to do so again.
const EXPECTED_AFTER_HIT: u8 = 4;
/// Turns keep-alive on in Pingora's sessions, which never wait for a head here.
const KEEP_ALIVE: u64 = 60;

pub struct FrontDoor {
    gateway: Gateway,
    proxy: Arc<HttpProxy<Gateway>>,
    listeners: Arc<Listeners>,
    idle_timeout: Duration,
    waiting_room: Arc<WaitingRoom>,
    patience: Arc<Patience>,
    limits: Arc<ConnectionLimits>,
    /// Dropped when no connection can come any more.
    _watch: Box<dyn Any + Send + Sync>,
}

/// What connections of clients are served by.
pub struct Clients {
    pub listeners: Arc<Listeners>,
    pub patience: Arc<Patience>,
    pub limits: Arc<ConnectionLimits>,
}

/// A request on its connection, of which nothing was answered yet.
struct Caller<'a> {
    stream: Stream,
    /// What was read so far: all of the head, at least, wherever it is looked at here.
    read: BytesMut,
    /// How many more may follow on this connection.
    remaining: u32,
    shutdown: &'a ShutdownWatch,
}

/// What may follow a request: the next one on its connection.
struct End {
    stream: Stream,
    was_hit: bool,
    /// Of a hit, if it was read without a session.
    request: Option<Box<PlainRequest>>,
}

/// A request that was decided about.
type Arrived = (Box<Exchange>, Result<(), Rejection>);

#[async_trait]
impl ServerApp for FrontDoor {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let counted = self.limits.add(limited_address(&self.gateway, peer_address(&stream)))?;
        let stream = self.listeners.open(stream).await?;
        let stream = ClientStream::new(stream, self.patience.clone(), Some(counted));
        if stream.is_http2() {
            let stream = Box::new(stream.into_http2());
            // Boxed, so that the connections of HTTP/1 don't carry its size.
            Box::pin(http2::serve(self.clone(), stream, shutdown.clone(), self.idle_timeout)).await;
            return None;
        }
        // Until its first request is there, a connection has no more than this.
        let stream = Box::new(stream);
        let (stream, read) = self.await_request(stream, Some(Instant::now())).await?;
        Box::pin(self.serve(stream, read, shutdown)).await;
        None
    }

    async fn cleanup(&self) {
        tokio::time::sleep(LINGER).await;
        self.waiting_room.close();
        self.proxy.http_cleanup().await;
    }
}

impl FrontDoor {
    /// `watch` is dropped when the service ends, however it does.
    pub fn new(
        gateway: Gateway,
        proxy: HttpProxy<Gateway>,
        clients: Clients,
        idle_timeout: Duration,
        watch: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let Clients { listeners, patience, limits } = clients;
        let (proxy, waiting_room) = (Arc::new(proxy), Arc::default());
        Self { gateway, proxy, listeners, idle_timeout, waiting_room, patience, limits, _watch: watch }
    }

    /// Lets connections hear how time passes; those that were idle for so long are closed.
    pub fn watch_idle(&self) -> impl Future<Output = ()> + use<> {
        self.waiting_room.clone().watch_the_clock(self.idle_timeout)
    }

    /// A connection from its first request to its last.
    async fn serve(&self, stream: Box<ClientStream>, first: BytesMut, shutdown: &ShutdownWatch) {
        let (mut stream, mut next): (Stream, _) = (stream, Some(first));
        let origin = Origin::of(&stream);
        let (mut hits_expected, mut last_hit) = (0, None);
        for remaining in (0..MAX_REQUESTS).rev() {
            let read = match next.take() {
                Some(read) => read,
                None => {
                    let Some(client) = ClientStream::again(stream) else { return };
                    let Some((client, read)) = self.await_request(client, None).await else { return };
                    stream = client;
                    read
                }
            };
            let caller = Caller { stream, read, remaining, shutdown };
            let end = if hits_expected > 0 && self.gateway.may_forward_itself() {
                self.look_up(caller, origin, last_hit).await
            } else {
                self.receive(caller, None).await
            };
            let Some(end) = end else { return };
            hits_expected = if end.was_hit { EXPECTED_AFTER_HIT } else { hits_expected.saturating_sub(1) };
            (stream, last_hit) = (end.stream, end.request);
        }
    }

    /// Gives a request what is stored for it, if it may have that. One that is the same as the last, byte by byte,
    /// isn't taken apart again; all else is done for it as for any other. What isn't a hit goes on as it would have, by
    /// ways that are boxed: this future is a part of every connection's.
    async fn look_up(
        &self,
        caller: Caller<'_>,
        origin: Origin,
        last_hit: Option<Box<PlainRequest>>,
    ) -> Option<End> {
        let Caller { stream, read, remaining, shutdown } = caller;
        let head = read.freeze();
        let again = |stream| Caller { stream, read: BytesMut::from(&head[..]), remaining, shutdown };
        let stays_open = remaining > 0 && !*shutdown.borrow();
        let same = last_hit.filter(|last| last.head == head);
        let request = same.or_else(|| PlainRequest::read(head.clone()).map(Box::new));
        let Some(request) = request.filter(|_| stays_open) else {
            return Box::pin(self.receive(again(stream), None)).await;
        };
        let mut exchange = self.gateway.begin();
        let arrived = self.gateway.arrive(&request.arrival(origin), &mut exchange).await;
        if arrived.is_err() || exchange.cache_rule().is_none() {
            return Box::pin(self.receive(again(stream), Some((exchange, arrived)))).await;
        }
        let Some(hit) = self.gateway.find(&request.header, &mut exchange).await else {
            without_body(&stream);
            return Box::pin(self.hand_over(again(stream), Some(exchange))).await;
        };
        let Ok(Some(message)) = hit.message(&exchange) else {
            return Box::pin(self.receive(again(stream), Some((exchange, arrived)))).await;
        };
        let stream = self.gateway.give(&hit, message, &request.header, stream, exchange).await?;
        Some(End { stream, was_hit: true, request: Some(request) })
    }

    /// Answers the request, or hands it over; with what became of it so far, if it has arrived.
    async fn receive(&self, caller: Caller<'_>, arrived: Option<Arrived>) -> Option<End> {
        let Caller { stream, read, remaining, shutdown } = caller;
        let (mut session, read) = self.read_head(stream, read, remaining).await?;
        let is_line_odd = !is_plain_line(&read);
        if is_line_odd {
            ClientStream::of(&session)?.end_with_answer();
        }
        if *shutdown.borrow() || ClientStream::of(&session)?.ends_with_answer() {
            session.set_keepalive(None);
        }
        // Pingora would refuse CONNECT in its own words.
        if !self.gateway.may_forward_itself() && session.req_header().method != Method::CONNECT {
            let stream = into_http1(session)?.into_inner();
            let caller = Caller { stream, read, remaining, shutdown };
            let odd = is_line_odd.then(|| self.begin(is_line_odd));
            return Box::pin(self.hand_over(caller, odd)).await;
        }
        let (mut exchange, arrived) = match arrived {
            Some(arrived) => arrived,
            None => {
                let mut exchange = self.begin(is_line_odd);
                let arrived = self.gateway.arrive(&Arrival::from(&session), &mut exchange).await;
                (exchange, arrived)
            }
        };
        let standing = self.gateway.answer(&mut session, &mut exchange, arrived).await;
        let was_hit = matches!(standing, Ok(Standing::Found(_)));
        let answered = match standing {
            Ok(Standing::Answered) => Ok(()),
            Ok(Standing::Found(hit)) => hit.send(&mut session, &exchange).await,
            Ok(Standing::Open) => {
                let stream = into_http1(session)?.into_inner();
                let caller = Caller { stream, read, remaining, shutdown };
                return Box::pin(self.hand_over(caller, Some(exchange))).await;
            }
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            self.gateway.end_failed(session, exchange, &error).await;
            return None;
        }
        Some(End { stream: self.gateway.end(session, exchange).await?, was_hit, request: None })
    }

    fn begin(&self, is_line_odd: bool) -> Box<Exchange> {
        let mut exchange = self.gateway.begin();
        exchange.is_line_odd = is_line_odd;
        exchange
    }

    /// A session that has read the head, and no more than that; with the head, should it be read again. `None` after
    /// the refusal of what is no request.
    async fn read_head(
        &self,
        stream: Stream,
        mut read: BytesMut,
        remaining: u32,
    ) -> Option<(Session, BytesMut)> {
        let mut client = ClientStream::again(stream)?;
        if is_hopeless(&read) {
            let code = if is_too_long(&read) { Code::HeadersTooLarge } else { Code::BadRequest };
            Box::pin(self.refuse(Session::new_h1(client), code)).await;
            return None;
        }
        if let Some(beyond) = beyond_head(&mut read) {
            client.put_back(beyond);
        }
        let mut session = self.begin_session(client, &read, remaining).await?;
        let length = session.as_http1()?.get_headers_raw_bytes().len();
        if length < read.len() {
            let mut client = ClientStream::again(into_http1(session)?.into_inner())?;
            client.put_back(read.split_off(length));
            session = self.begin_session(client, &read, remaining).await?;
        }
        let (body, may_upgrade) = (body_of(session.req_header()), session.is_upgrade_req());
        let client = ClientStream::of(&session)?;
        client.begin_body(body, may_upgrade);
        if is_ambiguous(session.req_header(), read.get(..length).unwrap_or(&read)) {
            client.end_with_answer();
        } else if session.req_header().version != Version::HTTP_11 {
            client.forbid_next();
        }
        Some((session, read))
    }

    async fn begin_session(
        &self,
        client: Box<ClientStream>,
        read: &BytesMut,
        remaining: u32,
    ) -> Option<Session> {
        let body_timeout = client.patience().body;
        let mut session = Session::new_h1(client);
        // Small; the session takes the head apart.
        begin(&mut session, read.clone(), remaining, body_timeout);
        match session.downstream_session.read_request().await {
            Ok(true) => Some(session),
            Ok(false) => None,
            Err(error) => {
                if *error.etype() == ErrorType::InvalidHTTPHeader {
                    Box::pin(self.refuse(session, Code::BadRequest)).await;
                }
                None
            }
        }
    }

    /// Of what is no request, or none in time.
    async fn refuse(&self, mut session: Session, code: Code) {
        self.gateway.refuse_unreadable(&mut session, code).await;
        session.downstream_session.shutdown().await;
    }

    /// Pingora's way from here on; with what was found out about the request, if it was received.
    async fn hand_over(&self, caller: Caller<'_>, exchange: Option<Box<Exchange>>) -> Option<End> {
        let stays_open = !*caller.shutdown.borrow();
        let mut session = ServerSession::new_http1(caller.stream);
        begin(&mut session, caller.read, caller.remaining, self.patience.body);
        session.set_keepalive(stays_open.then_some(KEEP_ALIVE));
        session.set_connection_user_context(exchange.map(|exchange| exchange as _));
        let reused = self.proxy.process_new_http(session, caller.shutdown).await?;
        Some(End { stream: reused.consume().0, was_hit: false, request: None })
    }
}

fn begin(session: &mut ServerSession, read: BytesMut, remaining: u32, body_timeout: Duration) {
    session.set_keepalive_reuses_remaining(Some(remaining));
    session.set_read_timeout(Some(body_timeout));
    session.set_pipelined_prefix(read);
}

/// What comes next belongs to the next request.
fn without_body(stream: &Stream) {
    if let Some(client) = stream.as_any().downcast_ref::<ClientStream>() {
        client.begin_body(BodyEnd::NONE, false);
    }
}

fn peer_address(stream: &Stream) -> Option<IpAddr> {
    let socket = stream.get_socket_digest()?;
    socket.peer_addr()?.as_inet().map(SocketAddr::ip)
}

/// By which a connection is limited: trusted proxies bring those of many clients.
fn limited_address(gateway: &Gateway, peer: Option<IpAddr>) -> Option<IpAddr> {
    peer.filter(|peer| !gateway.is_trusted(peer.to_canonical()))
}
