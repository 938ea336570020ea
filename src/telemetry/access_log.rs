//! The access log's way out: request threads append finished lines to a buffer of their own, one
//! writer thread collects them a few times a second. A request never waits for the log; when the
//! writer falls behind, lines are dropped and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;

const WRITE_EVERY: Duration = Duration::from_millis(50);
/// What one buffer may hold before lines are dropped.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// More buffers than request threads, so that threads rarely share one.
const BUFFERS: usize = 64;

pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    buffers: [Mutex<Vec<u8>>; BUFFERS],
    closing: AtomicBool,
    dropped: IntCounter,
}

impl AccessLog {
    /// Starts the writer thread. `dropped` counts lines that were lost.
    pub fn start(mut out: impl Write + Send + 'static, dropped: IntCounter) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            buffers: std::array::from_fn(|_| Mutex::default()),
            closing: AtomicBool::new(false),
            dropped,
        });
        let seen = shared.clone();
        let writer = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            let mut lines = Vec::new();
            loop {
                let closing = seen.closing.load(Ordering::Acquire);
                // Nobody reads the log any more: that must not stop the gateway.
                let _ = seen.write_to(&mut out, &mut lines);
                if closing {
                    return;
                }
                std::thread::park_timeout(WRITE_EVERY);
            }
        })?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Lets `line` append one line, ended by a line feed, to this thread's buffer.
    pub fn append(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.shared.buffers[buffer_of_this_thread()].lock();
        if buffer.len() > MAX_WAITING {
            self.shared.dropped.inc();
            return;
        }
        line(&mut buffer);
    }

    /// Writes what is left and ends the writer.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(writer) = self.writer.lock().take() {
            writer.thread().unpark();
            let _ = writer.join();
        }
    }
}

impl Shared {
    /// Takes what is in each buffer and leaves an empty one, so that nobody waits while lines are copied or
    /// written. All are taken, even when some can't be written.
    fn write_to(&self, out: &mut impl Write, lines: &mut Vec<u8>) -> std::io::Result<()> {
        let mut written = Ok(());
        for buffer in &self.buffers {
            std::mem::swap(&mut *buffer.lock(), lines);
            written = written.and(out.write_all(lines));
            lines.clear();
        }
        written.and(out.flush())
    }
}

fn buffer_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % BUFFERS);
    OWN.with(|own| *own)
}
