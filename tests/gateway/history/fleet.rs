//! The two gateways, their stores, and the connections between them.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};

use crate::harness::{self, Cable, Gateway, Setup, Stores, eventually};
use crate::servers::postgres::Postgres;
use crate::servers::redis::Redis;

/// Longer than any store's deadline, so that a gateway's own answer is seen.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(15);

pub const LIMIT_BURST: usize = 5;
pub const LIMIT_PER_MINUTE: usize = 30;

const FILE: &str = r#"
    auth:
      registration: open
      limits: off
      password: { argon2: { memory: 8MiB, iterations: 1 }, workers: 2 }
      lockout: { failures: 90, for: 1m }
    revocation: { max_staleness: 2s }
    limits:
      strict: { rate: 30/1m, burst: 5, by: user, on_store_error: deny }
    routes:
      - { path: /protected, upstream: example }
      - { path: "/admin/{*rest}", upstream: example, access: { roles: [admin] } }
      - { path: /secure/data, upstream: example, limits: [strict] }
      - { name: mine, path: /echo, upstream: example, cache: { ttl: 1h, vary_by: user } }
      - { name: ours, path: /echo, host: roles.example, upstream: example, cache: { ttl: 1h, vary_by: role } }
"#;

#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    gateways: [Gateway; 2],
    redis: Arc<Redis>,
    postgres: Postgres,
    cables: [Cable; 2],
    http: Client,
    /// Requests and commands that have come to an end, well or badly.
    operations: AtomicU64,
    is_over: AtomicBool,
}

impl Fleet {
    pub async fn start() -> Self {
        let redis = Arc::new(Redis::start_durable());
        let postgres = Postgres::start();
        let database_url = postgres.database().await;
        let cables = [Cable::to(redis.address()).await, Cable::to(redis.address()).await];
        let stores = |cable: SocketAddr| Stores::Elsewhere {
            database_url: database_url.clone(),
            redis_url: format!("redis://{cable}"),
        };
        let setup = |cable: &Cable| Setup::from(FILE).stores(&stores(cable.address()));
        let one = harness::gateway(setup(&cables[0])).await;
        let other = harness::gateway(setup(&cables[1]).upstream(one.upstream())).await;
        let http = harness::client_builder().timeout(CLIENT_TIMEOUT).build().expect("nothing in it can fail");
        let (operations, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Inner { gateways: [one, other], redis, postgres, cables, http, operations, is_over }))
    }

    pub fn gateway(&self, index: usize) -> &Gateway {
        &self.0.gateways[index]
    }

    pub fn redis(&self) -> &Redis {
        &self.0.redis
    }

    pub fn postgres(&self) -> &Postgres {
        &self.0.postgres
    }

    pub fn cable(&self, index: usize) -> &Cable {
        &self.0.cables[index]
    }

    pub fn request(&self, gateway: usize, method: Method, path: &str) -> RequestBuilder {
        let address = self.gateway(gateway).address();
        self.0.http.request(method, format!("http://{address}{path}"))
    }

    /// A command of the operator's, on the stores that the gateway uses.
    pub async fn command(&self, gateway: usize, arguments: &[&str]) -> Output {
        let arguments = [arguments, &["--config", "gateway.yaml"]].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let fleet = self.clone();
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            fleet.gateway(gateway).cli(&arguments)
        };
        let output = tokio::task::spawn_blocking(run).await.expect("it doesn't panic");
        self.note_operation();
        output
    }

    pub fn note_operation(&self) {
        self.0.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until clients have done so much more. Each operation has a client's whole patience, as all of them may
    /// wait for a gateway that is paused.
    pub async fn until_operations(&self, more: u64) {
        let before = self.0.operations.load(Ordering::Relaxed);
        let done = || self.0.operations.load(Ordering::Relaxed) - before;
        for count in 1..=more {
            eventually("clients to go on", async || (self.is_over() || done() >= count).then_some(())).await;
        }
    }

    pub async fn until_ready(&self) {
        for gateway in &self.0.gateways {
            eventually("a gateway to be ready", async || {
                gateway.readiness().await.filter(|status| *status == 200)
            })
            .await;
        }
    }

    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::Release);
    }

    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }
}
