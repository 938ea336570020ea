//! The proxy's listening sockets. They are bound here and handed to Pingora, so that at the end the gateway can
//! stop new connections without losing those that the system has accepted already.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use rustix::event::{PollFd, PollFlags, poll};
use socket2::SockRef;

use super::StartError;

/// Connections that the system has begun have so long to come up, and to be accepted.
const SETTLE_WITHIN: Duration = Duration::from_secs(1);
/// Half of what a handshake with a distant client takes.
const SETTLE: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Beside Pingora's own handles on the same sockets.
#[derive(Default)]
pub struct Listeners(Mutex<Vec<(SocketAddr, TcpListener)>>);

impl Listeners {
    /// Pingora would panic on a service thread and leave a process that listens nowhere.
    pub fn bind(addresses: impl Iterator<Item = SocketAddr>) -> Result<Self, StartError> {
        let bound = addresses.map(|address| match TcpListener::bind(address) {
            Ok(listener) => Ok((address, listener)),
            Err(cause) => Err(StartError::Listen { address, cause }),
        });
        bound.collect::<Result<Vec<_>, _>>().map(|bound| Self(Mutex::new(bound)))
    }

    /// Where they are reached, also where the file leaves the port to the system.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.lock().iter().filter_map(|(_, listener)| listener.local_addr().ok()).collect()
    }

    /// For Pingora, which looks a listener up by its address before it binds one of its own.
    fn hand_over(&self, table: &ListenFds) {
        for (address, listener) in self.0.lock().iter() {
            match listener.set_nonblocking(true).and_then(|()| listener.try_clone()) {
                Ok(clone) => table.lock().add(address.to_string(), clone.into_raw_fd()),
                Err(error) => tracing::error!(%address, %error, "the listener can't be shared"),
            }
        }
    }

    /// Lets no new connection begin; what has begun is still accepted. Returns once that is done, and has let go
    /// of the sockets: then nothing is lost when Pingora closes them.
    pub async fn refuse_new(&self) {
        for (address, listener) in self.0.lock().iter() {
            if let Err(error) = drop_beginnings(listener) {
                tracing::debug!(%address, %error, "new connections are refused only when the socket is closed");
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < SETTLE || (self.is_any_waiting() && begun.elapsed() < SETTLE_WITHIN) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.0.lock().clear();
    }

    /// Whether a connection waits to be accepted.
    fn is_any_waiting(&self) -> bool {
        let listeners = self.0.lock();
        let mut polled: Vec<PollFd<'_>> =
            listeners.iter().map(|(_, listener)| PollFd::new(listener, PollFlags::IN)).collect();
        poll(&mut polled, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

/// The system drops the first segment of every new connection, as if it were lost on the way; the client sends it
/// again, and is refused once the socket is closed. Other segments still pass, among them the last one of connections
/// that are coming up.
#[cfg(target_os = "linux")]
fn drop_beginnings(listener: &TcpListener) -> io::Result<()> {
    use socket2::SockFilter;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_OR_ACK: u32 = 0x12;
    SockRef::from(listener).attach_filter(&[
        // Load the byte with the flags of the TCP header,
        SockFilter::new(0x30, 0, 0, FLAGS),
        // keep two of them,
        SockFilter::new(0x54, 0, 0, SYN_OR_ACK),
        // and take nothing of the segment if it is SYN alone, else all of it.
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn drop_beginnings(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A service of Pingora's that listens on sockets which are bound already.
pub struct OnListeners<S> {
    pub service: S,
    pub listeners: std::sync::Arc<Listeners>,
}

#[async_trait]
impl<S: Service> Service for OnListeners<S> {
    async fn start_service(
        &mut self,
        table: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        if let Some(table) = &table {
            self.listeners.hand_over(table);
        }
        self.service.start_service(table, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }
}
