//! How the next request of a connection is waited for.

use std::pin::pin;

use bytes::BytesMut;
use pingora::proxy::Session;
use tokio::time::{Instant, timeout_at};

use super::FrontDoor;
use super::head::{is_complete, skip_empty_lines};
use super::waiting_room::{CALLS, Call};
use crate::downstream::ClientStream;
use crate::rejection::Code;

impl FrontDoor {
    /// What the client says next, up to the end of a head; `None` when it goes or takes too long, or the server
    /// goes. `since`: when the connection was opened, for its first request.
    pub(super) async fn await_request(
        &self,
        mut stream: Box<ClientStream>,
        since: Option<Instant>,
    ) -> Option<(Box<ClientStream>, BytesMut)> {
        if stream.has_forbidden_rest() {
            return None;
        }
        stream.begin_head();
        let limit = self.patience.header;
        let mut read = BytesMut::new();
        let beginning = self.await_beginning(&mut stream, &mut read);
        match since {
            Some(opened) => timeout_at(opened + limit, beginning).await.ok()??,
            None => beginning.await?,
        }
        if is_complete(&read, 0) {
            return Some((stream, read));
        }
        let until = since.unwrap_or_else(Instant::now) + limit;
        let mut looked_at = 0;
        while !is_complete(&read, looked_at) {
            // Not all of it again for every byte of a slow client.
            looked_at = read.len().saturating_sub(2);
            match timeout_at(until, stream.read_head(&mut read)).await {
                Ok(length) if length.as_ref().is_ok_and(|length| *length > 0) => {}
                Ok(_) => return None,
                Err(_) => {
                    self.patience.late_header.inc();
                    Box::pin(self.refuse(Session::new_h1(stream), Code::RequestTimeout)).await;
                    return None;
                }
            }
        }
        Some((stream, read))
    }

    /// The first bytes of a request, unless the connection was idle for too long before, or the server goes.
    async fn await_beginning(&self, stream: &mut ClientStream, read: &mut BytesMut) -> Option<()> {
        let mut calls = 0;
        while read.is_empty() {
            self.await_bytes(stream, read, &mut calls).await?;
            skip_empty_lines(read);
        }
        Some(())
    }

    async fn await_bytes(
        &self,
        stream: &mut ClientStream,
        read: &mut BytesMut,
        calls: &mut u32,
    ) -> Option<()> {
        let mut reading = pin!(stream.read_head(read));
        loop {
            tokio::select! {
                biased;
                length = &mut reading => return length.is_ok_and(|length| length > 0).then_some(()),
                call = self.waiting_room.wait() => match call {
                    // The first may have come right after the wait began.
                    Call::TimePassed if *calls < CALLS => *calls += 1,
                    Call::TimePassed | Call::ServerGoes => return None,
                }
            }
        }
    }
}
