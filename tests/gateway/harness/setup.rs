//! What a test wants its gateway to be: the YAML, the stores, the backend, the environment.

use std::sync::Arc;

use super::Upstream;
use crate::servers::postgres;
use crate::servers::redis::Redis;

/// Signs the tokens of every gateway (HS256, key id `k1`), so that tests can make their own.
pub const SECRET: &str = "tQ7wVd2nXk4mZc9bRf6hLs1pYg3jEa8u-not-for-production";

/// `${PROXY}`, `${ADMIN}` and `${UPSTREAM}` are addresses; the shipped gateway.yaml reads
/// `DATABASE_URL` and `REDIS_URL` in the same way.
const DEFAULT: &str = r#"
version: 1
listen:
  proxy: [{ address: "${PROXY}" }]
  admin: "${ADMIN}"
storage:
  users: ${DATABASE_URL:-sqlite://data/portcullis.db}
  state: ${REDIS_URL:-embedded}
tokens:
  issuer: http://localhost:8080
  audience: portcullis
  keys:
    - { id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }
auth:
  registration: open
  limits: off
upstreams:
  example: { servers: ["${UPSTREAM}"] }
routes:
  - { path: "/public/{*rest}", upstream: example, access: public }
  - { path: /protected, upstream: example }
  - { path: "/secure/{*rest}", upstream: example }
  - { path: /echo, upstream: example }
  - { path: "/admin/{*rest}", upstream: example, access: { roles: [admin] } }
  - { path: "/users/{id}/{*rest}", upstream: example, access: { owner: id, or_roles: [admin] } }
"#;

/// Where a gateway keeps its things.
#[derive(Clone)]
pub enum Stores {
    /// SQLite in the gateway's folder.
    Embedded,
    /// Shared by every gateway that gets a clone.
    Servers { database_url: String, redis: Arc<Redis> },
    /// The same, by the URL of a Redis that the test holds.
    Elsewhere { database_url: String, redis_url: String },
}

impl Stores {
    /// A fresh database and a Redis of one's own.
    pub async fn servers() -> Self {
        Self::Servers { database_url: postgres::database().await, redis: Arc::new(Redis::start()) }
    }

    /// A fresh database, and the Redis of this URL.
    pub async fn on_redis(url: String) -> Self {
        Self::Elsewhere { database_url: postgres::database().await, redis_url: url }
    }

    /// The URLs of the database and of Redis.
    pub fn urls(&self) -> Option<(String, String)> {
        match self {
            Self::Embedded => None,
            Self::Servers { database_url, redis } => Some((database_url.clone(), redis.url())),
            Self::Elsewhere { database_url, redis_url } => Some((database_url.clone(), redis_url.clone())),
        }
    }
}

/// The variable by which [`Setup::descriptors`] tells how the gateway is started.
pub(super) const DESCRIPTORS: &str = "TEST_DESCRIPTORS";

pub struct Setup {
    /// By top-level key, in order.
    pub(super) sections: Vec<(String, String)>,
    pub(super) stores: Stores,
    pub(super) environment: Vec<(String, String)>,
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) tls: bool,
    /// By name, in the gateway's folder.
    pub(super) files: Vec<(String, String)>,
}

impl Setup {
    /// A whole gateway.yaml instead of the default one.
    pub fn file(yaml: &str) -> Self {
        Self {
            sections: split(yaml),
            stores: Stores::Embedded,
            environment: Vec::new(),
            upstream: None,
            tls: false,
            files: Vec::new(),
        }
    }

    /// Replaces the top-level keys that `yaml` names. It may be indented as a whole.
    pub fn with(mut self, yaml: &str) -> Self {
        for (key, text) in split(yaml) {
            match self.sections.iter_mut().find(|(known, _)| *known == key) {
                Some((_, section)) => *section = text,
                None => self.sections.push((key, text)),
            }
        }
        self
    }

    pub fn stores(self, stores: &Stores) -> Self {
        Self { stores: stores.clone(), ..self }
    }

    /// Shares a backend instead of starting one.
    pub fn upstream(self, upstream: &Arc<Upstream>) -> Self {
        Self { upstream: Some(upstream.clone()), ..self }
    }

    /// For `${NAME}` in the file.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it with these limits of open files (`prlimit`, Linux).
    pub fn descriptors(self, soft: u32, hard: u32) -> Self {
        self.env(DESCRIPTORS, format!("{soft}:{hard}"))
    }

    /// A file in the gateway's folder, for `{ file: name }`.
    pub fn beside(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// A second proxy listener with TLS, by a fresh certificate for 127.0.0.1 and localhost.
    pub fn tls(self) -> Self {
        let listen = r#"
            listen:
              proxy:
                - { address: "${PROXY}" }
                - { address: "${PROXY_TLS}", tls: { cert: cert.pem, key: key.pem } }
              admin: "${ADMIN}"
        "#;
        Self { tls: true, ..self.with(listen) }
    }

    pub(super) fn yaml(&self) -> String {
        let mut yaml: String = self.sections.iter().map(|(_, text)| text.as_str()).collect();
        let is_decided = self.sections.iter().any(|(key, _)| key == "forwarding");
        if env!("CARGO_CRATE_NAME") == "full_lane" && !is_decided {
            yaml.push_str("forwarding: { fast_lane: false }\n");
        }
        yaml
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::file(DEFAULT)
    }
}

impl From<&str> for Setup {
    fn from(yaml: &str) -> Self {
        Self::default().with(yaml)
    }
}

/// Cuts YAML into its top-level keys, each with its text. What stands before the first is dropped.
fn split(yaml: &str) -> Vec<(String, String)> {
    let margin = yaml.lines().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in yaml.lines() {
        let line = line.get(margin..).unwrap_or_default();
        let key = line.split_once(':').map(|(key, _)| key);
        if let Some(key) = key.filter(|key| indent(line) == 0 && !key.starts_with(['#', '-'])) {
            sections.push((key.to_owned(), String::new()));
        }
        if let Some((_, text)) = sections.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[test]
fn a_key_that_a_test_gives_replaces_the_default_one() {
    let yaml = Setup::from(
        "
        routes:
          - { path: /only, upstream: example }
        limits: {}
        ",
    )
    .yaml();

    assert!(yaml.contains("\nroutes:\n  - { path: /only, upstream: example }\n"));
    assert!(yaml.contains("\nlimits: {}\n"));
    assert!(!yaml.contains("/protected"));
    assert!(yaml.contains("\nversion: 1\n") || yaml.starts_with("version: 1\n"));
}
