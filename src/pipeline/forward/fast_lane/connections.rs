//! Connections to upstream servers. Idle ones wait on the thread that opened them, so that nothing
//! is locked and no other thread is woken; Pingora's pool starts a task for each.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use futures::FutureExt;
use pingora::Result;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;

use super::Upstream;
use crate::balancer::{Target, TargetId};
use crate::exchange::Exchange;
use crate::pipeline::forward::choose_upstream;
use crate::pipeline::respond::failure::refuse;

/// Idle connections kept per thread and server; beyond, the oldest is closed.
const MAX_IDLE: usize = 1024;
/// How often those that were closed by the server, or waited for too long, are let go.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

pub struct Connections {
    connector: TransportConnector,
}

struct Idle {
    stream: Stream,
    until: Instant,
}

thread_local! {
    static IDLE: RefCell<HashMap<TargetId, VecDeque<Idle>, foldhash::fast::RandomState>> = RefCell::default();
    static IS_SWEPT: Cell<bool> = const { Cell::new(false) };
}

impl Default for Connections {
    fn default() -> Self {
        // Its own pool stays empty.
        Self { connector: TransportConnector::new(Some(ConnectorOptions::new(1))) }
    }
}

impl Connections {
    /// A connection, and whether it was used before.
    pub async fn open(
        &self,
        target: &Target,
        exchange: &mut Exchange,
        may_reuse: bool,
    ) -> Result<(Upstream, bool)> {
        if may_reuse && let Some(stream) = take(target.id) {
            return Ok((Upstream::new(stream), true));
        }
        let peer = choose_upstream::peer(target, exchange).map_err(|code| refuse(exchange, code))?;
        // Rare, and large: not part of every request's future.
        let stream = Box::pin(self.connector.new_stream(&peer)).await?;
        Ok((Upstream::new(stream), false))
    }

    /// Keeps the connection for later, if the exchange left it in order.
    pub async fn keep(&self, target: &Target, mut upstream: Upstream, exchange: &Exchange) {
        upstream.respect_keepalive();
        let (Some(stream), Some(settings)) = (upstream.reuse().await, choose_upstream::upstream(exchange))
        else {
            return;
        };
        let idle = Idle { stream, until: Instant::now() + settings.timeouts.idle };
        IDLE.with_borrow_mut(|all| {
            let waiting = all.entry(target.id).or_default();
            if waiting.len() >= MAX_IDLE {
                waiting.pop_front();
            }
            waiting.push_back(idle);
        });
        if !IS_SWEPT.replace(true) {
            tokio::spawn(sweep());
        }
    }
}

/// The connection that was used last and is still good.
fn take(target: TargetId) -> Option<Stream> {
    IDLE.with_borrow_mut(|all| {
        let waiting = all.get_mut(&target)?;
        let now = Instant::now();
        loop {
            let mut idle = waiting.pop_back()?;
            if idle.is_good(now) {
                return Some(idle.stream);
            }
        }
    })
}

impl Idle {
    /// A server says nothing on an idle connection: anything to read is its end, or nonsense.
    fn is_good(&mut self, now: Instant) -> bool {
        let mut probe = [0];
        self.until > now && unconstrained(self.stream.read(&mut probe)).now_or_never().is_none()
    }
}

/// Runs for as long as the thread's runtime.
async fn sweep() {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let now = Instant::now();
        IDLE.with_borrow_mut(|all| {
            all.retain(|_, waiting| {
                waiting.retain_mut(|idle| idle.is_good(now));
                !waiting.is_empty()
            });
        });
    }
}
