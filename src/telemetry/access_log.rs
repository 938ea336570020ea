//! The access log's way out: request threads append finished lines to a buffer of their own, one
//! writer thread collects them a few times a second. A request never waits for the log; when the
//! writer falls behind, or can't write, lines are lost and counted, and the log says so once.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;

use super::whole_lines::WholeLines;

const WRITE_EVERY: Duration = Duration::from_millis(50);
/// What one buffer may hold before lines are dropped.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// More buffers than request threads, so that threads rarely share one.
const BUFFERS: usize = 64;
/// For the last lines, when the process ends. A reader that holds the pipe and never reads doesn't keep it.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<Writer>>,
}

struct Writer {
    thread: JoinHandle<()>,
    /// Closed when the thread is through.
    ended: Receiver<()>,
}

struct Shared {
    buffers: [Mutex<Vec<u8>>; BUFFERS],
    closing: AtomicBool,
    lost: IntCounter,
}

impl AccessLog {
    /// Starts the writer thread. `lost` counts lines that were lost.
    pub fn start(out: impl Write + Send + 'static, lost: IntCounter) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            buffers: std::array::from_fn(|_| Mutex::default()),
            closing: AtomicBool::new(false),
            lost,
        });
        let seen = shared.clone();
        let (ending, ended) = channel();
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            seen.write_until_closed(out);
            drop(ending);
        })?;
        Ok(Self { shared, writer: Mutex::new(Some(Writer { thread, ended })) })
    }

    /// Lets `line` append one line, ended by a line feed, to this thread's buffer.
    pub fn append(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.shared.buffers[buffer_of_this_thread()].lock();
        if buffer.len() > MAX_WAITING {
            self.shared.lost.inc();
            return;
        }
        line(&mut buffer);
    }

    /// Writes what is left and ends the writer.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(writer) = self.writer.lock().take() {
            writer.thread.thread().unpark();
            // Nothing is ever sent: it returns with the end of the thread, or after that time.
            let _ = writer.ended.recv_timeout(CLOSE_WITHIN);
        }
    }
}

impl Shared {
    fn write_until_closed(&self, out: impl Write) {
        let mut out = WholeLines::new(out);
        let (mut lines, mut trouble) = (Vec::new(), Trouble::default());
        loop {
            let closing = self.closing.load(Ordering::Acquire);
            for buffer in &self.buffers {
                // An empty one is left, so that no request waits while lines are copied or written.
                std::mem::swap(&mut *buffer.lock(), &mut lines);
                // The last time, what was begun is finished in any case.
                if lines.is_empty() && !closing {
                    continue;
                }
                let (lost, outcome) = out.write(&lines);
                lines.clear();
                self.lost.inc_by(lost);
                trouble.note(outcome);
            }
            trouble.tell(self.lost.get());
            if closing {
                return;
            }
            std::thread::park_timeout(WRITE_EVERY);
        }
    }
}

/// Whether lines are being lost, so that it is said when that begins and when it ends, and not each time.
#[derive(Default)]
struct Trouble {
    error: Option<std::io::Error>,
    /// Whether any line was written since.
    has_written: bool,
    /// How many lines had been lost when it was looked at last.
    known: u64,
    /// The same when it began; `None` while all is well.
    since: Option<u64>,
}

impl Trouble {
    fn note(&mut self, outcome: std::io::Result<()>) {
        match outcome {
            Ok(()) => self.has_written = true,
            Err(error) => self.error = Some(error),
        }
    }

    fn tell(&mut self, lost: u64) {
        let error = self.error.take();
        let is_losing = lost > self.known || error.is_some();
        let is_written = std::mem::take(&mut self.has_written) && !is_losing;
        match self.since {
            None if is_losing => {
                let cause =
                    error.map_or_else(|| "the writer is behind".to_owned(), |error| error.to_string());
                tracing::error!(
                    cause,
                    "lines of the access log are being lost; access_log_dropped_total counts them"
                );
                self.since = Some(self.known);
            }
            Some(before) if is_written => {
                tracing::warn!(
                    lines = lost - before,
                    "the access log is written again; so many lines were lost"
                );
                self.since = None;
            }
            _ => {}
        }
        self.known = lost;
    }
}

fn buffer_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % BUFFERS);
    OWN.with(|own| *own)
}
