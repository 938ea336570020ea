//! Plain HTTP on a port that speaks TLS: an answer that says so, as people who type `http://` need it.

use std::time::Duration;

use pingora::protocols::l4::stream::Stream;
use pingora::time::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BODY: &str = r#"{"type":"about:blank","title":"Bad Request","status":400,"code":"bad_request","detail":"This port speaks HTTPS; the request came as plain HTTP"}"#;
/// What is read after the answer, so that closing doesn't destroy it on its way (RFC 9112 §9.6).
const DRAIN: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Answers what begins like an HTTP request, and closes.
pub async fn refuse(mut stream: Stream, first: u8) {
    if !first.is_ascii_uppercase() {
        return;
    }
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nPortcullis-Reason: bad_request\r\nConnection: close\r\n\r\n",
        BODY.len()
    );
    let answer = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(BODY.as_bytes()).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    if answer.await.is_ok() {
        // Whatever comes, and however it ends, the connection is closed.
        let _ = timeout(DRAIN_TIME, drain(&mut stream)).await;
    }
}

async fn drain(stream: &mut Stream) {
    let (mut buffer, mut left) = ([0; 4096], DRAIN);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        left = left.saturating_sub(length);
        if left == 0 {
            return;
        }
    }
}
