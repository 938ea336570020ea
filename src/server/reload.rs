//! Takes up a changed configuration while running: on SIGHUP and when the file's content changes.
//! All or nothing: on any problem the running edition stays, and the log names every problem.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::editions::Builder;
use super::status::Status;
use super::{load_policy, watch};
use crate::config::policy::Policy;
use crate::edition::Edition;

pub struct Reload {
    pub path: PathBuf,
    pub builder: Builder,
    pub editions: Arc<ArcSwap<Edition>>,
    pub status: Arc<Status>,
}

/// Changes of the file's content. Begins before the first load, so that none falls in between.
pub struct Changes {
    arrive: mpsc::Receiver<()>,
    _watch: watch::Watch,
}

impl Changes {
    pub fn follow(path: &Path) -> std::io::Result<Self> {
        let (changed, arrive) = mpsc::channel(1);
        let watch = watch::watch(path, move || {
            // Full means that a reload is about to happen anyway.
            let _ = changed.try_send(());
        })?;
        Ok(Self { arrive, _watch: watch })
    }
}

impl Reload {
    /// Starts following the file and SIGHUP, for as long as the process lives.
    pub fn start(self, changes: Changes, office: &Runtime) -> std::io::Result<()> {
        let _within = office.enter();
        office.spawn(self.follow(changes, signal(SignalKind::hangup())?));
        Ok(())
    }

    async fn follow(self, mut changes: Changes, mut hangup: Signal) {
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                change = changes.arrive.recv() => match change {
                    Some(()) => false,
                    None => return,
                },
            };
            self.reload(asked).await;
        }
    }

    /// `asked`: by a person, who wants to hear even that nothing changed.
    async fn reload(&self, asked: bool) {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || load_policy(&path)).await;
        let policy = match loaded {
            Ok(Ok(policy)) => policy,
            Ok(Err(problems)) => return self.refuse(&problems),
            Err(panic) => return self.refuse(&panic.to_string()),
        };
        let running = self.editions.load_full();
        if running.policy.digest == policy.digest && !asked {
            self.status.note_reload(true);
            return;
        }
        note_fixed(&running.policy, &policy);
        match self.builder.build(policy, Some(&running)).await {
            Ok(edition) => {
                tracing::info!(digest = %edition.policy.digest, "configuration loaded");
                self.editions.store(Arc::new(edition));
                self.status.note_reload(true);
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    fn refuse(&self, problems: &str) {
        self.status.note_reload(false);
        tracing::error!("configuration refused, the running one stays:\n{problems}");
    }
}

/// Says which changes wait for a restart.
fn note_fixed(running: &Policy, next: &Policy) {
    let fixed = [
        ("listen", running.listen != next.listen),
        ("storage", running.storage != next.storage),
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
