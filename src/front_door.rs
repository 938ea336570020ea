//! The front door: a client's HTTP/1 connection, one request after the other. What needs no more of
//! Pingora than its session is answered right here; everything else is handed to Pingora's proxy.
//!
//! Pingora makes one future of a request's whole way, some 80 KB, and moves it twice for each request,
//! a fifth of what a request costs outside the kernel (docs/performance.md). Here, what a connection
//! keeps is made once, and is small.

mod open_connections;
mod plain_request;
mod waiting_room;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::{HttpProxy, Session};
use pingora::server::ShutdownWatch;
use pingora::time::timeout;
use pingora::{Error, ErrorType};
use tokio::io::AsyncReadExt;

pub use self::open_connections::{Connections, OpenConnections};
use self::plain_request::{Origin, PlainRequest};
use self::waiting_room::{CALLS, Call, WaitingRoom};
use crate::exchange::Exchange;
use crate::gateway::{Arrival, Gateway, Standing, into_http1};
use crate::rejection::Rejection;

/// Requests per connection; closing now and then frees what a connection holds.
const MAX_REQUESTS: u32 = 100_000;
/// For a connection's first byte, and between two bytes of a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long connections that have heard nothing of the end stay open once nothing new is accepted: a client may be
/// about to send its next request.
pub const LINGER: Duration = Duration::from_secs(1);
/// After a hit so many of the next requests are looked up before they get a session: a client that asked for
/// what is stored is likely to do so again.
const EXPECTED_AFTER_HIT: u8 = 4;
/// Room for the head that most requests have.
const HEAD: usize = 4096;
/// What is longer is Pingora's to refuse.
const LONGEST_HEAD: usize = 64 * 1024;

pub struct FrontDoor {
    gateway: Gateway,
    proxy: Arc<HttpProxy<Gateway>>,
    waiting_room: Arc<WaitingRoom>,
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
impl HttpServerApp for FrontDoor {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match session {
            ServerSession::H1(session) => {
                self.serve(session.into_inner(), shutdown).await;
                None
            }
            session => self.proxy.process_new_http(session, shutdown).await,
        }
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    async fn http_cleanup(&self) {
        tokio::time::sleep(LINGER).await;
        self.waiting_room.close();
        self.proxy.http_cleanup().await;
    }
}

impl FrontDoor {
    pub fn new(gateway: Gateway, proxy: HttpProxy<Gateway>) -> Self {
        Self { gateway, proxy: Arc::new(proxy), waiting_room: Arc::default() }
    }

    /// Lets connections hear how time passes; those that were idle for so long are closed.
    pub fn watch_idle(&self, idle_timeout: Duration) -> impl Future<Output = ()> + use<> {
        self.waiting_room.clone().watch_the_clock(idle_timeout)
    }

    /// A connection from its first request to its last.
    async fn serve(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        let origin = Origin::of(&stream);
        let (mut hits_expected, mut last_hit) = (0, None);
        for remaining in (0..MAX_REQUESTS).rev() {
            let is_first = remaining + 1 == MAX_REQUESTS;
            let Some(read) = self.await_request(&mut stream, is_first).await else { return };
            let caller = Caller { stream, read, remaining, shutdown };
            let end = if !is_whole_head(&caller.read) || !self.gateway.may_forward_itself() {
                Box::pin(self.hand_over(caller, None)).await
            } else if hits_expected > 0 {
                self.look_up(caller, origin, last_hit).await
            } else {
                self.receive(caller, None).await
            };
            let Some(end) = end else { return };
            hits_expected = if end.was_hit { EXPECTED_AFTER_HIT } else { hits_expected.saturating_sub(1) };
            (stream, last_hit) = (end.stream, end.request);
        }
    }

    /// What the client says next, up to the end of a head; `None` when it goes, or the server does.
    async fn await_request(&self, stream: &mut Stream, is_first: bool) -> Option<BytesMut> {
        let mut read = BytesMut::with_capacity(HEAD);
        let beginning = self.await_beginning(stream.read_buf(&mut read));
        let length = if is_first { timeout(HEAD_TIMEOUT, beginning).await.ok()? } else { beginning.await };
        if length? == 0 {
            return None;
        }
        let mut looked_at = 0;
        while !holds_empty_line(&read[looked_at..]) && read.len() < LONGEST_HEAD {
            // Not all of it again for every byte of a slow client.
            looked_at = read.len().saturating_sub(2);
            let length = timeout(HEAD_TIMEOUT, stream.read_buf(&mut read)).await.ok()?.ok()?;
            if length == 0 {
                return None;
            }
        }
        Some(read)
    }

    /// What `reading` brings, unless the connection was idle for too long before, or the server goes.
    async fn await_beginning(&self, reading: impl Future<Output = io::Result<usize>>) -> Option<usize> {
        let mut reading = pin!(reading);
        let mut calls = 0;
        loop {
            tokio::select! {
                biased;
                length = &mut reading => return length.ok(),
                call = self.waiting_room.wait() => match call {
                    // The first may have come right after the wait began.
                    Call::TimePassed if calls < CALLS => calls += 1,
                    Call::TimePassed | Call::ServerGoes => return None,
                }
            }
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
        // Small; the session takes the head apart.
        let copy = read.clone();
        let mut session = Session::new_h1(stream);
        begin(&mut session, read, remaining);
        if let Err(error) = session.downstream_session.read_request().await {
            Box::pin(self.refuse(session, &error)).await;
            return None;
        }
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        let (mut exchange, arrived) = match arrived {
            Some(arrived) => arrived,
            None => {
                let mut exchange = self.gateway.begin();
                exchange.is_line_odd = !is_plain_line(&copy);
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
                let caller = Caller { stream, read: copy, remaining, shutdown };
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

    async fn refuse(&self, mut session: Session, error: &Error) {
        if *error.etype() == ErrorType::InvalidHTTPHeader {
            self.gateway.refuse_unreadable(&mut session).await;
        }
        session.downstream_session.shutdown().await;
    }

    /// Pingora's way from here on; with what was found out about the request, if it was received.
    async fn hand_over(&self, caller: Caller<'_>, exchange: Option<Box<Exchange>>) -> Option<End> {
        let exchange = match exchange {
            None if !is_plain_line(&caller.read) => {
                let mut exchange = self.gateway.begin();
                exchange.is_line_odd = true;
                Some(exchange)
            }
            exchange => exchange,
        };
        let mut session = ServerSession::new_http1(caller.stream);
        begin(&mut session, caller.read, caller.remaining);
        let stays_open = !*caller.shutdown.borrow();
        session.set_keepalive(stays_open.then_some(HEAD_TIMEOUT.as_secs()));
        session.set_connection_user_context(exchange.map(|exchange| exchange as _));
        let reused = self.proxy.process_new_http(session, caller.shutdown).await?;
        Some(End { stream: reused.consume().0, was_hit: false, request: None })
    }
}

/// Whether the session that is given this needs to read no further to know the head. One that ends with
/// bare line feeds (RFC 9112 §2.2), or comes after an empty line, is rare enough to be Pingora's.
fn is_whole_head(read: &[u8]) -> bool {
    read.first().is_some_and(u8::is_ascii_alphabetic)
        && !read.starts_with(b"CONNECT")
        && (read.ends_with(b"\r\n\r\n") || read.windows(4).any(|four| four == b"\r\n\r\n"))
}

/// Whether the request line is three words and holds no control character. Pingora's session would encode what else
/// stands in a target, and a target that two programs could read differently isn't mended but refused.
fn is_plain_line(read: &[u8]) -> bool {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let mut spaces = 0;
    let mut line = read.iter().skip_while(|byte| is_end(byte)).take_while(|byte| !is_end(byte));
    let is_printable = line.all(|&byte| {
        spaces += usize::from(byte == b' ');
        byte >= b' ' && byte != 0x7f
    });
    is_printable && spaces == 2
}

/// However it is written.
fn holds_empty_line(read: &[u8]) -> bool {
    read.ends_with(b"\r\n\r\n")
        || read.windows(2).any(|two| two == b"\n\n")
        || read.windows(3).any(|three| three == b"\n\r\n")
}

fn begin(session: &mut ServerSession, read: BytesMut, remaining: u32) {
    session.set_keepalive_reuses_remaining(Some(remaining));
    session.set_pipelined_prefix(read);
}
