//! Hashing on threads of its own, at the lowest priority and with a bounded queue: a flood of
//! logins may slow other logins, never a proxied request. Imported hashes that take long have a
//! thread and a queue of their own, so that they hold up no other login.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::config::policy::Argon2Params;
use crate::identity::password::{self, Hasher};
use crate::rejection::{Code, Rejection};
use crate::telemetry::Metrics;

/// A full queue of the usual length is worked off in about this time.
const OVERLOAD_RETRY: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce(&mut Workbench) + Send>;

/// A handle to the hashing threads; they end when the last handle is dropped.
#[derive(Clone)]
pub struct PasswordQueue {
    jobs: SyncSender<Job>,
    expensive: SyncSender<Job>,
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
    /// Starts `workers` threads named `password-N` and one for expensive hashes; `queue` passwords
    /// may wait for them, and as many for that one.
    pub fn start(workers: usize, queue: usize, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let names = (0..workers.max(1)).map(|number| format!("password-{number}"));
        let jobs = start_workers(names, queue)?;
        let expensive = start_workers(["password-slow".to_owned()].into_iter(), queue)?;
        Ok(Self { jobs, expensive, metrics })
    }

    /// A PHC string for a new password.
    pub async fn hash(&self, password: Zeroizing<String>, params: Argon2Params) -> Result<String, Rejection> {
        self.run(&self.jobs, move |bench| bench.hasher(params).hash(&password)).await
    }

    /// Compares with `stored`, or with a decoy at the same cost when there is no account.
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        stored: Option<String>,
        params: Argon2Params,
    ) -> Result<Verification, Rejection> {
        let is_expensive = stored.as_deref().is_some_and(password::is_expensive);
        let jobs = if is_expensive { &self.expensive } else { &self.jobs };
        self.run(jobs, move |bench| {
            let hasher = bench.hasher(params);
            let is_known = stored.is_some();
            let stored = stored.unwrap_or_else(|| password::decoy(params));
            let matches = hasher.verify(&password, &stored) && is_known;
            let upgrade = matches && password::needs_upgrade(&stored, params);
            Verification { matches, upgraded: upgrade.then(|| hasher.hash(&password)) }
        })
        .await
    }

    /// Queues the work and waits for its result; `overloaded` at once when the queue is full,
    /// `internal` when the work panicked.
    async fn run<T: Send + 'static>(
        &self,
        jobs: &SyncSender<Job>,
        work: impl FnOnce(&mut Workbench) -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let (give, take) = oneshot::channel();
        let metrics = self.metrics.clone();
        let job: Job = Box::new(move |bench| {
            metrics.password_queue_depth.dec();
            if give.is_closed() {
                return; // The client went away while waiting.
            }
            let result = metrics.password_hash_duration.observe_closure_duration(|| work(bench));
            // Whoever waits may be gone by now; then nobody needs the result.
            let _ = give.send(result);
        });

        self.metrics.password_queue_depth.inc();
        if jobs.try_send(job).is_err() {
            self.metrics.password_queue_depth.dec();
            return Err(Rejection::from(Code::Overloaded).retry_after(OVERLOAD_RETRY));
        }
        take.await.map_err(|_| Code::Internal.into())
    }
}

fn start_workers(names: impl Iterator<Item = String>, queue: usize) -> std::io::Result<SyncSender<Job>> {
    let (jobs, waiting) = sync_channel(queue.max(1));
    let waiting = Arc::new(Mutex::new(waiting));
    for name in names {
        let waiting = waiting.clone();
        thread::Builder::new().name(name).spawn(move || work(&waiting))?;
    }
    Ok(jobs)
}

/// What a worker keeps from one password to the next: the memory that Argon2 asks for.
#[derive(Default)]
struct Workbench(Option<(Argon2Params, Hasher)>);

impl Workbench {
    /// With these parameters, which change only by a reload.
    fn hasher(&mut self, params: Argon2Params) -> &mut Hasher {
        if self.0.as_ref().is_some_and(|(made_with, _)| *made_with != params) {
            self.0 = None;
        }
        &mut self.0.get_or_insert_with(|| (params, Hasher::new(params))).1
    }
}

/// A worker's life. The lock is held while waiting, so one worker waits for a job and the others
/// for the lock; nobody holds it while hashing.
fn work(waiting: &Mutex<Receiver<Job>>) {
    step_back();
    let mut bench = Workbench::default();
    loop {
        let next = waiting.lock().recv();
        let Ok(job) = next else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| job(&mut bench))).is_err() {
            bench = Workbench::default();
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A queue of one worker that is busy until something is sent, or the sender dropped.
    async fn busy(queue: usize) -> (PasswordQueue, Arc<Metrics>, mpsc::Sender<()>) {
        let metrics = Arc::new(Metrics::new());
        let passwords = PasswordQueue::start(1, queue, metrics.clone()).unwrap();
        let (release, released) = mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let running = passwords.clone();
        tokio::spawn(async move {
            running
                .run(&running.jobs, move |_| {
                    began.send(()).unwrap();
                    released.recv().ok()
                })
                .await
        });
        begun.await.unwrap();
        (passwords, metrics, release)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (passwords, metrics, release) = busy(1).await;
        let waiting = tokio::spawn({
            let passwords = passwords.clone();
            async move { passwords.run(&passwords.jobs, |_| 7).await }
        });
        while metrics.password_queue_depth.get() < 1 {
            tokio::task::yield_now().await;
        }

        let refused = passwords.run(&passwords.jobs, |_| 8).await.unwrap_err();

        assert_eq!((refused.code, refused.retry_after_seconds()), (Code::Overloaded, Some(2)));
        drop(release);
        assert_eq!(waiting.await.unwrap(), Ok(7));
        assert_eq!(metrics.password_queue_depth.get(), 0);
    }

    #[tokio::test]
    async fn an_expensive_hash_waits_for_no_other_and_holds_up_none() {
        const OF_ANOTHER_PROGRAM: &str = "$2b$13$UD1VEEU8TQg3Brn27jKGqO4FCp9Yqb.F1LAeqN0/yp49bKLYxppuS";
        let (passwords, _, release) = busy(1).await;
        let params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };
        let word = Zeroizing::new("correct horse battery".to_owned());

        let verified = passwords.verify(word, Some(OF_ANOTHER_PROGRAM.to_owned()), params).await.unwrap();

        assert!(verified.matches, "though the only other worker is busy");
        assert!(!password::is_expensive(&verified.upgraded.unwrap()), "the next login goes by our own hash");
        drop(release);
    }

    #[tokio::test]
    async fn the_work_of_a_client_that_went_away_is_skipped() {
        let (passwords, _, release) = busy(2).await;
        let (done, was_done) = mpsc::channel();
        let abandoned = passwords.run(&passwords.jobs, move |_| done.send(()).ok());
        // Polled once, so that it is queued, and dropped.
        assert!(futures::FutureExt::now_or_never(abandoned).is_none());

        drop(release);

        assert_eq!(passwords.run(&passwords.jobs, |_| 7).await, Ok(7));
        assert!(was_done.recv().is_err(), "dropped without having been run");
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer_and_no_worker() {
        let passwords = PasswordQueue::start(1, 4, Arc::new(Metrics::new())).unwrap();

        let lost = passwords.run(&passwords.jobs, |_| panic!("as a test")).await.map(|()| 0);

        assert_eq!(lost.unwrap_err().code, Code::Internal);
        assert_eq!(passwords.run(&passwords.jobs, |_| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn workers_are_named_and_step_back() {
        let passwords = PasswordQueue::start(1, 4, Arc::new(Metrics::new())).unwrap();

        let name = passwords.run(&passwords.jobs, |_| thread::current().name().map(str::to_owned)).await;

        assert_eq!(name, Ok(Some("password-0".to_owned())));
        #[cfg(target_os = "linux")]
        assert_eq!(
            passwords.run(&passwords.jobs, |_| rustix::process::getpriority_process(None)).await,
            Ok(Ok(19))
        );
    }

    #[tokio::test]
    async fn a_match_with_old_parameters_comes_with_a_new_hash() {
        let passwords = PasswordQueue::start(1, 4, Arc::new(Metrics::new())).unwrap();
        let old = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };
        let new = Argon2Params { memory_kib: 128, iterations: 1, parallelism: 1 };
        let word = |text: &str| Zeroizing::new(text.to_owned());
        let stored = passwords.hash(word("correct horse"), old).await.unwrap();
        let verify = async |text: &str, stored: Option<&str>, params| {
            passwords.verify(word(text), stored.map(str::to_owned), params).await.unwrap()
        };

        let same = verify("correct horse", Some(&stored), old).await;
        let upgraded = verify("correct horse", Some(&stored), new).await;
        let wrong = verify("wrong", Some(&stored), new).await;
        let unknown = verify("correct horse", None, new).await;

        assert_eq!((same.matches, same.upgraded), (true, None));
        assert_eq!((wrong.matches, wrong.upgraded), (false, None));
        assert_eq!((unknown.matches, unknown.upgraded), (false, None));
        let renewed = upgraded.upgraded.unwrap();
        assert!(verify("correct horse", Some(&renewed), new).await.matches);
    }
}
