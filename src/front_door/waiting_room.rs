//! Where connections wait for their next request: they are told when the server goes, and how time passes.
//! A timer for each wait would cost more than reading the request's head.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Threads beyond share.
const SHARDS: usize = 16;
/// A connection hears this many calls before it has been idle for the whole time.
pub const CALLS: u32 = 4;

/// Every waiting connection takes part in a list, so each thread has one of its own.
#[derive(Default)]
pub struct WaitingRoom {
    has_closed: AtomicBool,
    waiting: [Shard; SHARDS],
}

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Notify);

/// What a waiting connection hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// A part of the idle time is over.
    TimePassed,
    ServerGoes,
}

impl WaitingRoom {
    pub fn close(&self) {
        self.has_closed.store(true, Ordering::Release);
        self.call();
    }

    /// Calls [`CALLS`] times within `idle_timeout`, until the server goes.
    pub async fn watch_the_clock(self: Arc<Self>, idle_timeout: Duration) {
        while !self.has_closed.load(Ordering::Acquire) {
            tokio::time::sleep(idle_timeout / CALLS).await;
            self.call();
        }
    }

    fn call(&self) {
        for shard in &self.waiting {
            shard.0.notify_waiters();
        }
    }

    /// Returns with the next call; at once when the server goes.
    pub async fn wait(&self) -> Call {
        // On the list from here on, so that nothing is missed between the look and the wait.
        let notified = self.waiting[shard()].0.notified();
        if !self.has_closed.load(Ordering::Acquire) {
            notified.await;
        }
        if self.has_closed.load(Ordering::Acquire) { Call::ServerGoes } else { Call::TimePassed }
    }
}

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    OWN.with(|own| *own)
}
