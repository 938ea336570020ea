//! Accepts connections to the admin port, also when the process has no descriptor left: operators and health checks
//! must get through just then.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};

use super::descriptors::Kept;

/// After a failure that a kept descriptor doesn't help against.
const PAUSE: Duration = Duration::from_millis(100);

pub struct AdminListener {
    listener: TcpListener,
    kept: Kept,
}

impl AdminListener {
    pub fn new(listener: TcpListener) -> Self {
        let kept = Kept::default();
        kept.fill();
        Self { listener, kept }
    }
}

impl Listener for AdminListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.kept.fill();
                    return accepted;
                }
                // Another thread may be faster; then the next one is given back.
                Err(error) if is_out_of_descriptors(&error) && self.kept.give_back() => {}
                Err(error) => {
                    tracing::debug!(%error, "the admin port can't accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    self.kept.fill();
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// EMFILE or ENFILE, which have no kind of their own.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23))
}
