//! The way to Redis, whether that is one server, an elected one, or a cluster.

use std::sync::{Arc, LazyLock};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisResult, Script, Value};

use super::cluster::{Cluster, slot_of_key};
use super::failed;
use super::key::{Key, Layout};
use super::sentinels::Sentinels;
use super::server::{Question, Server};
use crate::config::policy::{RedisAddress, RedisServers};
use crate::store::StoreError;

/// Questions without a key go there, too: nobody is admitted for long without the revocations.
static SLOT_OF_REVOCATIONS: LazyLock<u16> =
    LazyLock::new(|| slot_of_key(Key::Revocations(Layout::Cluster).to_string().as_bytes()));

#[expect(clippy::large_enum_variant, reason = "a gateway has one")]
pub(super) enum Connections {
    Server(Server),
    Cluster(Cluster),
}

impl Connections {
    pub fn open(servers: &RedisServers, ca: Option<&str>) -> RedisResult<Self> {
        let ca = ca.map(Arc::from);
        Ok(match servers {
            RedisServers::One { address, access, database } => {
                Self::Server(Server::primary(&access.url(address, *database), &ca)?)
            }
            RedisServers::Cluster { seeds, access } => Self::Cluster(Cluster::new(seeds, access, ca)?),
            RedisServers::Sentinel { sentinels, sentinel_access, master, access, database } => {
                let sentinel = |address| Server::at(&sentinel_access.url(address, 0), &ca);
                let sentinels = sentinels.iter().map(sentinel).collect::<RedisResult<_>>()?;
                let access = access.clone();
                Self::Server(Server::elected(Sentinels::new(sentinels, master, access, *database, ca)))
            }
        })
    }

    /// `Err` when one of the servers that the URL names, or the master that the sentinels do, refuses us
    /// or isn't trusted. One that is away is no news.
    pub async fn check_access(&self) -> Result<(), String> {
        match self {
            Self::Server(server) => server.check_access().await,
            Self::Cluster(cluster) => cluster.check_access().await,
        }
    }

    pub fn layout(&self) -> Layout {
        match self {
            Self::Server(_) => Layout::OneServer,
            Self::Cluster(_) => Layout::Cluster,
        }
    }

    /// In a cluster, all keys of the command must have the slot of the first.
    pub async fn run(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.ask(Question::new(command)).await.map_err(failed)
    }

    /// `command` calls the script by its hash.
    pub async fn run_script(&self, script: &Script, command: &Cmd) -> Result<Value, StoreError> {
        let question = Question { script: Some(script), ..Question::new(command) };
        self.ask(question).await.map_err(failed)
    }

    async fn ask(&self, question: Question<'_>) -> RedisResult<Value> {
        match self {
            Self::Server(server) => server.run(question).await,
            Self::Cluster(cluster) => cluster.run(question, *SLOT_OF_REVOCATIONS).await,
        }
    }

    /// A connection of one's own to the server that holds the revocations, and to which of the
    /// sentinels' servers, if they were asked.
    pub async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, Option<RedisAddress>)> {
        match self {
            Self::Server(server) => server.connect(config).await,
            Self::Cluster(cluster) => Ok((cluster.connect(*SLOT_OF_REVOCATIONS, config).await?, None)),
        }
    }

    /// A follower had to dial again: the name may lead to another server by now, so the others do, too.
    pub fn renew(&self) {
        if let Self::Server(server) = self {
            server.renew();
        }
    }

    /// `Err` when it is another server by now that holds the revocations, as far as reading from the old one
    /// wouldn't tell.
    pub async fn confirm(
        &self,
        connection: &mut MultiplexedConnection,
        address: Option<&RedisAddress>,
    ) -> RedisResult<()> {
        match self {
            Self::Server(server) => server.confirm(connection, address).await,
            Self::Cluster(_) => Ok(()),
        }
    }
}
