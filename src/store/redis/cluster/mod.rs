//! A Redis Cluster: every question goes to the server that serves its key's slot.
//!
//! Only a question whose server is lost waits for a new map of the slots; all others go their way. A
//! slot that nobody serves is refused at once.

mod slots;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::timeout;

use super::sentinels::prevailing;
use super::server::{Ca, Question, Server};
use crate::config::policy::{RedisAccess, RedisAddress};
pub(super) use slots::slot_of_key;
use slots::{Range, slot_of};

/// How often one question may be sent on.
const MOST_HOPS: usize = 5;
/// How old a map is at least when the next one is asked for.
const REST: Duration = Duration::from_millis(100);
/// Servers that haven't told their map by then have no say in it.
const MAP_TIMEOUT: Duration = Duration::from_millis(250);
/// While a slot moves, questions about several of its keys have to wait.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Cluster {
    access: RedisAccess,
    ca: Ca,
    /// Asked for the map while no server of the last one answers.
    seeds: Vec<Node>,
    map: ArcSwap<Map>,
    /// Held while asking, so that one answer serves all who wait.
    refreshing: tokio::sync::Mutex<Option<Instant>>,
}

type Node = (RedisAddress, Arc<Server>);

#[derive(Default)]
struct Map {
    /// In order.
    ranges: Vec<Range>,
    /// Primaries and replicas.
    servers: HashMap<RedisAddress, Arc<Server>>,
}

/// What to do after an error.
enum Step {
    /// To this server, for this question only.
    Ask(RedisAddress),
    /// To this server, from now on.
    Move(RedisAddress),
    Wait,
    /// To whoever has taken over.
    Lost,
    GiveUp,
}

impl Cluster {
    pub fn new(seeds: &[RedisAddress], access: &RedisAccess, ca: Ca) -> RedisResult<Self> {
        let node = |address: &RedisAddress| Ok((address.clone(), server(address, access, &ca)?));
        let seeds = seeds.iter().map(node).collect::<RedisResult<_>>()?;
        let (map, refreshing) = Default::default();
        Ok(Self { access: access.clone(), ca, seeds, map, refreshing })
    }

    /// Of the servers that the URL names.
    pub async fn check_access(&self) -> Result<(), String> {
        join_all(self.seeds.iter().map(|(_, seed)| seed.check_access())).await.into_iter().collect()
    }

    /// `fallback` is the slot of a question without a key.
    pub async fn run(&self, mut question: Question<'_>, fallback: u16) -> RedisResult<Value> {
        let slot = slot_of(question.command).unwrap_or(fallback);
        let (mut address, mut server) = self.owner(slot).await?;
        for _ in 0..MOST_HOPS {
            let error = match server.run(question).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            question.is_asking = false;
            match step(&error, &address) {
                Step::Ask(next) => {
                    question.is_asking = true;
                    (address, server) = self.node(next)?;
                }
                Step::Move(next) => {
                    self.refresh().await;
                    (address, server) = self.node(next)?;
                }
                Step::Wait => tokio::time::sleep(PAUSE).await,
                Step::Lost => {
                    self.refresh().await;
                    match self.map.load().owner(slot) {
                        Some(owner) if owner.0 != address => (address, server) = owner,
                        _ => return Err(error),
                    }
                }
                Step::GiveUp => return Err(error),
            }
        }
        Err(RedisError::from((ErrorKind::Client, "the cluster sends a question round in circles")))
    }

    /// A connection of one's own to the server of a slot, by the newest map.
    pub async fn connect(
        &self,
        slot: u16,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        self.refresh().await;
        let (_, server) = self.owner(slot).await?;
        Ok(server.connect(config).await?.0)
    }

    async fn owner(&self, slot: u16) -> RedisResult<Node> {
        if let Some(owner) = self.map.load().owner(slot) {
            return Ok(owner);
        }
        self.refresh().await;
        let owner = self.map.load().owner(slot);
        owner.ok_or_else(|| {
            RedisError::from((
                ErrorKind::ClusterConnectionNotFound,
                "no server of the cluster is known for the slot",
            ))
        })
    }

    fn node(&self, address: RedisAddress) -> RedisResult<Node> {
        let known = self.map.load().servers.get(&address).cloned();
        let server = known.map_or_else(|| server(&address, &self.access, &self.ca), Ok)?;
        Ok((address, server))
    }

    /// Asks for a new map, unless that was done a moment ago. What most servers say counts: some may
    /// not have heard of a change yet, or have been cut off. Without an answer the old map stays.
    async fn refresh(&self) {
        let mut asked_at = self.refreshing.lock().await;
        if asked_at.is_some_and(|at| at.elapsed() < REST) {
            return;
        }
        let known: Vec<Node> = self
            .map
            .load()
            .servers
            .iter()
            .map(|(address, server)| (address.clone(), server.clone()))
            .collect();
        let ranges = match prevailing_map(&known).await {
            Some(ranges) => Some(ranges),
            None => prevailing_map(&self.seeds).await,
        };
        if let Some(map) = ranges.and_then(|ranges| self.make_map(ranges).ok()) {
            self.map.store(Arc::new(map));
        }
        *asked_at = Some(Instant::now());
    }

    fn make_map(&self, ranges: Vec<Range>) -> RedisResult<Map> {
        let mut servers = HashMap::new();
        for range in &ranges {
            for address in std::iter::once(&range.primary).chain(&range.replicas) {
                if !servers.contains_key(address) {
                    servers.insert(address.clone(), self.node(address.clone())?.1);
                }
            }
        }
        Ok(Map { ranges, servers })
    }
}

impl Map {
    fn owner(&self, slot: u16) -> Option<Node> {
        let after = self.ranges.partition_point(|range| range.start <= slot);
        let range = self.ranges.get(after.checked_sub(1)?).filter(|range| slot <= range.end)?;
        Some((range.primary.clone(), self.servers.get(&range.primary)?.clone()))
    }
}

fn server(address: &RedisAddress, access: &RedisAccess, ca: &Ca) -> RedisResult<Arc<Server>> {
    Ok(Arc::new(Server::at(&access.url(address, 0), ca)?))
}

async fn prevailing_map(nodes: &[Node]) -> Option<Vec<Range>> {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let command = &command;
    let ask = |(address, server): &Node| {
        let (address, server) = (address.clone(), server.clone());
        async move {
            let answer = timeout(MAP_TIMEOUT, server.run(Question::new(command))).await.ok()?.ok()?;
            slots::parse(answer, Some(&address)).ok().filter(|ranges| !ranges.is_empty())
        }
    };
    prevailing(nodes.iter().map(ask)).await
}

fn step(error: &RedisError, asked: &RedisAddress) -> Step {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(Ask) => redirection(error, asked).map_or(Step::GiveUp, Step::Ask),
        ErrorKind::Server(Moved) => redirection(error, asked).map_or(Step::GiveUp, Step::Move),
        ErrorKind::Server(TryAgain) => Step::Wait,
        ErrorKind::Server(ReadOnly | ClusterDown | MasterDown | BusyLoading) => Step::Lost,
        // Connections that break, time-outs, and servers that were away a moment ago.
        ErrorKind::Io | ErrorKind::Client => Step::Lost,
        _ if error.is_unrecoverable_error() => Step::Lost,
        _ => Step::GiveUp,
    }
}

fn redirection(error: &RedisError, asked: &RedisAddress) -> Option<RedisAddress> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    // Without a host it is another port of the server that was asked.
    let host = if matches!(host, "" | "?") { asked.host.as_str() } else { host };
    Some(RedisAddress { host: host.to_owned(), port: port.parse().ok()? })
}
