//! Tells connections that wait for a request that the server goes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Threads beyond share.
const SHARDS: usize = 16;

/// Every waiting connection takes part in a list, so each thread has one of its own.
#[derive(Default)]
pub struct Closing {
    has_begun: AtomicBool,
    waiting: [Shard; SHARDS],
}

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Notify);

impl Closing {
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
        for shard in &self.waiting {
            shard.0.notify_waiters();
        }
    }

    /// Returns once it has begun.
    pub async fn wait(&self) {
        // On the list from here on, so that nothing is missed between the look and the wait.
        let notified = self.waiting[shard()].0.notified();
        if !self.has_begun.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    OWN.with(|own| *own)
}
