//! The cheapest backend there is: the same 200 bytes of JSON to every request without a body, so
//! that what is measured is the proxy before it. `/echo` alone is answered with the request's own
//! head, to see what a proxy made of it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
            match received.starts_with(b"GET /echo ") {
                true => stream.write_all(&answer_with(&received[..end])).await?,
                false => stream.write_all(answer).await?,
            }
            received.drain(..end + 4);
        }
    }
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
