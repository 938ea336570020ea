//! How the gateway ends. SIGTERM: `/readyz` says 503 and answers announce the end of their connections, for
//! `listen.drain` at least; then nothing new is accepted; running requests may finish and mail may go out within
//! `listen.shutdown_timeout`. SIGINT: at once, also after SIGTERM.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::control::Placed;
use super::listeners::Listeners;
use super::run_file::RunFile;
use super::status::Status;
use crate::auth::Mailer;
use crate::front_door::{LINGER, OpenConnections};
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;

/// How often running requests are counted while waiting for the last.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So many looks in a row must find none: a connection accepted last may not have spoken yet.
const QUIET_LOOKS: u32 = 5;
/// What is cut gets its line in the access log within this.
const CUT_WITHIN: Duration = Duration::from_millis(500);

pub struct Signals {
    pub drain: Duration,
    pub shutdown_timeout: Duration,
    pub status: Arc<Status>,
    pub listeners: Arc<Listeners>,
    pub remains: Remains,
    pub office: tokio::runtime::Handle,
}

/// What isn't done with the last request.
#[derive(Clone)]
pub struct Remains {
    pub mailer: Mailer,
    pub access_log: Arc<AccessLog>,
    pub metrics: Arc<Metrics>,
    pub connections: Arc<OpenConnections>,
    pub traces: Arc<Traces>,
}

/// What the process leaves in the file system for the command line.
pub struct Traces {
    pub control: Option<Placed>,
    pub run_file: Option<RunFile>,
}

impl Remains {
    /// The last that the process does.
    pub fn settle(&self) {
        if let Some(control) = &self.traces.control {
            control.remove();
        }
        if let Some(run_file) = &self.traces.run_file {
            run_file.remove();
        }
        self.mailer.give_up();
        self.access_log.close();
    }

    /// Not by Pingora's own way out: a listener that isn't told before its runtime goes tries to accept
    /// for ever, and the runtime waits for it.
    async fn leave(&self) -> ! {
        self.connections.cut();
        let cut = Instant::now();
        while self.in_flight() > 0 && cut.elapsed() < CUT_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.settle();
        std::process::exit(0)
    }

    fn in_flight(&self) -> i64 {
        self.metrics.http_requests_in_flight.get()
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (listen(SignalKind::terminate()), listen(SignalKind::interrupt()))
        else {
            tracing::error!("signals can't be received; stopping");
            return ShutdownSignal::FastShutdown;
        };
        let remains = self.remains.clone();
        self.office.spawn(async move {
            interrupt.recv().await;
            remains.leave().await
        });
        terminate.recv().await;
        tracing::info!("draining");
        self.status.begin_draining();
        self.remains.connections.announce_end();
        tokio::time::sleep(self.drain).await;
        self.listeners.refuse_new().await;
        self.office.spawn(leave_when_idle(self.shutdown_timeout, self.remains.clone()));
        ShutdownSignal::GracefulTerminate
    }
}

fn listen(kind: SignalKind) -> std::io::Result<Signal> {
    signal(kind)
}

/// Signals that other programs take for "open your logs again" don't end this one.
pub fn ignore_others() -> std::io::Result<()> {
    for kind in [SignalKind::user_defined1(), SignalKind::user_defined2()] {
        let mut signals = listen(kind)?;
        tokio::spawn(async move { while signals.recv().await.is_some() {} });
    }
    Ok(())
}

/// Pingora would wait its whole grace period; this ends the process with its last request, or the last mail that
/// one has asked for.
async fn leave_when_idle(shutdown_timeout: Duration, remains: Remains) {
    match tokio::time::timeout(shutdown_timeout, until_idle(&remains)).await {
        Ok(()) => tracing::info!("drained"),
        Err(_) => tracing::warn!(
            requests = remains.in_flight(),
            "the time to drain is over; ending what still runs"
        ),
    }
    remains.leave().await
}

async fn until_idle(remains: &Remains) {
    let begun = Instant::now();
    let mut quiet = 0;
    while quiet < QUIET_LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        let is_unheard = remains.connections.count() > 0 && begun.elapsed() < LINGER;
        quiet = if remains.in_flight() == 0 && !is_unheard { quiet + 1 } else { 0 };
    }
    let waiting = remains.mailer.waiting();
    if waiting > 0 {
        tracing::info!(requests = waiting, "drained but for mail that is on its way");
    }
    remains.mailer.idle().await;
}
