//! Real Redis and Postgres servers for tests: on ports that no other test gets, ready when the
//! constructor returns, and gone with the test process, however that ends.

pub mod pgbouncer;
pub mod ports;
pub mod postgres;
pub mod redis;
pub mod redis_access;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod smtp;

mod watched;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a server may take until it answers, on the slowest machine that should pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until `ready` says yes; with the server's own log in the panic otherwise.
fn wait_until_ready(server: &str, log: &Path, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("{server} did not get ready within {PATIENCE:?}; its log:\n{log}");
        }
        // The pause between two questions, so that polling leaves the server a core to start on.
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// The program's path, from `PATH` or one of `also`.
fn find_program(name: &str, also: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(also.iter().cloned());
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}
