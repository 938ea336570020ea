//! What nginx' `auth_request` asks: is this bearer good, and who is it? As little as that takes:
//! signature, expiry and role, with neither revocation nor limits.

use aws_lc_rs::hmac;
use portcullis_bench::token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: auth-verifier ADDRESS");
        std::process::exit(2);
    };
    let listener = TcpListener::bind(address).await?;
    let key = token::key();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let key = key.clone();
        tokio::spawn(async move {
            // A client that goes away ends its own connection and nothing else.
            let _ = serve(stream, &key).await;
        });
    }
}

async fn serve(mut stream: TcpStream, key: &hmac::Key) -> std::io::Result<()> {
    let mut received = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]);
            let answer = answer(&head, key);
            stream.write_all(answer.as_bytes()).await?;
            received.drain(..end + 4);
        }
    }
}

fn answer(head: &str, key: &hmac::Key) -> String {
    let Some(claims) = bearer(head).and_then(|token| token::verify(key, token)) else {
        return refusal("401 Unauthorized");
    };
    let is_user = claims["roles"].as_array().is_some_and(|roles| roles.iter().any(|role| role == "user"));
    match claims["sub"].as_str().filter(|_| is_user) {
        Some(user) => format!("HTTP/1.1 204 No Content\r\nX-User: {user}\r\n\r\n"),
        None => refusal("403 Forbidden"),
    }
}

fn refusal(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
}

fn bearer(head: &str) -> Option<&str> {
    let fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let (_, value) = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    value.strip_prefix("Bearer ")
}
