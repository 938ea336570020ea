//! Postgres: one cluster for all tests of this process, with a database per test, and private
//! clusters for tests that stop theirs.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use super::ports::{self, ReservedPort};
use super::watched::Watched;
use super::{find_program, wait_until_ready};

/// One Postgres cluster, gone when dropped.
pub struct Postgres {
    port: ReservedPort,
    server: Watched,
}

/// The URL of a fresh, empty database in the cluster that all tests of this process share.
pub async fn database() -> String {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start).database().await
}

impl Postgres {
    /// A cluster of one's own, ready, that can be stopped without disturbing other tests.
    pub fn start() -> Self {
        let home = tempfile::Builder::new().prefix("portcullis-postgres-").tempdir();
        let home = home.expect("the temporary folder is writable").keep();
        let account = UnprivilegedAccount::if_root(&home);
        initdb(&home, account.as_ref());
        let port = ports::reserve();
        let command = server_command(&home, port.number(), account.as_ref());
        // SIGQUIT is a crash too, but one that takes its children and shared memory with it.
        let postgres = Self { port, server: Watched::new(home, "QUIT", &command) };
        postgres.restart();
        postgres
    }

    /// The URL of a fresh, empty database.
    pub async fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut maintenance =
            PgConnection::connect(&self.url("postgres")).await.expect("the cluster answered when it started");
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        maintenance.execute(create).await.expect("the name is new in this cluster");
        maintenance.close().await.expect("the connection was idle");
        self.url(&name)
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.port.address())
    }

    /// Like a crash: connections break, the port refuses.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// SIGSTOP of the postmaster: it takes connections and greets nobody.
    pub fn pause(&self) {
        self.server.pause();
    }

    pub fn resume(&self) {
        self.server.resume();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and with its data; returns
    /// when it is ready.
    pub fn restart(&self) {
        self.server.start();
        let address = self.port.address();
        wait_until_ready("postgres", &self.server.log(), || takes_logins(address).unwrap_or(false));
    }
}

/// The first half of a login, as far as `AuthenticationOk`; before it is ready Postgres sends an
/// error instead. <https://www.postgresql.org/docs/current/protocol-message-formats.html>
fn takes_logins(address: SocketAddr) -> std::io::Result<bool> {
    const PROTOCOL_3_0: u32 = 196_608;
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + parameters.len()).expect("a few dozen bytes");
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(&[&length.to_be_bytes(), &PROTOCOL_3_0.to_be_bytes(), &parameters[..]].concat())?;
    let mut answer = [0; 1];
    connection.read_exact(&mut answer)?;
    Ok(answer == *b"R")
}

/// Postgres refuses to run as root.
pub(super) struct UnprivilegedAccount {
    uid: u32,
    gid: u32,
}

impl UnprivilegedAccount {
    /// `None` when we aren't root. Hands `home` over to the account otherwise.
    pub(super) fn if_root(home: &Path) -> Option<Self> {
        let owner = std::fs::metadata(home).expect("it was just made").uid();
        if owner != 0 {
            return None;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").expect("every Unix has /etc/passwd");
        let account = ["postgres", "nobody"].iter().find_map(|name| Self::parse(&passwd, name));
        let account = account.expect("Postgres refuses root, and there is no user `postgres` or `nobody`");
        chown(home, Some(account.uid), Some(account.gid)).expect("root may give folders away");
        Some(account)
    }

    fn parse(passwd: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == name)?;
        Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

/// `program` with its arguments to come, run as `account` if there is one.
pub(super) fn command_as(account: Option<&UnprivilegedAccount>, program: PathBuf) -> Vec<OsString> {
    let Some(UnprivilegedAccount { uid, gid }) = account else {
        return vec![program.into()];
    };
    let setpriv = find_program("setpriv", &[]).expect("setpriv is not installed: apt-get install util-linux");
    let options = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
    let mut command = vec![setpriv.into_os_string()];
    command.extend(options.map(OsString::from));
    command.push(program.into());
    command
}

fn initdb(home: &Path, account: Option<&UnprivilegedAccount>) {
    let command = command_as(account, postgres_program("initdb"));
    let output = Command::new(&command[0])
        .args(&command[1..])
        .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "-D"])
        .arg(home.join("data"))
        .current_dir(home)
        .output()
        .expect("the program was found");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

fn server_command(home: &Path, port: u16, account: Option<&UnprivilegedAccount>) -> Vec<OsString> {
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=300",
        "shared_buffers=16MB",
        // What only a crash of the whole machine loses doesn't matter to a test.
        "fsync=off",
        "full_page_writes=off",
    ];
    let mut command = command_as(account, postgres_program("postgres"));
    command.extend(["-D".into(), home.join("data").into()]);
    command.extend(["-p".into(), port.to_string().into()]);
    for setting in settings {
        command.extend(["-c".into(), setting.into()]);
    }
    command
}

/// From `PATH`, or from where Debian keeps the programs of each version; the newest there.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    find_program(name, &versions).unwrap_or_else(|| {
        panic!(
            "{name} is not installed; `./dev test` installs it, or: apt-get install postgresql, \
             dnf install postgresql-server, brew install postgresql"
        )
    })
}

#[tokio::test]
async fn postgres_can_be_killed_and_started_again_with_its_data() {
    let postgres = Postgres::start();
    let url = postgres.database().await;

    postgres.kill();
    assert!(PgConnection::connect(&url).await.is_err(), "a killed Postgres accepted a connection");
    postgres.restart();

    PgConnection::connect(&url).await.expect("it was started again");
}
