//! Two gateways on one replicated Redis, and people who use both while its primaries die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Method;
use tokio::task::JoinSet;

use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Setup, Stores, eventually};
use crate::servers::redis::Redis;

const LIMITED: &str = "
    limits:
      plenty: { rate: 100000/1m, by: user, on_store_error: local }
      address: { rate: 100000/1m, by: address, on_store_error: local }
      three: { rate: 3/1h, by: address }
    defaults: { limits: [plenty, address] }
    routes:
      - { path: /protected, upstream: example }
      - { path: /questions/topics, upstream: example, access: public, limits: [three] }
      - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
";

/// Of a Redis over TLS.
const TRUSTING: &str = "
    storage:
      users: ${DATABASE_URL}
      state: ${REDIS_URL}
      state_ca: { file: redis-ca.pem }
";

pub struct Fleet {
    pub gateways: [Gateway; 2],
    /// Logged in, at each gateway.
    pub kept: Vec<Arc<Client>>,
    /// Logged in once, and logged out at the other gateway: each as seen by both.
    ended: Vec<[Arc<Client>; 2]>,
}

/// What the load saw.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    served: AtomicU64,
    unavailable: AtomicU64,
}

impl Fleet {
    pub async fn start(redis_url: String) -> Self {
        Self::set_up(redis_url, || Setup::from(LIMITED)).await
    }

    /// On a Redis over TLS whose certificate is `ca`.
    pub async fn trusting(redis_url: String, ca: &str) -> Self {
        Self::set_up(redis_url, || Setup::from(LIMITED).with(TRUSTING).beside("redis-ca.pem", ca)).await
    }

    async fn set_up(redis_url: String, setup: impl Fn() -> Setup) -> Self {
        let stores = Stores::on_redis(redis_url).await;
        let one = harness::gateway(setup().stores(&stores)).await;
        let other = harness::gateway(setup().stores(&stores).upstream(one.upstream())).await;
        let mut fleet = Self { gateways: [one, other], kept: Vec::new(), ended: Vec::new() };
        for name in ["alice", "bob"] {
            fleet.gateways[0].register(name).await;
            for gateway in &fleet.gateways {
                let client = gateway.client(name);
                client.login().await;
                fleet.kept.push(Arc::new(client));
            }
        }
        for name in ["carol", "dave"] {
            fleet.gateways[0].register(name).await;
            fleet.end_a_session(name, 0).await;
            fleet.end_a_session(name, 1).await;
        }
        fleet
    }

    /// Logs in at one gateway and out at the other; returns when both know it.
    pub async fn end_a_session(&mut self, name: &str, begun_at: usize) {
        let here = Arc::new(self.gateways[begun_at].client(name));
        here.login().await;
        let there = Arc::new(self.gateways[1 - begun_at].client(name));
        there.set_token(Some(here.token()));
        there.logout().await;
        eventually("the logout at both", async || {
            (is_ended(&here).await && is_ended(&there).await).then_some(())
        })
        .await;
        self.ended.push([here, there]);
    }

    /// Everybody uses both gateways until `failover` is over; nobody gets in who has logged out.
    /// Returns how many requests were served and how many had to be refused for the store's sake.
    pub async fn under_load(&self, failover: impl AsyncFnOnce()) -> (u64, u64) {
        let seen = Arc::new(Seen::default());
        let mut load = JoinSet::new();
        for client in &self.kept {
            load.spawn(use_it(client.clone(), seen.clone()));
        }
        for client in self.ended.iter().flatten() {
            load.spawn(try_it(client.clone(), seen.clone()));
        }
        failover().await;
        seen.is_over.store(true, Ordering::Relaxed);
        load.join_all().await;
        (seen.served.load(Ordering::Relaxed), seen.unavailable.load(Ordering::Relaxed))
    }

    /// Every session goes on and can be refreshed, and none that was ended.
    pub async fn assert_nothing_was_lost(&self) {
        for client in &self.kept {
            eventually("requests to be served", async || {
                (client.get("/protected").await.status() == 200).then_some(())
            })
            .await;
            // It was cut off from nothing: a refresh needs the session itself.
            eventually("a refresh", async || {
                let answer = refresh(client).await;
                assert_ne!(
                    answer.status(),
                    401,
                    "{} lost a session: {:?}",
                    client.username(),
                    answer.reason()
                );
                (answer.status() == 200).then_some(())
            })
            .await;
        }
        for client in self.ended.iter().flatten() {
            assert!(is_ended(client).await, "{} is in again", client.username());
        }
        for [begun, _] in &self.ended {
            // Their sessions may lie on a server that has just been replaced, which says 503 and nothing else.
            let status = eventually("an answer from the store", async || {
                Some(refresh(begun).await.status()).filter(|status| *status != 503)
            })
            .await;
            assert_eq!(status, 401, "{} got new tokens", begun.username());
        }
    }

    /// A server that hangs under load is `replaced`, and follows when it goes on; nothing is lost by any of it.
    pub async fn assert_outlives_a_hang(&mut self, hung: &Redis, replaced: impl AsyncFnOnce()) {
        let (served, _) = self
            .under_load(async || {
                hung.pause();
                replaced().await;
            })
            .await;

        assert!(served > 100, "mirror and leases carry most of the load; {served} were served");
        self.assert_works().await;
        hung.resume();
        self.assert_works().await;
        self.assert_nothing_was_lost().await;
        hung.until_replica().await;
        self.assert_nothing_was_lost().await;
    }

    /// Limits are counted together, and an answer that one gateway has fetched is the other's, too.
    pub async fn assert_shares(&self) {
        let [one, other] = [0, 1].map(|at| self.gateways[at].anonymous());
        let mut statuses = Vec::new();
        for client in [&one, &other, &one, &other] {
            statuses.push(client.get("/questions/topics").await.status().as_u16());
        }
        assert_eq!(statuses, [200, 200, 200, 429]);
        let page = async |client: &Client, number: u32| {
            let request = client.request(Method::GET, &format!("/expensive?{number}"));
            client.send(request.header("host", "shop.example")).await
        };
        let mut number = 0;
        eventually("an answer to be stored before the other gateway asks for it", async || {
            number += 1;
            assert_eq!(page(&one, number).await.status(), 200);
            let answer = page(&other, number).await;
            answer.headers()["cache-status"].as_bytes().starts_with(b"portcullis; hit").then_some(())
        })
        .await;
    }

    /// Logins, limits, sessions and logouts, all by now on whatever has taken over.
    pub async fn assert_works(&mut self) {
        for begun_at in [0, 1] {
            let gateway = &self.gateways[begun_at];
            eventually("logins", async || {
                let credentials = serde_json::json!({ "username": "carol", "password": PASSWORD });
                let answer = gateway.anonymous().post("/auth/login", &credentials).await;
                (answer.status() == 200).then_some(())
            })
            .await;
            self.end_a_session("carol", begun_at).await;
        }
    }
}

async fn refresh(client: &Client) -> reqwest::Response {
    client.send(client.request_without_token(Method::POST, "/auth/refresh")).await
}

async fn is_ended(client: &Client) -> bool {
    client.get("/protected").await.reason() == Some("token_revoked")
}

async fn use_it(client: Arc<Client>, seen: Arc<Seen>) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let answer = client.get("/protected").await;
        match (answer.status().as_u16(), answer.reason()) {
            (200, _) => seen.served.fetch_add(1, Ordering::Relaxed),
            (503, Some("store_unavailable")) => seen.unavailable.fetch_add(1, Ordering::Relaxed),
            other => panic!("{} was answered {other:?}", client.username()),
        };
    }
}

async fn try_it(client: Arc<Client>, seen: Arc<Seen>) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let answer = client.get("/protected").await;
        match (answer.status().as_u16(), answer.reason()) {
            (401, Some("token_revoked")) | (503, Some("store_unavailable")) => {}
            other => panic!("{} has logged out and was answered {other:?}", client.username()),
        }
    }
}
