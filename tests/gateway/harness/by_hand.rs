//! An upstream whose answers the test writes itself, byte by byte, and whose connections it cuts.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::PATIENCE;

pub struct ByHand {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<TcpStream>,
}

impl ByHand {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (arrived, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match connection.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                if arrived.send(connection).is_err() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection of the next request, which waits for its answer.
    pub async fn request(&mut self) -> TcpStream {
        let next = tokio::time::timeout(PATIENCE, self.requests.recv()).await;
        next.expect("nobody asks").expect("it listens as long as we do")
    }

    /// Whether there is none.
    pub fn is_idle(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }

    /// Answers the next request with these bytes, and closes.
    pub async fn answer(&mut self, bytes: &[u8]) {
        self.request().await.write_all(bytes).await.expect("the gateway listens");
    }
}
