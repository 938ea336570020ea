//! Takes up a changed configuration while running: on SIGHUP and when the file's content changes.
//! All or nothing: on any problem the running edition stays, and the log names every problem.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::editions::{Builder, beside_requests};
use super::status::{LastTry, Status};
use super::{certificates, load, watch};
use crate::config::policy::Policy;
use crate::config::problem::Problem;
use crate::config::unchanged_routes::LastReading;
use crate::edition::Edition;
use crate::telemetry::log::Log;
use crate::tls::Listeners;

/// How often each gateway reads the keys that it has not been given by the file. `keys rotate` leaves it
/// several times as long.
const LOOK_FOR_KEYS: Duration = Duration::from_secs(2);

pub struct Reload {
    pub path: PathBuf,
    /// Whether the path names a file, and not a pipe.
    pub is_readable_again: bool,
    pub builder: Builder,
    pub editions: Arc<ArcSwap<Edition>>,
    pub status: Arc<Status>,
    pub listeners: Arc<Listeners>,
    pub log: Log,
    /// Of the file as it could last be used.
    pub reading: Arc<Mutex<Option<LastReading>>>,
    /// Editions that were replaced, for as long as requests use them.
    pub retired: Mutex<Vec<Arc<Edition>>>,
}

type Reply = oneshot::Sender<LastTry>;

/// Asks for a reload and waits for what becomes of it.
#[derive(Clone)]
pub struct Reloads {
    ask: mpsc::Sender<Reply>,
}

impl Reloads {
    /// `None` while the process is ending.
    pub async fn ask(&self) -> Option<LastTry> {
        let (reply, outcome) = oneshot::channel();
        self.ask.send(reply).await.ok()?;
        outcome.await.ok()
    }
}

/// Changes of the file's content. Begins before the first load, so that none falls in between.
pub struct Changes {
    arrive: mpsc::Receiver<()>,
    /// `None` for a pipe, in which nothing changes.
    _watch: Option<watch::Watch>,
    /// Held, not used: without a watch nothing comes, which isn't the end.
    _open: mpsc::Sender<()>,
}

impl Changes {
    pub fn follow(path: &Path) -> std::io::Result<Self> {
        let (changed, arrive) = mpsc::channel(1);
        let change = changed.clone();
        let watch = load::is_readable_again(path).then(|| {
            watch::watch(path, move || {
                // Full means that a reload is about to happen anyway.
                let _ = change.try_send(());
            })
        });
        Ok(Self { arrive, _watch: watch.transpose()?, _open: changed })
    }
}

impl Reload {
    /// Starts following the file and SIGHUP, for as long as the process lives.
    pub fn start(self, changes: Changes, office: &Runtime) -> std::io::Result<Reloads> {
        let _within = office.enter();
        let (ask, asked) = mpsc::channel(16);
        office.spawn(self.follow(changes, signal(SignalKind::hangup())?, asked));
        Ok(Reloads { ask })
    }

    async fn follow(self, mut changes: Changes, mut hangup: Signal, mut asked: mpsc::Receiver<Reply>) {
        let mut keys = tokio::time::interval(LOOK_FOR_KEYS);
        keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = keys.tick() => {
                    self.follow_keys().await;
                    self.let_go().await;
                }
                _ = hangup.recv() => self.reload(true).await,
                Some(reply) = asked.recv() => {
                    self.reload(true).await;
                    // Whoever asked may have left meanwhile.
                    let _ = reply.send(self.status.last_try());
                }
                change = changes.arrive.recv() => match change {
                    Some(()) => self.reload(false).await,
                    None => return,
                },
            }
        }
    }

    /// The same policy with the keys that are in force now.
    async fn follow_keys(&self) {
        let running = self.editions.load_full();
        if !self.builder.have_keys_changed(&running).await {
            return;
        }
        match self.builder.build(running.policy.clone(), Some(&running)).await {
            Ok(edition) => {
                let ids: Vec<&str> = edition.verifier.ids().collect();
                tracing::info!(?ids, "signing keys changed; the first signs");
                drop(running);
                self.put_in_force(edition);
            }
            Err(problem) => tracing::error!(problem, "the new signing keys can't be used"),
        }
    }

    /// `asked`: by a person, who wants to hear even that nothing changed.
    async fn reload(&self, asked: bool) {
        if !self.is_readable_again {
            let problem = "this was read from a pipe, which gives its content once; start the gateway again";
            return self.refuse(vec![self.problem(problem.to_owned())]);
        }
        let (path, reading) = (self.path.clone(), self.reading.clone());
        let load = move || load::load_tested_again(&path, &mut reading.lock()).map(super::announce);
        let policy = match beside_requests(&self.status.metrics, load).await {
            Ok(Ok(policy)) => policy,
            Ok(Err(problems)) => return self.refuse(problems),
            Err(panic) => return self.refuse(vec![self.problem(panic.to_string())]),
        };
        let running = self.editions.load_full();
        let is_same = running.policy.digest == policy.digest && running.policy.listen == policy.listen;
        if is_same && !asked {
            return self.status.note_reload(Vec::new());
        }
        note_fixed(&running.policy, &policy);
        match self.builder.build(policy, Some(&running)).await {
            Ok(edition) => {
                self.log.set_level(edition.policy.log.level);
                tracing::info!(digest = %edition.policy.digest, "configuration loaded");
                drop(running);
                self.put_in_force(edition);
                self.status.note_reload(Vec::new());
            }
            Err(problem) => self.refuse(vec![self.problem(problem)]),
        }
        self.let_go().await;
    }

    fn put_in_force(&self, edition: Edition) {
        certificates::serve(&edition, &self.listeners, &self.status.metrics);
        let old = self.editions.swap(Arc::new(edition));
        self.retired.lock().push(old);
    }

    /// Editions that no request uses any more. The last request doesn't do that: it would wait for thousands
    /// of routes to be freed.
    async fn let_go(&self) {
        let unused: Vec<_> = self.retired.lock().extract_if(.., |old| Arc::strong_count(old) == 1).collect();
        if !unused.is_empty() {
            // Only a panic while freeing could be told here.
            let _ = beside_requests(&self.status.metrics, move || drop(unused)).await;
        }
    }

    fn problem(&self, message: String) -> Problem {
        Problem::with_file(&self.path.display().to_string(), message)
    }

    fn refuse(&self, problems: Vec<Problem>) {
        tracing::error!("configuration refused, the running one stays:\n{}", load::render(&problems));
        self.status.note_reload(problems);
    }
}

/// Says which changes wait for a restart.
fn note_fixed(running: &Policy, next: &Policy) {
    let fixed = [
        ("listen", !running.listen.may_become(&next.listen)),
        ("storage", running.storage != next.storage),
        ("cache.memory", running.cache.memory != next.cache.memory),
        (
            "revocation.mode and max_staleness",
            running.revocation.max_staleness != next.revocation.max_staleness,
        ),
        (
            "auth.password.workers and queue",
            (running.auth.password.workers, running.auth.password.queue)
                != (next.auth.password.workers, next.auth.password.queue),
        ),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!("{key} changed; that takes effect at the next start");
    }
}
