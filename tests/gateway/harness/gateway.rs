//! One running gateway and all that a test may ask of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{self, Client};
use super::metrics::Metrics;
use super::process::Process;
use super::raw::{RawAnswer, RawConnection};
use super::setup::{DESCRIPTORS, SECRET, Setup, Stores};
use super::upstream::Upstream;
use super::{PASSWORD, eventually};
use crate::servers::ports::{self, ReservedPort};

/// What became of a changed gateway.yaml.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload {
    InForce,
    Refused,
}

/// Killed when dropped; prints its log when the test fails.
pub struct Gateway {
    process: Mutex<Process>,
    environment: Vec<(String, String)>,
    home: TempDir,
    upstream: Arc<Upstream>,
    stores: Stores,
    proxy: ReservedPort,
    proxy_tls: ReservedPort,
    admin: ReservedPort,
    certificate: Option<String>,
}

impl Gateway {
    pub(super) async fn start(setup: Setup) -> Self {
        let home = tempfile::Builder::new().prefix("portcullis-gateway-").tempdir();
        let home = home.expect("the temporary folder is writable");
        let upstream = match &setup.upstream {
            Some(upstream) => upstream.clone(),
            None => Arc::new(Upstream::start().await),
        };
        let [proxy, proxy_tls, admin] = [(); 3].map(|()| ports::reserve());
        let mut environment = vec![
            ("PROXY".to_owned(), proxy.address().to_string()),
            ("PROXY_TLS".to_owned(), proxy_tls.address().to_string()),
            ("ADMIN".to_owned(), admin.address().to_string()),
            ("UPSTREAM".to_owned(), upstream.address().to_string()),
            ("TOKEN_SECRET".to_owned(), SECRET.to_owned()),
        ];
        if let Some((database_url, redis_url)) = setup.stores.urls() {
            environment.push(("DATABASE_URL".to_owned(), database_url));
            environment.push(("REDIS_URL".to_owned(), redis_url));
        }
        environment.extend(setup.environment.iter().cloned());
        for (name, text) in &setup.files {
            fs::write(home.path().join(name), text).expect("the temporary folder is writable");
        }
        write_config(home.path(), &setup.yaml());
        let certificate = setup.tls.then(|| write_certificate(home.path()));
        let process = Mutex::new(launch(home.path(), &environment));
        let stores = setup.stores;
        let gateway =
            Self { process, environment, home, upstream, stores, proxy, proxy_tls, admin, certificate };
        gateway.until_ready().await;
        gateway
    }

    pub fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    pub fn tls_address(&self) -> SocketAddr {
        self.proxy_tls.address()
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The folder it runs in: gateway.yaml, data, logs.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    // --- clients ---

    pub fn anonymous(&self) -> Client {
        self.client("nobody")
    }

    /// A client without a session for an account that exists, or will.
    pub fn client(&self, username: &str) -> Client {
        Client::new(client::builder(), format!("http://{}", self.address()), username)
    }

    /// Over TLS, with HTTP/2 where the gateway offers it.
    pub fn anonymous_over_tls(&self) -> Client {
        self.anonymous_over_tls_with(client::builder())
    }

    /// The same, by a client of one's own making.
    pub fn anonymous_over_tls_with(&self, http: reqwest::ClientBuilder) -> Client {
        let certificate =
            reqwest::Certificate::from_pem(self.certificate().as_bytes()).expect("rcgen writes PEM");
        let http = http.tls_certs_only([certificate]);
        Client::new(http, format!("https://{}", self.tls_address()), "nobody")
    }

    /// What clients over TLS trust, in PEM.
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().expect("only with `Setup::tls`")
    }

    /// Registers over HTTP and logs in.
    pub async fn register(&self, username: &str) -> Client {
        let client = self.client(username);
        let account = json!({ "username": username, "password": PASSWORD });
        let response = client.post("/auth/register", &account).await;
        let status = response.status();
        assert_eq!(status, 201, "{}", response.text().await.unwrap_or_default());
        client.login().await;
        client
    }

    /// An administrator of the application who is an operator of the gateway too, logged in.
    pub async fn admin(&self, username: &str) -> Client {
        let output = self.cli(&["user", "add", username, "--role", "admin", "--operator"]);
        assert!(output.status.success(), "{output:?}");
        let client = self.client(username);
        client.login().await;
        client
    }

    /// Sends these bytes on a new connection: the first answer (`None`: closed without one) and
    /// whatever came after it.
    pub async fn raw(&self, bytes: &[u8]) -> (Option<RawAnswer>, Vec<u8>) {
        let mut connection = self.raw_connection().await;
        // A gateway that refuses early may close before it has read everything.
        connection.send(bytes).await;
        let answer = connection.answer().await;
        (answer, connection.rest().await)
    }

    pub async fn raw_connection(&self) -> RawConnection {
        RawConnection::open(self.address()).await
    }

    // --- what it says about itself ---

    pub async fn metrics(&self) -> Metrics {
        let response = self.admin_get("/metrics").await.expect("the admin port answers");
        Metrics(response.text().await.expect("metrics are text"))
    }

    /// Of a page of the admin port.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin.address())
    }

    /// The status of `/readyz`; `None` when the admin port is closed.
    pub async fn readiness(&self) -> Option<u16> {
        Some(self.admin_get("/readyz").await.ok()?.status().as_u16())
    }

    /// What `/readyz` says to operators.
    pub async fn readiness_report(&self) -> Value {
        let response = self.control(reqwest::Method::GET, "/readyz").send().await;
        response.expect("the control socket answers").json().await.expect("it answers in JSON")
    }

    /// How often the upstream was called by this path, by any gateway.
    pub async fn upstream_calls(&self, path: &str) -> u64 {
        self.upstream.calls(path).await
    }

    /// Every JSON line it has written so far. The line of a request may come shortly after its
    /// answer; see [`logged`](Self::logged).
    pub fn json_log(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the first JSON line that fits.
    pub async fn logged(&self, fits: impl Fn(&Value) -> bool) -> Value {
        eventually("a log line", async || self.json_log().into_iter().find(&fits)).await
    }

    /// Everything it has written to stdout and stderr.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.home().join(name)).unwrap_or_default();
        read("stdout.log") + &read("stderr.log")
    }

    // --- what an operator does ---

    /// Runs a command of the CLI in the gateway's folder and environment. Passwords that it asks
    /// for are [`PASSWORD`].
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_portcullis"));
        command.env("PORTCULLIS_PASSWORD", PASSWORD).args(arguments);
        command.output().expect("the program was built with this test")
    }

    /// Any program, in the gateway's folder and environment.
    pub fn command(&self, program: &str) -> Command {
        command(program, self.home(), &self.environment)
    }

    /// Replaces top-level keys of the default file, as [`super::gateway`] does, and waits until
    /// the gateway has taken notice.
    pub async fn reload(&self, setup: impl Into<Setup>) -> Reload {
        self.reload_file(&setup.into().yaml()).await
    }

    /// The same with a whole file.
    pub async fn reload_file(&self, yaml: &str) -> Reload {
        let before = (loaded_at(&self.metrics().await), self.refusals());
        self.write_file(yaml);
        eventually("the reload", async || {
            if loaded_at(&self.metrics().await) != before.0 {
                return Some(Reload::InForce);
            }
            (self.refusals() > before.1).then_some(Reload::Refused)
        })
        .await
    }

    /// Replaces the file and doesn't wait.
    pub fn write_file(&self, yaml: &str) {
        write_config(self.home(), yaml);
    }

    /// How often it has refused a file; the metric wouldn't tell two in a row apart.
    pub fn refusals(&self) -> usize {
        self.log().matches("configuration refused").count()
    }

    /// The memory that it holds, in KiB (Linux).
    pub fn resident_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process().id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the system tells it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Lowers its limit of open files while it runs (`prlimit`, Linux).
    pub fn limit_descriptors(&self, limit: u32) {
        let process = self.process().id().to_string();
        let limit = format!("--nofile={limit}:{limit}");
        let status = Command::new("prlimit").args(["--pid", &process, &limit]).status();
        assert!(status.expect("every Linux has `prlimit`").success());
    }

    /// `HUP`, `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        self.process().signal(signal);
    }

    /// Waits for its end, after a signal.
    pub async fn end(&self) -> ExitStatus {
        eventually("the end of the gateway", async || self.process().ended()).await
    }

    /// SIGKILL and a new start with the same file, ports and stores; returns when it is ready.
    pub async fn restart(&self) {
        self.process().kill();
        *self.process() = launch(self.home(), &self.environment);
        self.until_ready().await;
    }

    async fn until_ready(&self) {
        eventually("the gateway's /readyz", async || {
            if let Some(status) = self.process().ended() {
                panic!("the gateway ended with {status} instead of getting ready");
            }
            self.readiness().await.filter(|status| *status == 200)
        })
        .await;
    }

    /// To the admin port, without credentials.
    pub fn admin_request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let http = client::builder().pool_max_idle_per_host(0).build().expect("nothing in it can fail");
        http.request(method, format!("http://{}{path}", self.admin.address()))
    }

    /// By the control socket, where nobody is asked who they are.
    pub fn control(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let http = client::builder().pool_max_idle_per_host(0).unix_socket(self.control_path());
        let http = http.build().expect("nothing in it can fail");
        http.request(method, format!("http://localhost{path}"))
    }

    /// Where the control socket lies unless the file says otherwise.
    pub fn control_path(&self) -> PathBuf {
        self.home().join("data/portcullis.sock")
    }

    async fn admin_get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.admin_request(reqwest::Method::GET, path).send().await
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}", self.log());
        }
    }
}

fn launch(home: &Path, environment: &[(String, String)]) -> Process {
    let binary = env!("CARGO_BIN_EXE_portcullis");
    let limit = environment.iter().find(|(name, _)| name == DESCRIPTORS).map(|(_, limit)| limit);
    let mut command = match limit {
        None => command(binary, home, environment),
        Some(limit) => {
            let mut command = command("prlimit", home, environment);
            command.args([format!("--nofile={limit}").as_str(), binary]);
            command
        }
    };
    Process::start(command.args(["serve", "--config", "gateway.yaml"]), home)
}

fn command(program: &str, home: &Path, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home).env_remove("DATABASE_URL").env_remove("REDIS_URL");
    // What a killed gateway leaves behind goes with the folder.
    command.env("TMPDIR", home.join("tmp"));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// By renaming, as editors and Kubernetes do: no half of it is ever seen.
fn write_config(home: &Path, yaml: &str) {
    let draft = home.join("gateway.yaml.draft");
    fs::write(&draft, yaml).expect("the temporary folder is writable");
    fs::rename(&draft, home.join("gateway.yaml")).expect("both lie in the same folder");
}

fn write_certificate(home: &Path) -> String {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("the names are valid");
    let certificate = made.cert.pem();
    fs::write(home.join("cert.pem"), &certificate).expect("the temporary folder is writable");
    fs::write(home.join("key.pem"), made.signing_key.serialize_pem()).expect("the same");
    certificate
}

fn loaded_at(metrics: &Metrics) -> Option<f64> {
    metrics.value("config_last_reload_success_timestamp_seconds", &[])
}
