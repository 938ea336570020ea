//! Takes up a changed configuration while running: on SIGHUP and when the file's content changes.
//! All or nothing: on any problem the running edition stays, and the log names every problem.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
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

impl Reload {
    /// Starts following the file and SIGHUP, for as long as the process lives.
    pub fn start(self, office: &Runtime) -> std::io::Result<()> {
        let _within = office.enter();
        let (changed, mut changes) = mpsc::channel(1);
        // A full channel means that a reload is about to happen anyway.
        let watch = watch::watch(&self.path, move || drop(changed.try_send(())))?;
        let mut hangup = signal(SignalKind::hangup())?;
        office.spawn(async move {
            let _watching = watch;
            loop {
                let asked = tokio::select! {
                    _ = hangup.recv() => true,
                    change = changes.recv() => match change {
                        Some(()) => false,
                        None => return,
                    },
                };
                self.reload(asked).await;
            }
        });
        Ok(())
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
            "auth.password.workers and queue",
            (running.auth.password.workers, running.auth.password.queue)
                != (next.auth.password.workers, next.auth.password.queue),
        ),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!("{key} changed; that takes effect at the next start");
    }
}
