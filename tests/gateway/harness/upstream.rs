//! The real example backend.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use super::process::Process;
use super::{eventually, program};
use crate::servers::ports::{self, ReservedPort};

/// Gone when dropped; several gateways may share one.
pub struct Upstream {
    process: Mutex<Process>,
    home: TempDir,
    port: ReservedPort,
}

impl Upstream {
    pub async fn start() -> Self {
        let home = tempfile::Builder::new().prefix("portcullis-upstream-").tempdir();
        let home = home.expect("the temporary folder is writable");
        let port = ports::reserve();
        let upstream = Self { process: Mutex::new(launch(port.address(), &home)), home, port };
        upstream.until_ready().await;
        upstream
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// How often this path was called.
    pub async fn calls(&self, path: &str) -> u64 {
        self.all_calls().await.get(path).copied().unwrap_or(0)
    }

    /// Calls by path.
    pub async fn all_calls(&self) -> BTreeMap<String, u64> {
        let stats: Stats = self.get("/stats").await.json().await.expect("the backend answers in JSON");
        stats.calls
    }

    /// SIGKILL: connections break, the port refuses.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Starts it again on the same port, nothing counted; returns when it is ready.
    pub async fn restart(&self) {
        self.process().kill();
        *self.process() = launch(self.port.address(), &self.home);
        self.until_ready().await;
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("http://{}{path}", self.address());
        plain_client().get(url).send().await.expect("the backend runs")
    }

    async fn until_ready(&self) {
        let url = format!("http://{}/healthz", self.address());
        let client = plain_client();
        eventually("upstream-example", async || {
            if let Some(status) = self.process().ended() {
                let log = std::fs::read_to_string(self.home.path().join("stderr.log"));
                panic!("upstream-example ended with {status}:\n{}", log.unwrap_or_default());
            }
            client.get(&url).send().await.ok().filter(|response| response.status().is_success())
        })
        .await;
    }
}

#[derive(serde::Deserialize)]
struct Stats {
    calls: BTreeMap<String, u64>,
}

fn launch(address: SocketAddr, home: &TempDir) -> Process {
    let mut command = Command::new(program("upstream-example"));
    Process::start(command.arg("--listen").arg(address.to_string()), home.path())
}

/// Keeps nothing between requests, so that a restart doesn't meet an old connection.
fn plain_client() -> reqwest::Client {
    super::client::builder().pool_max_idle_per_host(0).build().expect("nothing in it can fail")
}

#[tokio::test]
async fn a_killed_backend_can_be_started_again_and_forgets_its_calls() {
    let upstream = Upstream::start().await;
    upstream.get("/protected").await;
    assert_eq!(upstream.calls("/protected").await, 1);

    upstream.kill();
    assert!(std::net::TcpStream::connect(upstream.address()).is_err(), "a killed backend answered");
    upstream.restart().await;

    assert_eq!(upstream.calls("/protected").await, 0);
}

#[tokio::test]
async fn raw_bytes_get_their_answer_and_the_rest_is_told_apart() {
    let upstream = Upstream::start().await;
    let mut connection = super::RawConnection::open(upstream.address()).await;
    let two = b"GET /status/204 HTTP/1.1\r\nhost: a\r\n\r\nGET /big?bytes=70000 HTTP/1.1\r\nhost: a\r\n\r\n";

    assert!(connection.send(two).await);
    let first = connection.answer().await.expect("an answer");
    let second = connection.answer().await.expect("another");

    assert_eq!((first.status, first.body.len()), (204, 0));
    assert_eq!((second.status, second.body.len()), (200, 70_000));
    assert_eq!(second.fields("Content-Type").collect::<Vec<_>>(), ["application/octet-stream"]);
    assert_eq!(connection.rest().await, b"");
}
