//! One Redis, with one multiplexed connection per Tokio runtime. The proxy's workers have a runtime each, so a
//! connection's driver lives on the thread that uses it and no answer has to wake another thread.
//!
//! A Redis that is away or hangs costs a request at most a connection's or a command's time-out.
//! After that everybody is refused at once but the one who makes the next attempt, shortly after.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, RedisResult,
    Script, ServerErrorKind, TlsCertificates, Value,
};
use tokio::runtime;

use super::role::{demoted, is_demotion, is_replica};
use super::sentinels::Sentinels;
use crate::config::policy::RedisAddress;

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

pub(super) struct Server {
    place: Place,
    config: AsyncConnectionConfig,
    lines: RwLock<HashMap<runtime::Id, Arc<Line>>>,
}

/// The certificates that are trusted instead of the usual ones, in PEM.
pub(super) type Ca = Option<Arc<str>>;

/// Where it is.
enum Place {
    /// One server, whatever its role is: a sentinel, or a node of a cluster.
    Fixed(Client),
    /// The primary behind a name or an address. After a failover that leads to another server, while old
    /// connections still lead to the one that was demoted.
    Named(Client),
    /// Whatever server is the master when a connection is opened.
    Elected(Sentinels),
}

/// One command on its way.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub command: &'a Cmd,
    /// The script that the command calls by its hash, if it calls one.
    pub script: Option<&'a Script>,
    /// The slot is about to move to this server of a cluster, which answers when asked like this.
    pub is_asking: bool,
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
    /// Which of the sentinels' servers it leads to, if they were asked.
    master: Option<RedisAddress>,
    /// Tells this connection from its successors.
    opened_at: Instant,
}

impl<'a> Question<'a> {
    pub fn new(command: &'a Cmd) -> Self {
        Self { command, script: None, is_asking: false }
    }
}

impl Server {
    /// A sentinel, or a node of a cluster.
    pub fn at(url: &str, ca: &Ca) -> RedisResult<Self> {
        Ok(Self::new(Place::Fixed(client(url, ca)?)))
    }

    /// The primary behind this URL.
    pub fn primary(url: &str, ca: &Ca) -> RedisResult<Self> {
        Ok(Self::new(Place::Named(client(url, ca)?)))
    }

    pub fn elected(sentinels: Sentinels) -> Self {
        Self::new(Place::Elected(sentinels))
    }

    fn new(place: Place) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_pipeline_buffer_size(QUEUE);
        Self { place, config, lines: RwLock::default() }
    }

    pub async fn run(&self, question: Question<'_>) -> RedisResult<Value> {
        let answer = self.attempt(question).await;
        let (Some(script), Err(error)) = (question.script, &answer) else {
            return answer;
        };
        if error.kind() != ErrorKind::Server(ServerErrorKind::NoScript) {
            return answer;
        }
        let line = self.line();
        let mut open = self.connection(&line).await?;
        script.load_async(&mut open.connection).await?;
        self.attempt(question).await
    }

    /// `Err` says why it is of no use to try again: not when it is merely away.
    pub async fn check_access(&self) -> Result<(), String> {
        let name = match &self.place {
            Place::Fixed(client) | Place::Named(client) => client.get_connection_info().addr().to_string(),
            Place::Elected(sentinels) => {
                sentinels.check_access().await?;
                "the master".to_owned()
            }
        };
        let Err(error) = self.attempt(Question::new(&redis::cmd("PING"))).await else { return Ok(()) };
        refusal(&error).map_or(Ok(()), |reason| Err(format!("{name}: {reason}: {error}")))
    }

    /// A connection of one's own, and to which of the sentinels' servers, if they were asked. If that is
    /// another one than before, nothing is sent to the old one any more: it may not know yet that it was
    /// replaced, as when it hung meanwhile.
    pub async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, Option<RedisAddress>)> {
        match &self.place {
            Place::Fixed(client) => {
                Ok((client.get_multiplexed_async_connection_with_config(config).await?, None))
            }
            Place::Named(client) => {
                let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
                match is_replica(&mut connection).await {
                    true => Err(demoted()),
                    false => Ok((connection, None)),
                }
            }
            Place::Elected(sentinels) => {
                let (connection, master) = sentinels.connect(config).await?;
                self.close_all_but(Some(&master));
                Ok((connection, Some(master)))
            }
        }
    }

    /// `Err` when `connection` leads to a server that was demoted, or when the sentinels name another one than
    /// `master` by now: all connections are opened anew then. A server that was cut off from the sentinels
    /// doesn't know that it was replaced.
    pub async fn confirm(
        &self,
        connection: &mut MultiplexedConnection,
        master: Option<&RedisAddress>,
    ) -> RedisResult<()> {
        if matches!(self.place, Place::Named(_)) && is_replica(connection).await {
            self.renew();
            return Err(demoted());
        }
        let (Place::Elected(sentinels), Some(master)) = (&self.place, master) else {
            return Ok(());
        };
        match sentinels.master().await {
            Ok(now) if now != *master => {
                self.close_all_but(Some(&now));
                Err(RedisError::from((ErrorKind::Client, "the sentinels name another master")))
            }
            // Without sentinels nobody is elected.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What is being asked on an old connection is still answered.
    pub fn renew(&self) {
        if matches!(self.place, Place::Named(_)) {
            self.close_all_but(None);
        }
    }

    /// Of none, all are closed.
    fn close_all_but(&self, master: Option<&RedisAddress>) {
        for line in self.lines.read().values() {
            let mut state = line.state.lock();
            if matches!(&*state, State::Open(open) if master.is_none() || open.master.as_ref() != master) {
                *state = State::Closed;
            }
        }
    }

    /// A connection may have died unnoticed since its last use, so one that breaks gets a second
    /// attempt. Should Redis have carried out the first and lost only the answer, a refresh is
    /// answered as repeated and a charge or a failed login counts twice: never too little.
    async fn attempt(&self, question: Question<'_>) -> RedisResult<Value> {
        let line = self.line();
        match self.attempt_on(&line, question).await {
            Err(error) if self.is_over(&error) && line.cause().is_none() => {
                self.attempt_on(&line, question).await
            }
            answer => answer,
        }
    }

    async fn attempt_on(&self, line: &Line, question: Question<'_>) -> RedisResult<Value> {
        let mut open = self.connection(line).await?;
        let answer = send(&mut open.connection, question).await;
        if let Err(error) = &answer {
            line.settle(&open, error, self.is_over(error));
        }
        answer
    }

    /// Whether the connection is of no more use. In a cluster the map of the slots tells who is the primary.
    fn is_over(&self, error: &RedisError) -> bool {
        let has_primary = !matches!(self.place, Place::Fixed(_));
        error.is_unrecoverable_error() || (has_primary && is_demotion(error))
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
        let _turn = match (line.connecting.try_lock(), line.cause()) {
            (Ok(turn), _) => turn,
            // It is enough that one waits for a server that was away, or hangs.
            (Err(_), Some(cause)) => return Err(away(cause)),
            (Err(_), None) => line.connecting.lock().await,
        };
        if let Some(known) = line.known() {
            return known;
        }
        match self.connect(&self.config).await {
            Ok((connection, master)) => {
                let open = Open { connection, master, opened_at: Instant::now() };
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

/// Without TCP_NODELAY, small commands would wait for the acknowledgement of earlier ones.
pub(super) fn client(url: &str, ca: &Ca) -> RedisResult<Client> {
    let tcp = TcpSettings::default().set_nodelay(true);
    let server = url.into_connection_info()?.set_tcp_settings(tcp);
    let Some(pem) = ca else { return Client::open(server) };
    let root_cert = Some(pem.as_bytes().to_vec());
    Client::build_with_tls(server, TlsCertificates { client_tls: None, root_cert })
}

/// Why trying again would change nothing, if so.
fn refusal(error: &RedisError) -> Option<&'static str> {
    use ServerErrorKind::NoPerm;
    type Shared = Arc<dyn Error + Send + Sync>;
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Shared>());
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    if io.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        return Some("no TLS that can be trusted");
    }
    let is_refused = matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::Server(NoPerm))
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
    is_refused.then_some("it doesn't let the gateway in")
}

async fn send(connection: &mut MultiplexedConnection, question: Question<'_>) -> RedisResult<Value> {
    if !question.is_asking {
        return connection.send_packed_command(question.command).await.and_then(Value::extract_error);
    }
    let mut both = Pipeline::with_capacity(2);
    both.cmd("ASKING").add_command(question.command.clone());
    let answers = connection.send_packed_commands(&both, 1, 1).await?;
    answers.into_iter().next().unwrap_or(Value::Nil).extract_error()
}

fn away(cause: String) -> RedisError {
    RedisError::from((ErrorKind::Client, "away a moment ago", cause))
}

impl Line {
    /// The connection, or why there is none; `None` when it is time to connect.
    fn known(&self) -> Option<RedisResult<Open>> {
        match &*self.state.lock() {
            State::Open(open) => Some(Ok(open.clone())),
            State::Down { since, cause } if since.elapsed() < REST => Some(Err(away(cause.clone()))),
            State::Down { .. } | State::Closed => None,
        }
    }

    /// Of its being down.
    fn cause(&self) -> Option<String> {
        match &*self.state.lock() {
            State::Down { cause, .. } => Some(cause.clone()),
            State::Open(_) | State::Closed => None,
        }
    }

    /// What an error on `open` means for the connection, unless it has a successor already.
    fn settle(&self, open: &Open, error: &RedisError, is_over: bool) {
        let mut state = self.state.lock();
        let is_current = matches!(&*state, State::Open(held) if held.opened_at == open.opened_at);
        if !is_current {
            return;
        }
        // A connection that was opened just now and is refused would be refused again.
        let is_pointless = is_over && open.opened_at.elapsed() < REST && is_demotion(error);
        if error.is_timeout() || is_pointless {
            *state = State::down(error);
        } else if is_over {
            *state = State::Closed;
        }
    }
}

impl State {
    fn down(error: &RedisError) -> Self {
        Self::Down { since: Instant::now(), cause: error.to_string() }
    }
}
