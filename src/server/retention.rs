//! Removes what is older than `audit.keep`, a little at a time, so that others can write in between.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::now;
use crate::edition::Edition;
use crate::store::AuditLog;
use crate::telemetry::Metrics;

const EVERY: Duration = Duration::from_secs(600);
const BATCH: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(50);

/// Goes on as long as the process. Must run in the office.
pub fn start(audit: Arc<dyn AuditLog>, editions: Arc<ArcSwap<Edition>>, metrics: Arc<Metrics>) {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let keep = editions.load().policy.audit.keep;
            if let Some(keep) = keep {
                remove(&*audit, keep, &metrics).await;
            }
        }
    });
}

async fn remove(audit: &dyn AuditLog, keep: Duration, metrics: &Metrics) {
    let before = now() - keep;
    loop {
        match audit.forget(before, BATCH).await {
            Ok(removed) => {
                metrics.audit_records_removed.inc_by(removed);
                if removed < u64::from(BATCH) {
                    return;
                }
            }
            Err(error) => {
                metrics.store_errors.with_label_values(&[error.store]).inc();
                tracing::warn!(%error, "old audit records could not be removed; trying again later");
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
