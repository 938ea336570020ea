//! The connections that clients have open: how many there are, when they learn that the gateway ends, and how they are
//! cut when its time is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::future::{AbortHandle, Abortable};
use parking_lot::Mutex;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::sync::watch;

use super::FrontDoor;

pub struct OpenConnections {
    open: Mutex<HashMap<u64, AbortHandle>>,
    next: AtomicU64,
    ending: watch::Sender<bool>,
}

impl Default for OpenConnections {
    fn default() -> Self {
        Self { open: Mutex::default(), next: AtomicU64::new(0), ending: watch::Sender::new(false) }
    }
}

impl OpenConnections {
    /// From now on each answer says that its connection closes (`Connection: close`, GOAWAY).
    pub fn announce_end(&self) {
        self.ending.send_replace(true);
    }

    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Ends each of them where it stands.
    pub fn cut(&self) {
        self.open.lock().values().for_each(AbortHandle::abort);
    }

    /// Counts as open until it is dropped.
    fn enter(self: &Arc<Self>, handle: AbortHandle) -> Open {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(id, handle);
        Open { id, all: self.clone() }
    }
}

struct Open {
    id: u64,
    all: Arc<OpenConnections>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all.open.lock().remove(&self.id);
    }
}

/// Serves each connection, and knows it while it is open.
pub struct Connections {
    front_door: Arc<FrontDoor>,
    open: Arc<OpenConnections>,
    /// In place of Pingora's, which tells only when the listeners close.
    ending: ShutdownWatch,
}

impl Connections {
    pub fn new(front_door: FrontDoor, open: Arc<OpenConnections>) -> Self {
        let ending = open.ending.subscribe();
        Self { front_door: Arc::new(front_door), open, ending }
    }
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        let (handle, registration) = AbortHandle::new_pair();
        let _open = self.open.enter(handle);
        let served = ServerApp::process_new(&self.front_door, stream, &self.ending);
        Abortable::new(served, registration).await.ok().flatten()
    }

    async fn cleanup(&self) {
        ServerApp::cleanup(&*self.front_door).await;
    }
}
