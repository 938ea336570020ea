//! Hostile clients, each from a loopback address of its own. What they get for it is nobody's concern; how
//! often they tried is told.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::Failure;

const SLOW_HEADS: u32 = 300;
const SLOW_READERS: u32 = 50;
const UPLOADS: u32 = 100;
/// Clients that each try so often, one after the other.
const RESETS: u32 = 10;
const PIPELINES: u32 = 10;
const PROBES: u32 = 10;
const FLOODS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_secs(3);
/// How long a flood's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

const KINDS: [&str; 7] =
    ["slow heads", "slow readers", "half-open uploads", "resets", "pipelines", "probes", "floods"];

type Tally = Arc<[AtomicU64; 7]>;

pub struct Attack {
    runtime: Runtime,
    tally: Tally,
}

/// How often each kind tried.
pub struct Tried(Vec<(&'static str, u64)>);

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(&each.join(", "))
    }
}

impl Attack {
    pub fn start(address: &str) -> Result<Self, Failure> {
        let target: SocketAddr = address.parse()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let tally = Tally::default();
        let counts = [SLOW_HEADS, SLOW_READERS, UPLOADS, RESETS, PIPELINES, PROBES, FLOODS];
        for (kind, count) in counts.into_iter().enumerate() {
            for number in 0..count {
                runtime.spawn(attacker(kind, number, target, tally.clone()));
            }
        }
        Ok(Self { runtime, tally })
    }

    pub fn end(self) -> Tried {
        self.runtime.shutdown_background();
        let count = |(kind, count): (&'static str, &AtomicU64)| (kind, count.load(Ordering::Relaxed));
        Tried(KINDS.into_iter().zip(self.tally.iter()).map(count).collect())
    }
}

/// Until the runtime ends.
async fn attacker(kind: usize, number: u32, target: SocketAddr, tally: Tally) {
    let own = Ipv4Addr::new(127, 1 + kind as u8, (number >> 8) as u8, number as u8);
    loop {
        // Being refused or closed is what it is for.
        if let Ok(stream) = connect(own, target).await {
            tally[kind].fetch_add(1, Ordering::Relaxed);
            let _ = attack(kind, stream).await;
        }
        sleep(PAUSE).await;
    }
}

async fn connect(own: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((own, 0).into())?;
    socket.connect(target).await
}

async fn attack(kind: usize, mut stream: TcpStream) -> std::io::Result<()> {
    match kind {
        0 => drip(&mut stream, b"GET /public HTTP/1.1\r\nHost: bench\r\nX-Slow: ").await,
        1 => {
            stream.write_all(b"GET /bytes/8388608/x HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
            // It takes a byte now and then.
            loop {
                sleep(DRIP).await;
                stream.read_u8().await?;
            }
        }
        2 => {
            drip(&mut stream, b"POST /public HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000000\r\n\r\n")
                .await
        }
        3 => {
            stream.write_all(b"GET /public HTTP/1.1\r\nHost: bench\r\n").await?;
            stream.set_zero_linger()
        }
        4 => {
            let many = b"GET /public HTTP/1.1\r\nHost: bench\r\n\r\n".repeat(20);
            stream.write_all(&many).await?;
            read_for_a_while(&mut stream).await
        }
        5 => Ok(()),
        _ => {
            stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
            read_for_a_while(&mut stream).await
        }
    }
}

/// Sends `start`, then a byte at a time, until it is closed.
async fn drip(stream: &mut TcpStream, start: &[u8]) -> std::io::Result<()> {
    stream.write_all(start).await?;
    loop {
        sleep(DRIP).await;
        stream.write_all(b"x").await?;
    }
}

async fn read_for_a_while(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    let read = async {
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    timeout(PATIENCE, read).await.unwrap_or(Ok(()))
}
