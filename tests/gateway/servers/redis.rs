//! A `redis-server` of one's own.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use super::ports::{self, ReservedPort};
use super::redis_access::Access;
use super::watched::Watched;
use super::{find_program, wait_until_ready};
use crate::harness::eventually;

const A_SECOND: Duration = Duration::from_secs(1);

/// One Redis, gone when dropped.
pub struct Redis {
    access: Access,
    port: ReservedPort,
    server: Watched,
}

impl Redis {
    /// An empty Redis, ready; it forgets everything when killed.
    pub fn start() -> Self {
        Self::with_arguments(&["--appendonly", "no"])
    }

    /// An empty Redis, ready, that has its data again after a kill and restart.
    pub fn start_durable() -> Self {
        Self::with_arguments(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// The same, over TLS and with passwords only.
    pub fn start_secured() -> Self {
        Self::accessed(&Access::secured(), &[])
    }

    pub(super) fn with_arguments(arguments: &[&str]) -> Self {
        Self::accessed(&Access::default(), arguments)
    }

    pub(super) fn accessed(access: &Access, arguments: &[&str]) -> Self {
        let port = ports::reserve();
        let home = tempfile::Builder::new().prefix("portcullis-redis-").tempdir();
        let home = home.expect("the temporary folder is writable").keep();
        let fixed = ["--bind", "127.0.0.1", "--save", "", "--dir"].map(OsString::from);
        let mut command = vec![program().into_os_string()];
        command.extend(fixed);
        command.push(home.clone().into());
        for directive in [access.directives(port.number()), access.directives_of_data()].concat() {
            command.extend(format!("--{directive}").split(' ').map(OsString::from));
        }
        command.extend(arguments.iter().map(OsString::from));
        Self::running(access.clone(), port, home, &command)
    }

    /// Watches for a master, as the configuration says.
    pub(super) fn sentinel(access: Access, configuration: &str) -> Self {
        let port = ports::reserve();
        let home = tempfile::Builder::new().prefix("portcullis-sentinel-").tempdir();
        let home = home.expect("the temporary folder is writable").keep();
        let file = home.join("sentinel.conf");
        let fixed = format!(
            "bind 127.0.0.1\ndir {}\n{}\n",
            home.display(),
            access.directives(port.number()).join("\n")
        );
        std::fs::write(&file, fixed + configuration).expect("the folder is new");
        let command = [program().into_os_string(), file.into_os_string(), "--sentinel".into()];
        Self::running(access, port, home, &command)
    }

    fn running(access: Access, port: ReservedPort, home: PathBuf, command: &[OsString]) -> Self {
        let redis = Self { access, port, server: Watched::new(home, "KILL", command) };
        redis.restart();
        redis
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.server.log()
    }

    /// `None` when it is away, hangs, or refuses.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let mut connection = self.access.client(self.address()).get_connection_with_timeout(A_SECOND).ok()?;
        connection.set_read_timeout(Some(A_SECOND)).ok()?;
        redis::Cmd::new().arg(words).query(&mut connection).ok()
    }

    /// One `field:value` of `INFO`.
    pub fn info(&self, field: &str) -> Option<String> {
        let info: String = self.ask(&["INFO"])?;
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    }

    /// Waits until it has been told that another server is the one to write to.
    pub async fn until_replica(&self) {
        let is_replica = async || (self.info("role").as_deref() == Some("slave")).then_some(());
        eventually("a server to follow another", is_replica).await;
    }

    /// A gateway's.
    pub fn url(&self) -> String {
        self.access.url("", &self.address().to_string())
    }

    /// What those trust who speak TLS to it.
    pub fn ca(&self) -> &str {
        self.access.ca()
    }

    /// A connection of an operator's.
    pub fn operator(&self) -> redis::Connection {
        self.access.client(self.address()).get_connection().expect("it is ready")
    }

    /// Calls by command since this Redis was started, those that scripts make included.
    pub fn calls(&self) -> HashMap<String, u64> {
        let mut operator = self.operator();
        let info = redis::cmd("INFO").arg("commandstats").query::<String>(&mut operator);
        let info = info.expect("it answers INFO");
        let stats = info.lines().filter_map(|line| {
            let (command, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((command.to_owned(), stats.split(',').next()?.parse().ok()?))
        });
        stats.collect()
    }

    /// How often it was asked about a bearer or a limit: `admit.lua` alone reads several keys at once.
    pub fn admissions(&self) -> u64 {
        self.calls().get("mget").copied().unwrap_or_default()
    }

    /// SIGKILL: connections break, the port refuses.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port; returns when it is ready.
    pub fn restart(&self) {
        self.server.start();
        wait_until_ready("redis-server", &self.server.log(), || self.ask::<String>(&["PING"]).is_some());
    }

    /// SIGSTOP: it takes connections and commands and answers nothing.
    pub fn pause(&self) {
        self.server.pause();
    }

    pub fn resume(&self) {
        self.server.resume();
    }
}

fn program() -> PathBuf {
    find_program("redis-server", &[]).expect(
        "redis-server is not installed; `./dev test` installs it, \
         or: apt-get install redis-server, dnf install redis, brew install redis",
    )
}

fn answers_ping(address: SocketAddr) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(A_SECOND))?;
    connection.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG")
}

#[test]
fn redis_can_be_killed_paused_and_started_again() {
    let redis = Redis::start_durable();
    let address = redis.port.address();

    redis.pause();
    assert!(answers_ping(address).is_err(), "a paused Redis answered");
    redis.resume();
    assert!(answers_ping(address).expect("it runs again"));

    redis.kill();
    assert!(TcpStream::connect(address).is_err(), "a killed Redis accepted a connection");
    redis.restart();
    assert!(answers_ping(address).expect("it was started again"));
}
