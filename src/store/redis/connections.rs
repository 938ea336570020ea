//! One multiplexed connection per Tokio runtime. The proxy's workers have a runtime each, so a
//! connection's driver lives on the thread that uses it and no answer has to wake another thread.
//!
//! A Redis that is away or hangs costs a request at most a connection's or a command's time-out.
//! After that everybody is refused at once, until the next attempt shortly after.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value,
};
use tokio::runtime;

use super::failed;
use crate::store::StoreError;

/// To connect, log in and be greeted.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// For one command.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// After a failed attempt, how long everybody is refused without another one.
const REST: Duration = Duration::from_millis(100);
/// Commands that may wait for the socket before their senders have to.
const QUEUE: usize = 1024;
/// A program has a handful of runtimes; beyond this, some are long gone.
const MOST_LINES: usize = 256;

pub(super) struct Connections {
    client: Client,
    config: AsyncConnectionConfig,
    lines: RwLock<HashMap<runtime::Id, Arc<Line>>>,
}

/// The connection of one runtime.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    /// Held while connecting, so that one attempt serves all who wait.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Open(Open),
    Down {
        since: Instant,
        cause: String,
    },
}

#[derive(Clone)]
struct Open {
    connection: MultiplexedConnection,
    /// Tells this connection from its successors.
    opened_at: Instant,
}

impl Connections {
    pub fn open(url: &str) -> RedisResult<Self> {
        // Without TCP_NODELAY, small commands would wait for the acknowledgement of earlier ones.
        let tcp = TcpSettings::default().set_nodelay(true);
        let client = Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_pipeline_buffer_size(QUEUE);
        Ok(Self { client, config, lines: RwLock::default() })
    }

    /// For a connection of one's own.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub async fn run(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.attempt(command).await.map_err(failed)
    }

    /// `command` calls the script by its hash.
    pub async fn run_script(&self, script: &redis::Script, command: &Cmd) -> Result<Value, StoreError> {
        let answer = self.attempt(command).await;
        let Err(error) = &answer else {
            return answer.map_err(failed);
        };
        if error.kind() != ErrorKind::Server(ServerErrorKind::NoScript) {
            return answer.map_err(failed);
        }
        let line = self.line();
        let mut open = self.connection(&line).await.map_err(failed)?;
        script.load_async(&mut open.connection).await.map_err(failed)?;
        self.attempt(command).await.map_err(failed)
    }

    /// A connection may have died unnoticed since its last use, so one that breaks gets a second
    /// attempt. Should Redis have carried out the first and lost only the answer, a refresh is
    /// answered as repeated and a charge or a failed login counts twice: never too little.
    async fn attempt(&self, command: &Cmd) -> RedisResult<Value> {
        let line = self.line();
        match self.attempt_on(&line, command).await {
            Err(error) if error.is_unrecoverable_error() && !line.is_down() => {
                self.attempt_on(&line, command).await
            }
            answer => answer,
        }
    }

    async fn attempt_on(&self, line: &Line, command: &Cmd) -> RedisResult<Value> {
        let mut open = self.connection(line).await?;
        let answer = open.connection.send_packed_command(command).await.and_then(Value::extract_error);
        if let Err(error) = &answer {
            line.settle(&open, error);
        }
        answer
    }

    fn line(&self) -> Arc<Line> {
        let runtime = runtime::Handle::current().id();
        if let Some(line) = self.lines.read().get(&runtime) {
            return line.clone();
        }
        let mut lines = self.lines.write();
        if lines.len() >= MOST_LINES {
            lines.clear();
        }
        lines.entry(runtime).or_default().clone()
    }

    async fn connection(&self, line: &Line) -> RedisResult<Open> {
        if let Some(known) = line.known() {
            return known;
        }
        let _turn = line.connecting.lock().await;
        if let Some(known) = line.known() {
            return known;
        }
        match self.client.get_multiplexed_async_connection_with_config(&self.config).await {
            Ok(connection) => {
                let open = Open { connection, opened_at: Instant::now() };
                *line.state.lock() = State::Open(open.clone());
                Ok(open)
            }
            Err(error) => {
                *line.state.lock() = State::down(&error);
                Err(error)
            }
        }
    }
}

impl Line {
    /// The connection, or why there is none; `None` when it is time to connect.
    fn known(&self) -> Option<RedisResult<Open>> {
        match &*self.state.lock() {
            State::Open(open) => Some(Ok(open.clone())),
            State::Down { since, cause } if since.elapsed() < REST => {
                Some(Err(RedisError::from((ErrorKind::Client, "away a moment ago", cause.clone()))))
            }
            State::Down { .. } | State::Closed => None,
        }
    }

    fn is_down(&self) -> bool {
        matches!(&*self.state.lock(), State::Down { .. })
    }

    /// What an error on `open` means for the connection, unless it has a successor already.
    fn settle(&self, open: &Open, error: &RedisError) {
        let mut state = self.state.lock();
        let is_current = matches!(&*state, State::Open(held) if held.opened_at == open.opened_at);
        if !is_current {
            return;
        }
        if error.is_timeout() {
            *state = State::down(error);
        } else if error.is_unrecoverable_error() {
            *state = State::Closed;
        }
    }
}

impl State {
    fn down(error: &RedisError) -> Self {
        Self::Down { since: Instant::now(), cause: error.to_string() }
    }
}
