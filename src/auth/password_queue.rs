//! Hashing on threads of its own, at the lowest priority and with a bounded queue: a flood of
//! logins may slow other logins, never a proxied request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::config::policy::Argon2Params;
use crate::identity::password;
use crate::rejection::{Code, Rejection};
use crate::telemetry::Metrics;

/// A full queue of the usual length is worked off in about this time.
const OVERLOAD_RETRY: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce() + Send>;

/// A handle to the hashing threads; they end when the last handle is dropped.
#[derive(Clone)]
pub struct PasswordQueue {
    jobs: SyncSender<Job>,
    decoy: Arc<Decoy>,
    metrics: Arc<Metrics>,
}

/// What became of a presented password.
#[derive(Debug)]
pub struct Verification {
    pub matches: bool,
    /// The same password hashed anew, when it matched a hash with other parameters.
    pub upgraded: Option<String>,
}

impl PasswordQueue {
    /// Starts `workers` threads named `password-N`; `queue` passwords may wait for them.
    pub fn start(workers: usize, queue: usize, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(queue.max(1));
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..workers.max(1) {
            let waiting = waiting.clone();
            thread::Builder::new().name(format!("password-{number}")).spawn(move || work(&waiting))?;
        }
        Ok(Self { jobs, decoy: Arc::default(), metrics })
    }

    /// A PHC string for a new password.
    pub async fn hash(&self, password: Zeroizing<String>, params: Argon2Params) -> Result<String, Rejection> {
        self.run(move || password::hash(&password, params)).await
    }

    /// Compares with `stored`, or with a decoy at the same cost when there is no account.
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        stored: Option<String>,
        params: Argon2Params,
    ) -> Result<Verification, Rejection> {
        let decoy = self.decoy.clone();
        self.run(move || {
            // Made for known users too, so that the first unknown one doesn't wait longer.
            let decoy = decoy.made_with(params);
            let Some(stored) = stored else {
                password::verify(&password, &decoy);
                return Verification { matches: false, upgraded: None };
            };
            let matches = password::verify(&password, &stored);
            let upgrade = matches && password::needs_upgrade(&stored, params);
            Verification { matches, upgraded: upgrade.then(|| password::hash(&password, params)) }
        })
        .await
    }

    /// Queues the work and waits for its result; `overloaded` at once when the queue is full,
    /// `internal` when the work panicked.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let (give, take) = oneshot::channel();
        let depth = self.metrics.password_queue_depth.clone();
        let job: Job = Box::new(move || {
            depth.dec();
            if give.is_closed() {
                return; // The client went away while waiting.
            }
            // Whoever waits may be gone by now; then nobody needs the result.
            let _ = give.send(work());
        });

        self.metrics.password_queue_depth.inc();
        if self.jobs.try_send(job).is_err() {
            self.metrics.password_queue_depth.dec();
            return Err(Rejection::from(Code::Overloaded).retry_after(OVERLOAD_RETRY));
        }
        take.await.map_err(|_| Code::Internal.into())
    }
}

/// The newest decoy and what it was made with: made once, until a reload changes the parameters.
#[derive(Default)]
struct Decoy(Mutex<Option<(Argon2Params, Arc<str>)>>);

impl Decoy {
    fn made_with(&self, params: Argon2Params) -> Arc<str> {
        let mut newest = self.0.lock();
        match &*newest {
            Some((made_with, phc)) if *made_with == params => phc.clone(),
            _ => {
                let phc: Arc<str> = password::decoy(params).into();
                *newest = Some((params, phc.clone()));
                phc
            }
        }
    }
}

/// A worker's life. The lock is held while waiting, so one worker waits for a job and the others
/// for the lock; nobody holds it while hashing.
fn work(waiting: &Mutex<Receiver<Job>>) {
    step_back();
    loop {
        let next = waiting.lock().recv();
        let Ok(job) = next else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("hashing a password panicked");
        }
    }
}

/// Lowest priority for this thread: Linux keeps one per thread, where POSIX has one per process.
#[cfg(target_os = "linux")]
fn step_back() {
    if let Err(cause) = rustix::process::setpriority_process(None, 19) {
        tracing::warn!(%cause, "password threads run at normal priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}
