//! The stream of a client's connection, as sessions read and write it.

mod poll;
mod traits;

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use pingora::protocols::{ALPN, Ssl, Stream};
use pingora::proxy::Session;
use prometheus::IntCounter;
use tokio::io::{AsyncRead, ReadBuf};

use super::body_end::BodyEnd;
use super::count::Counted;
use super::timer::Timer;

/// Read in one go from a client that sends a head, or ahead of its next request.
const PIECE: usize = 4 * 1024;
/// Kept of what comes ahead of the next request; beyond, the client waits.
const MAX_HELD: usize = 64 * 1024;
/// For the answer to a client that has said over TLS that it sends no more; then it counts as gone.
const WAIT_FOR_ANSWER: Duration = Duration::from_secs(30);
/// By which a connection of HTTP/2 begins (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// How long a client may take.
#[derive(Debug)]
pub struct Patience {
    /// For a request's head, in all; for the preface of HTTP/2.
    pub header: Duration,
    /// Between two pieces of a body.
    pub body: Duration,
    /// Until it takes more of what is sent to it.
    pub send: Duration,
    /// Connections that took longer.
    pub late_header: IntCounter,
    pub late_send: IntCounter,
}

/// The upstream has not answered in time. Said by the client's stream, which alone knows when the upload ended.
#[derive(Debug, thiserror::Error)]
#[error("no answer from the upstream in time")]
pub struct NoAnswer;

#[derive(Debug)]
pub struct ClientStream {
    /// `None` once it is being closed.
    inner: Option<Stream>,
    reading: Reading,
    /// What comes next, said while a session has the stream.
    next: Mutex<Option<Reading>>,
    /// Read, and not asked for yet: it belongs to the next request.
    held: BytesMut,
    /// Whether the client was sent anything since its request began.
    is_answered: bool,
    /// Whether the client has closed its side.
    has_ended: bool,
    has_failed: bool,
    /// Whether what is held must not be taken for a request.
    is_last: AtomicBool,
    /// Whether the connection ends with the answer, whatever comes.
    ends: AtomicBool,
    /// In milliseconds; 0 for no limit.
    answer_within: AtomicU64,
    stalled: Timer,
    silent: Timer,
    leaving: Timer,
    patience: Arc<Patience>,
    counted: Option<Counted>,
}

/// What the next bytes from the client are.
#[derive(Debug, Clone, Copy)]
enum Reading {
    /// A request's head.
    Head,
    /// A request's body; with whether the request asked for another protocol.
    Body(BodyEnd, bool),
    /// Of another protocol, after an upgrade.
    Upgraded,
    /// Of HTTP/2, after so many bytes more.
    Http2 { preface: usize },
}

impl ClientStream {
    pub fn new(inner: Stream, patience: Arc<Patience>, counted: Option<Counted>) -> Self {
        Self {
            inner: Some(inner),
            reading: Reading::Head,
            next: Mutex::default(),
            held: BytesMut::new(),
            is_answered: false,
            has_ended: false,
            has_failed: false,
            is_last: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            answer_within: AtomicU64::new(0),
            stalled: Timer::default(),
            silent: Timer::default(),
            leaving: Timer::default(),
            patience,
            counted,
        }
    }

    /// Whether the client and this side have agreed on HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.selected_alpn_proto(), Some(ALPN::H2))
    }

    /// For a connection that speaks HTTP/2 from here on.
    pub fn into_http2(mut self) -> Self {
        self.reading = Reading::Http2 { preface: PREFACE };
        self
    }

    /// Of a session that the front door has begun.
    pub fn of(session: &Session) -> Option<&Self> {
        session.as_http1()?.stream().as_any().downcast_ref()
    }

    /// What a session gives back.
    pub fn again(stream: Stream) -> Option<Box<Self>> {
        stream.into_any().downcast().ok()
    }

    pub fn patience(&self) -> &Patience {
        &self.patience
    }

    /// What comes next is a request's head.
    pub fn begin_head(&mut self) {
        self.reading = Reading::Head;
        self.next = Mutex::default();
        self.is_answered = false;
        *self.is_last.get_mut() = false;
        *self.ends.get_mut() = false;
        *self.answer_within.get_mut() = 0;
        self.silent.stop();
        self.leaving.stop();
    }

    /// What comes next is the body of the request whose head was read; beyond it nothing is given out.
    pub fn begin_body(&self, body: BodyEnd, may_upgrade: bool) {
        *self.next.lock() = Some(Reading::Body(body, may_upgrade));
    }

    /// Puts back what was read beyond a head, before its body is read.
    pub fn put_back(&mut self, read: BytesMut) {
        let later = std::mem::replace(&mut self.held, read);
        self.held.unsplit(later);
    }

    /// Nothing that has come with this request is taken for another one.
    pub fn forbid_next(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    /// The connection ends with the answer to this request, whose end others may see elsewhere.
    pub fn end_with_answer(&self) {
        self.forbid_next();
        self.ends.store(true, Ordering::Relaxed);
    }

    pub fn ends_with_answer(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Whether something has come that must not be taken for a request.
    pub fn has_forbidden_rest(&self) -> bool {
        self.is_last.load(Ordering::Relaxed) && !self.held.is_empty()
    }

    /// Fails with [`NoAnswer`] if nothing is sent to the client for so long after its request has been read.
    pub fn expect_answer_within(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.answer_within.store(millis.max(1), Ordering::Relaxed);
    }

    /// Reads more of a head; 0 at the end of the connection. Memory is taken for what has come.
    pub async fn read_head(&mut self, head: &mut BytesMut) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            std::task::ready!(Pin::new(&mut *self).poll_read(cx, &mut piece))?;
            head.extend_from_slice(piece.filled());
            Poll::Ready(Ok(piece.filled().len()))
        })
        .await
    }

    fn catch_up(&mut self) {
        if let Some(next) = self.next.get_mut().take() {
            self.reading = next;
        }
    }

    /// What was held, or what comes.
    fn poll_any(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return self.poll_inner(cx, buf);
        }
        let length = self.held.len().min(buf.remaining());
        buf.put_slice(&self.held.split_to(length));
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(inner) = self.inner.as_mut().filter(|_| !self.has_ended) else { return Poll::Ready(Ok(())) };
        let before = buf.filled().len();
        let result = std::task::ready!(Pin::new(inner).poll_read(cx, buf));
        self.has_ended = result.is_ok() && buf.filled().len() == before;
        self.has_failed |= result.is_err();
        Poll::Ready(result)
    }

    /// What is beyond the body's end stays here.
    fn poll_body(
        &mut self,
        mut body: BodyEnd,
        may_upgrade: bool,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(self.poll_any(cx, buf))?;
        let come = buf.filled().get(before..).unwrap_or_default();
        let length = body.take(come);
        if let Some(beyond) = come.get(length..).filter(|beyond| !beyond.is_empty()) {
            let beyond = BytesMut::from(beyond);
            self.put_back(beyond);
            buf.set_filled(before + length);
        }
        self.reading = Reading::Body(body, may_upgrade);
        Poll::Ready(Ok(()))
    }

    /// While the request is answered: keeps what the client sends, and tells only its end. The empty line that
    /// some clients send behind a body (RFC 9112 §2.2) is no request that would have to be waited for.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held.len() < MAX_HELD && !self.has_ended {
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            match self.poll_inner(cx, &mut piece) {
                Poll::Ready(Ok(())) => self.held.extend_from_slice(piece.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if self.has_ended && self.held.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            // Over TLS that was close_notify, not the end of the connection: many programs send it right after their
            // request, and read the answer.
            if !self.is_over_tls() || self.leaving.poll(cx, WAIT_FOR_ANSWER).is_ready() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_silence(cx)
    }

    fn is_over_tls(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.get_ssl_digest().is_some())
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self.answer_within.get_mut() {
            0 => Poll::Pending,
            millis => self
                .silent
                .poll(cx, Duration::from_millis(millis))
                .map(|()| Err(io::Error::new(ErrorKind::TimedOut, NoAnswer))),
        }
    }

    fn poll_http2(
        &mut self,
        preface: usize,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match self.poll_any(cx, buf) {
            Poll::Pending if preface > 0 => {
                std::task::ready!(self.silent.poll(cx, self.patience.header));
                self.patience.late_header.inc();
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
            result => {
                let come = buf.filled().len() - before;
                self.reading = Reading::Http2 { preface: preface.saturating_sub(come) };
                result
            }
        }
    }

    /// What became of sending: a client that takes nothing for too long is given up.
    fn sent<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(sent) => {
                self.stalled.stop();
                self.silent.stop();
                self.is_answered |= sent.is_ok();
                self.has_failed |= sent.is_err();
                result
            }
            Poll::Pending => {
                std::task::ready!(self.stalled.poll(cx, self.patience.send));
                self.patience.late_send.inc();
                self.has_failed = true;
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Before the client is sent this. With a 101 the connection changes its protocol (RFC 9110 §15.2.2).
    fn note_upgrade(&mut self, sent: &[u8]) {
        self.catch_up();
        if matches!(self.reading, Reading::Body(_, true)) && sent.starts_with(b"HTTP/1.1 101") {
            self.reading = Reading::Upgraded;
        }
    }

    /// Whether the client may be sending what would make the system reset the connection.
    fn may_be_sending(&mut self) -> bool {
        self.catch_up();
        let is_between = match self.reading {
            Reading::Head | Reading::Upgraded => true,
            Reading::Body(body, _) => !body.is_over() || !self.held.is_empty(),
            Reading::Http2 { .. } => false,
        };
        is_between && self.is_answered && !self.has_ended && !self.has_failed
    }
}
