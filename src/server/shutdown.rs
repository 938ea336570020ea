//! How the gateway ends. SIGTERM: `/readyz` says 503 for `listen.drain`, then nothing new is
//! accepted; running requests may finish and mail may go out within `listen.shutdown_timeout`. SIGINT: at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::control::Placed;
use super::run_file::RunFile;
use super::status::Status;
use crate::auth::Mailer;
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;

/// How often running requests are counted while waiting for the last.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So many looks in a row must find none: a connection accepted last may not have spoken yet.
const QUIET_LOOKS: u32 = 5;

pub struct Signals {
    pub drain: Duration,
    pub status: Arc<Status>,
    pub remains: Remains,
    pub office: tokio::runtime::Handle,
}

/// What isn't done with the last request.
#[derive(Clone)]
pub struct Remains {
    pub mailer: Mailer,
    pub access_log: Arc<AccessLog>,
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
    fn leave(&self) -> ! {
        self.settle();
        std::process::exit(0)
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
        tokio::select! {
            _ = interrupt.recv() => self.remains.leave(),
            _ = terminate.recv() => {
                tracing::info!("draining");
                self.status.begin_draining();
                tokio::time::sleep(self.drain).await;
                self.office.spawn(leave_when_idle(self.status.metrics.clone(), self.remains.clone()));
                ShutdownSignal::GracefulTerminate
            }
        }
    }
}

fn listen(kind: SignalKind) -> std::io::Result<Signal> {
    signal(kind)
}

/// Pingora would wait its whole grace period; this ends the process with its last request, or the last mail that
/// one has asked for.
async fn leave_when_idle(metrics: Arc<Metrics>, remains: Remains) {
    let mut quiet = 0;
    while quiet < QUIET_LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        quiet = if metrics.http_requests_in_flight.get() == 0 { quiet + 1 } else { 0 };
    }
    let mailer = &remains.mailer;
    let waiting = mailer.waiting();
    if waiting > 0 {
        tracing::info!(requests = waiting, "drained but for mail that is on its way");
    }
    mailer.idle().await;
    tracing::info!("drained");
    remains.leave()
}
