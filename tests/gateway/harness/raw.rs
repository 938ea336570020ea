//! A client that sends exactly the bytes it is given, for what no proper client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Reason};

/// After an answer this much silence counts as "nothing more comes".
const QUIET: Duration = Duration::from_millis(300);

pub struct RawConnection {
    stream: TcpStream,
    /// Received and not yet handed out.
    received: Vec<u8>,
}

/// One HTTP/1 answer.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    /// Status line and fields, as received.
    pub head: String,
    /// Without its framing.
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// The values of a field, in order; `name` in any case.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Reason for RawAnswer {
    fn reason(&self) -> Option<&str> {
        self.fields("portcullis-reason").next()
    }
}

impl RawConnection {
    pub async fn open(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.expect("the gateway listens"))
    }

    pub fn on(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// `false` when the other side has closed already.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// How many of these bytes were sent before the other side took no more for `patience`, or closed.
    pub async fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let mut sent = 0;
        while let Ok(Ok(length @ 1..)) = timeout(patience, self.stream.write(&bytes[sent..])).await {
            sent += length;
        }
        sent
    }

    /// The next whole answer; `None` when the connection ends first. Interim (1xx) answers are
    /// handed out like others; `HEAD` isn't supported.
    pub async fn answer(&mut self) -> Option<RawAnswer> {
        let end = self.until(|received| find(received, b"\r\n\r\n").map(|at| at + 4)).await?;
        let head = String::from_utf8_lossy(&self.take(end)).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = RawAnswer { status, head, body: Vec::new() };
        answer.body = self.body(&answer).await?;
        Some(answer)
    }

    /// Exactly the next bytes; `None` when the connection ends first.
    pub async fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        self.until(|received| (received.len() >= length).then_some(())).await?;
        Some(self.take(length))
    }

    /// All that still comes, until the other side closes or is silent.
    pub async fn rest(&mut self) -> Vec<u8> {
        while let Ok(true) = timeout(QUIET, self.read_more()).await {}
        std::mem::take(&mut self.received)
    }

    /// Waits for the other side to close; `false` if it stays open for `patience`.
    pub async fn is_closed_within(&mut self, patience: Duration) -> bool {
        let closed = async { while self.read_more().await {} };
        timeout(patience, closed).await.is_ok()
    }

    async fn body(&mut self, answer: &RawAnswer) -> Option<Vec<u8>> {
        if answer.status < 200 || matches!(answer.status, 204 | 304) {
            return Some(Vec::new());
        }
        if answer.fields("transfer-encoding").any(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.chunks().await;
        }
        if let Some(length) = answer.fields("content-length").next() {
            let length = length.parse().ok()?;
            self.until(|received| (received.len() >= length).then_some(length)).await?;
            return Some(self.take(length));
        }
        while self.read_more().await {}
        Some(std::mem::take(&mut self.received))
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(|received| find(received, b"\r\n").map(|at| at + 2)).await?;
            let line = String::from_utf8_lossy(&self.take(line)).into_owned();
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            self.until(|received| (received.len() >= size + 2).then_some(())).await?;
            body.extend(self.take(size));
            self.take(2);
            if size == 0 {
                return Some(body);
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.received.split_off(length);
        std::mem::replace(&mut self.received, rest)
    }

    /// Reads until `done` finds what it looks for; `None` when the connection ends first.
    async fn until<T>(&mut self, done: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = done(&self.received) {
                return Some(found);
            }
            let more = timeout(PATIENCE, self.read_more()).await;
            if !more.expect("the gateway neither answers nor closes") {
                return None;
            }
        }
    }

    /// `false` at the end, also when that comes as a reset.
    async fn read_more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.received).await, Ok(length) if length > 0)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
