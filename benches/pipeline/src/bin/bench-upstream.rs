//! The cheapest backend there is: the same 200 bytes of JSON to every request without a body, so
//! that what is measured is the proxy before it. `/echo` is answered with the request's own head, to see
//! what a proxy made of it; `/bytes/<number>` with so many bytes, whatever follows; `/slow` after two seconds.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SLOW: Duration = Duration::from_secs(2);
const LONGEST: usize = 64 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".into());
    let listener = TcpListener::bind(address).await?;
    let answer = answer();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            // A client that goes away ends its own connection and nothing else.
            let _ = serve(stream, &answer).await;
        });
    }
}

async fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut received = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = &received[..end];
            if head.starts_with(b"GET /echo ") {
                stream.write_all(&answer_with(head)).await?;
            } else if let Some(length) = wanted_length(head) {
                stream.write_all(&answer_with(&vec![b'x'; length.min(LONGEST)])).await?;
            } else {
                if head.starts_with(b"GET /slow") {
                    tokio::time::sleep(SLOW).await;
                }
                stream.write_all(answer).await?;
            }
            received.drain(..end + 4);
        }
    }
}

/// From `GET /bytes/1024/…`.
fn wanted_length(head: &[u8]) -> Option<usize> {
    let rest = head.strip_prefix(b"GET /bytes/")?;
    let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn answer() -> Vec<u8> {
    answer_with(format!("{{\"message\":\"{}\"}}", "x".repeat(186)).as_bytes())
}

fn answer_with(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
