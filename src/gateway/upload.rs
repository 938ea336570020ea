//! Uploads over HTTP/2 that go on after their answer. The answer is sent whole; what still comes is read for a while, so
//! that the client gets to read it; then the stream is reset with NO_ERROR (RFC 9113 §8.1).

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::time::timeout;

use super::Gateway;
use crate::exchange::Exchange;
use crate::pipeline::forward::request_body::{AFTER_ANSWER, AFTER_ANSWER_TIME};

/// For a client that neither sends nor ends its upload. Longer than the others, because a slow reader needs time
/// to read the end of its answer.
const STALLED_TIME: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// Whether the answer of this task's request has come, and its upload hasn't ended.
    static HAS_ANSWER: Cell<bool>;
}

/// Runs a request over HTTP/2. When its answer has come, it ends soon, whether or not the upload does: dropping it resets
/// the stream with NO_ERROR.
pub async fn bounded(request: impl Future<Output = ()>) {
    let run = async {
        let mut request = pin!(request);
        let has_ended = poll_fn(|cx| {
            if request.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if HAS_ANSWER.with(Cell::get) { Poll::Ready(false) } else { Poll::Pending }
        });
        if !has_ended.await {
            // Either way it is over.
            let _ = timeout(STALLED_TIME, request).await;
        }
    };
    HAS_ANSWER.scope(Cell::new(false), run).await;
}

impl Gateway {
    /// The last byte of the upstream's answer has come.
    pub(super) fn note_end_of_answer(&self, session: &mut Session, last: usize, exchange: &mut Exchange) {
        if !session.downstream_session.is_http2() || session.downstream_session.is_body_done() {
            return;
        }
        exchange.answer_ended = Some(std::time::Instant::now());
        // What comes later may be dropped in the middle.
        let status = exchange.answer_began.map(|status| status.as_u16());
        let sent = session.body_bytes_sent() + last;
        self.settle_as(session, status, sent, exchange);
        let _ = HAS_ANSWER.try_with(|has_answer| has_answer.set(true));
    }

    /// After an answer that needed no upload, such as a refusal. Clients that get answer and reset at once lose the answer.
    pub(super) async fn let_upload_end(&self, session: &mut Session, failed: bool, exchange: &Exchange) {
        let is_whole = !failed || exchange.answered_here;
        let connection = &mut session.downstream_session;
        if !is_whole || connection.finish_body().await.is_err() || connection.is_body_done() {
            return;
        }
        // However it ends, the stream is reset with what is left.
        let _ = timeout(AFTER_ANSWER_TIME, discard(connection)).await;
    }
}

/// Reads a body that nothing asks for, up to [`AFTER_ANSWER`].
async fn discard(connection: &mut ServerSession) {
    let mut left = AFTER_ANSWER;
    while let Ok(Some(bytes)) = connection.read_request_body().await {
        left = left.saturating_sub(bytes.len() as u64);
        if left == 0 {
            return;
        }
    }
}
