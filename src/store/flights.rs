//! Who computes an answer: one gateway of the fleet at a time, and the others wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use super::StoreError;

/// After this, a gateway that died has lost what it had taken.
pub const FLIGHT_LEASE: Duration = Duration::from_secs(3);

#[async_trait]
pub trait Flights: Send + Sync {
    /// Takes the computation of `key` for `token`. `false` while another one has it.
    async fn begin(&self, key: &str, token: &str) -> Result<bool, StoreError>;
    /// Holds it for one more lease. `false` when it isn't `token`'s any more.
    async fn prolong(&self, key: &str, token: &str) -> Result<bool, StoreError>;
    /// Gives it back, if it is still `token`'s, and tells those who wait.
    async fn end(&self, key: &str, token: &str, is_kept: bool) -> Result<(), StoreError>;
    fn landings(&self) -> &Landings;
}

/// How the computation of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// The answer is stored.
    Kept,
    /// There is nothing to keep: whoever waits computes for itself.
    Nothing,
    /// Nobody said anything within a lease.
    Silence,
}

/// Who waits for which key.
#[derive(Default)]
pub struct Landings(Mutex<HashMap<String, watch::Sender<Option<bool>>>>);

impl Landings {
    /// From this call on, what comes of the computation; to be called before `begin`.
    pub fn watch(&self, key: &str) -> Watch<'_> {
        let mut waited_for = self.0.lock();
        let sender = waited_for.entry(key.to_owned()).or_insert_with(|| watch::channel(None).0);
        Watch { landings: self, key: key.to_owned(), receiver: sender.subscribe() }
    }

    pub fn announce(&self, key: &str, is_kept: bool) {
        if let Some(sender) = self.0.lock().remove(key) {
            sender.send_replace(Some(is_kept));
        }
    }
}

pub struct Watch<'a> {
    landings: &'a Landings,
    key: String,
    receiver: watch::Receiver<Option<bool>>,
}

impl Watch<'_> {
    pub async fn landing(mut self) -> Landing {
        let ended = async { self.receiver.wait_for(Option::is_some).await.ok().and_then(|is_kept| *is_kept) };
        match tokio::time::timeout(FLIGHT_LEASE, ended).await {
            Ok(Some(true)) => Landing::Kept,
            Ok(Some(false)) => Landing::Nothing,
            Ok(None) | Err(_) => Landing::Silence,
        }
    }
}

/// The last one to wait takes the entry away.
impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut waited_for = self.landings.0.lock();
        let is_last = waited_for.get(&self.key).is_some_and(|sender| {
            sender.subscribe().same_channel(&self.receiver) && sender.receiver_count() <= 1
        });
        if is_last {
            waited_for.remove(&self.key);
        }
    }
}

/// A computation that this process has taken; ends when dropped.
pub struct Flight {
    held: Arc<Held>,
    is_kept: AtomicBool,
}

struct Held {
    flights: Arc<dyn Flights>,
    key: String,
    token: String,
}

impl Flight {
    /// `None` while another one has it. Held for as long as the flight lives, by a task.
    pub async fn begin(flights: &Arc<dyn Flights>, key: &str) -> Result<Option<Self>, StoreError> {
        let token = Uuid::new_v4().to_string();
        if !flights.begin(key, &token).await? {
            return Ok(None);
        }
        let held = Arc::new(Held { flights: flights.clone(), key: key.to_owned(), token });
        let weak = Arc::downgrade(&held);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(FLIGHT_LEASE / 3).await;
                let Some(held) = weak.upgrade() else { return };
                if let Ok(false) = held.flights.prolong(&held.key, &held.token).await {
                    return;
                }
            }
        });
        Ok(Some(Self { held, is_kept: AtomicBool::new(false) }))
    }

    /// Ends it: the answer is stored.
    pub fn land(self) {
        self.is_kept.store(true, Ordering::Release);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let (held, is_kept) = (self.held.clone(), self.is_kept.load(Ordering::Acquire));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // Otherwise the lease lapses.
            if let Err(error) = held.flights.end(&held.key, &held.token, is_kept).await {
                tracing::debug!(%error, "the end of a computation could not be told");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_watches_hears_of_the_end_and_leaves_nothing_behind() {
        let landings = Landings::default();
        let (one, other) = (landings.watch("a"), landings.watch("a"));

        landings.announce("b", true);
        landings.announce("a", true);

        assert_eq!((one.landing().await, other.landing().await), (Landing::Kept, Landing::Kept));
        let third = landings.watch("a");
        landings.announce("a", false);
        assert_eq!(third.landing().await, Landing::Nothing);
        drop(landings.watch("c"));
        assert!(landings.0.lock().is_empty());
    }
}
