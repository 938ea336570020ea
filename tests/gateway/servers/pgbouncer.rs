//! A pgbouncer of one's own, which gives a connection to each transaction.

use std::path::{Path, PathBuf};

use super::ports::{self, ReservedPort};
use super::postgres::{Postgres, UnprivilegedAccount, command_as};
use super::watched::Watched;
use super::{find_program, wait_until_ready};

/// Gone when dropped.
pub struct PgBouncer {
    port: ReservedPort,
    _server: Watched,
}

impl PgBouncer {
    /// With a few connections that are used in turn, so that a statement seldom meets the same one twice.
    /// `ignored` are the parameters of a connection that it passes over.
    pub fn before(postgres: &Postgres, ignored: &str) -> Self {
        let home = tempfile::Builder::new().prefix("portcullis-pgbouncer-").tempdir();
        let home = home.expect("the temporary folder is writable").keep();
        let port = ports::reserve();
        std::fs::write(home.join("pgbouncer.ini"), settings(&home, &port, postgres, ignored))
            .expect("the folder is new");
        std::fs::write(home.join("users.txt"), "\"postgres\" \"\"\n").expect("the same");
        let account = UnprivilegedAccount::if_root(&home);
        let mut command = command_as(account.as_ref(), program());
        command.extend(["-q".into(), home.join("pgbouncer.ini").into()]);
        let server = Watched::new(home, "KILL", &command);
        server.start();
        let address = port.address();
        wait_until_ready("pgbouncer", &server.log(), || std::net::TcpStream::connect(address).is_ok());
        Self { port, _server: server }
    }

    /// Of the database that `url` names.
    pub fn url(&self, url: &str) -> String {
        let database = url.rsplit('/').next().expect("it names one");
        format!("postgres://postgres@{}/{database}", self.port.address())
    }
}

fn settings(home: &Path, port: &ReservedPort, postgres: &Postgres, ignored: &str) -> String {
    format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 4\n\
         min_pool_size = 4\nserver_round_robin = 1\nmax_client_conn = 200\nignore_startup_parameters = {ignored}\n",
        postgres.port(),
        port.number(),
        home.join("users.txt").display(),
    )
}

fn program() -> PathBuf {
    find_program("pgbouncer", &["/usr/sbin".into()]).expect(
        "pgbouncer is not installed; `./dev test` installs it, or: apt-get install pgbouncer, \
         dnf install pgbouncer, brew install pgbouncer",
    )
}
