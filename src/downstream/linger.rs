//! A connection that is closed while the client still sends is reset by the system, and the reset may destroy the
//! answer before the client has read it (RFC 9112 §9.6). So the write side is closed first, and what still
//! comes is read and thrown away, within bounds of bytes and time.

use std::io;
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::count::Counted;

/// In all.
const LONGEST: Duration = Duration::from_secs(30);
/// Without a byte from the client.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const MAX_BYTES: u64 = 64 * 1024 * 1024;
const PIECE: usize = 8 * 1024;

/// In the background; the connection counts until it is closed.
pub fn start(stream: Stream, counted: Option<Counted>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            // Any error is the end of the connection, too.
            let _ended = close(stream).await;
            drop(counted);
        });
    }
}

async fn close(mut stream: Stream) -> io::Result<()> {
    let until = Instant::now() + LONGEST;
    timeout(LONGEST_PAUSE, AsyncWriteExt::shutdown(&mut stream)).await??;
    let mut thrown_away = 0;
    let mut piece = vec![0; PIECE];
    while thrown_away < MAX_BYTES {
        let next = until.min(Instant::now() + LONGEST_PAUSE);
        match timeout_at(next, stream.read(&mut piece)).await?? {
            0 => break,
            length => thrown_away += length as u64,
        }
    }
    Ok(())
}
