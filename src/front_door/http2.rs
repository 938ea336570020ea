//! A client's HTTP/2 connection: its windows, its streams, and how it ends. Each stream is a request for Pingora's
//! proxy. The loop is ours, because Pingora's closes idle connections without a GOAWAY.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::header::COOKIE;
use pingora::apps::HttpServerApp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;
use pingora::time::{sleep, timeout};
use tokio::sync::Notify;

use super::FrontDoor;
use crate::gateway::upload;

/// For the client's preface.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a connection may hold of request bodies that weren't read yet. A stream may hold 64 KiB, so that some dozens
/// of uploads can stall and others go on; decision 46 says what that costs.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// After the GOAWAY of an idle connection, for the client to close it.
const FAREWELL: Duration = Duration::from_secs(5);
/// Streams that are no requests at all; then the connection is closed.
const MAX_MALFORMED: usize = 32;

/// The requests of one connection that are being answered.
#[derive(Default)]
struct Active {
    count: AtomicUsize,
    none_left: Notify,
}

/// One of them, until it is dropped.
struct ActiveStream(Arc<Active>);

/// Why a connection takes no more requests.
enum Ending {
    NotYet,
    /// GOAWAY was sent because nothing happened for so long.
    Idle,
    /// The server goes. Streams may take as long as it lets them.
    Shutdown,
}

pub(super) async fn serve(
    door: Arc<FrontDoor>,
    stream: Stream,
    mut shutdown: ShutdownWatch,
    idle_timeout: Duration,
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let Ok(Ok(mut connection)) = timeout(PREFACE_TIMEOUT, handshake(stream, Some(options()))).await else {
        tracing::debug!("a client agreed on HTTP/2 and doesn't speak it");
        return;
    };
    let active = Arc::new(Active::default());
    let (mut ending, mut malformed) = (Ending::NotYet, 0);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.changed(), if !matches!(ending, Ending::Shutdown) => {
                connection.graceful_shutdown();
                ending = Ending::Shutdown;
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
            () = active.idle_for(idle_timeout), if matches!(ending, Ending::NotYet) => {
                connection.graceful_shutdown();
                ending = Ending::Idle;
                continue;
            }
            () = active.idle_for(FAREWELL), if matches!(ending, Ending::Idle) => return,
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => answer(&door, session, &active, &shutdown),
            Ok(Some(H2Accept::Rejected)) => malformed += 1,
            // The connection is over, or broken.
            Ok(None) | Err(_) => return,
        }
        if malformed >= MAX_MALFORMED {
            tracing::debug!("an HTTP/2 connection is closed after {malformed} malformed requests");
            return;
        }
    }
}

fn options() -> H2Options {
    let mut options = default_h2_options();
    options.initial_connection_window_size(CONNECTION_WINDOW);
    options
}

/// On another thread, if there are several: the streams of one connection needn't wait for each other.
fn answer(door: &Arc<FrontDoor>, mut session: HttpSession, active: &Arc<Active>, shutdown: &ShutdownWatch) {
    join_cookies(session.req_header_mut());
    let (door, shutdown, stream) = (door.clone(), shutdown.clone(), active.begin());
    pingora_runtime::current_handle().spawn(async move {
        let _until_the_end = stream;
        upload::bounded(async {
            door.proxy.process_new_http(ServerSession::new_http2(session), &shutdown).await;
        })
        .await;
    });
}

/// HTTP/2 lets clients send one field for each cookie; from here on they are one (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) {
    let mut lines = request.headers.get_all(COOKIE).iter();
    if lines.by_ref().take(2).count() < 2 {
        return;
    }
    let lines: Vec<&[u8]> = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // What was a value in parts is one when joined, and the name is known.
    let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) else { return };
    let _ = request.insert_header(COOKIE, joined);
}

impl Active {
    fn begin(self: &Arc<Self>) -> ActiveStream {
        self.count.fetch_add(1, Ordering::Relaxed);
        ActiveStream(self.clone())
    }

    /// Returns when there was no request for so long, from now on.
    async fn idle_for(&self, time: Duration) {
        while self.count.load(Ordering::Relaxed) != 0 {
            self.none_left.notified().await;
        }
        sleep(time).await;
    }
}

impl Drop for ActiveStream {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.none_left.notify_one();
        }
    }
}
