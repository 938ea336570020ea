//! What a request to a cached route costs its caller, and whether a client can make the upstream work.

use reqwest::{Method, Response};

use crate::harness::{self, Client, Gateway, Reason, Setup, Stores, eventually};

const CACHED: &str = "
    limits:
      ten: { rate: 10/1h, by: address }
      four: { rate: 4/1h, by: user }
      one: { rate: 1/1h, by: user }
    routes:
      - { path: /expensive, upstream: example, access: public, limits: [ten], cache: { ttl: 1h, vary_by: shared, hit_cost: 0 } }
      - { path: /headers, upstream: example, access: public, limits: [ten], cache: { ttl: 1h, vary_by: shared, hit_cost: 0 } }
      - { path: /echo, upstream: example, limits: [four], cache: { ttl: 1h, vary_by: shared, hit_cost: 0.5 } }
      - { path: /slow, upstream: example, limits: [one], cache: { ttl: 1h, vary_by: shared, hit_cost: 0.25 } }
";

async fn on_every_store(yaml: &str) -> [Gateway; 2] {
    let on_redis = Setup::from(yaml).stores(&Stores::servers().await);
    [harness::gateway(yaml).await, harness::gateway(on_redis).await]
}

fn status(response: &Response) -> &str {
    response.headers()["cache-status"].to_str().expect("ASCII").trim_start_matches("portcullis; ")
}

fn is_hit(response: &Response) -> bool {
    response.status() == 200 && status(response).starts_with("hit; ttl=")
}

/// What is left of the limit, as the answer says.
fn remaining(response: &Response) -> u32 {
    let standing = response.headers()["ratelimit"].to_str().expect("ASCII");
    let (_, left) = standing.split_once(";r=").expect("what remains");
    left.split(';').next().expect("a number").parse().expect("a number")
}

#[tokio::test]
async fn hits_that_cost_nothing_leave_the_limit_alone_and_are_refused_at_it() {
    for gw in on_every_store(CACHED).await {
        let client = gw.anonymous();
        let miss = client.get("/expensive").await;
        assert_eq!((miss.status().as_u16(), remaining(&miss)), (200, 9));

        for number in 0..20 {
            let range = client.request(Method::GET, "/expensive").header("range", "bytes=0-1");
            let hit = if number % 2 == 0 { client.get("/expensive").await } else { client.send(range).await };
            assert!(status(&hit).starts_with("hit; ttl="), "{hit:?}");
            assert_eq!(remaining(&hit), 9);
        }
        for number in 0..9 {
            assert_eq!(client.get(&format!("/headers?x-a={number}")).await.status(), 200, "{number}");
        }
        let calls = gw.upstream_calls("/headers").await;

        for path in ["/headers?x-a=10", "/headers?x-a=0", "/expensive"] {
            let refused = client.get(path).await;
            assert_eq!((refused.status().as_u16(), refused.reason()), (429, Some("rate_limited")), "{path}");
            assert!(refused.headers().contains_key("retry-after"), "{path}");
        }
        assert_eq!(gw.upstream_calls("/headers").await, calls);
    }
}

#[tokio::test]
async fn hits_may_cost_a_part_of_a_request_and_other_methods_cost_a_whole_one() {
    for gw in on_every_store(CACHED).await {
        let alice = gw.register("alice").await;
        let mut left = Vec::new();
        for method in [Method::GET, Method::GET, Method::GET, Method::POST] {
            let answer = alice.send(alice.request(method, "/echo")).await;
            assert_eq!(answer.status(), 200);
            left.push(remaining(&answer));
        }

        // 4 less 1, less a half, less a half, less 1.
        assert_eq!(left, [3, 2, 2, 1]);
    }
}

/// A miss is charged in two steps, which together need no more room than one request has.
#[tokio::test]
async fn the_last_request_of_a_limit_may_be_a_miss() {
    for gw in on_every_store(CACHED).await {
        let alice = gw.register("alice").await;

        let miss = alice.get("/slow?ms=1").await;

        assert_eq!((miss.status().as_u16(), remaining(&miss)), (200, 0));
        assert_eq!(alice.get("/slow?ms=1").await.reason(), Some("rate_limited"));
    }
}

#[tokio::test]
async fn misses_that_come_at_once_get_no_more_than_the_limit_and_the_refused_leave_no_lock_behind() {
    let yaml = CACHED.replace("hit_cost: 0.25", "hit_cost: 0");
    for gw in on_every_store(&yaml).await {
        let alice = gw.register("alice").await;
        let alice = &alice;
        let asking = (100..106).map(async |ms| alice.get(&format!("/slow?ms={ms}")).await.status().as_u16());

        let mut statuses = futures::future::join_all(asking).await;

        statuses.sort_unstable();
        assert_eq!(statuses, [200, 429, 429, 429, 429, 429]);
        assert_eq!(gw.upstream_calls("/slow").await, 1);
        let metrics = gw.metrics().await;
        let decisions = |outcome| metrics.value("rate_limit_decisions_total", &["limit=\"one\"", outcome]);
        assert_eq!([r#"outcome="allowed""#, r#"outcome="refused""#].map(decisions), [Some(1.0), Some(5.0)]);
        let bob = gw.register("bob").await;
        assert_eq!(bob.get("/slow?ms=100").await.status(), 200);
    }
}

const COUNTED: &str = "
    limits:
      two: { rate: 2/1h, by: address }
      watched: { rate: 1/1h, by: address, mode: observe }
    routes:
      - { path: /headers, upstream: example, access: public, limits: [two, watched], cache: { ttl: 1h, vary_by: shared, hit_cost: 0.5 } }
";

/// However many steps it is charged in.
#[tokio::test]
async fn a_request_counts_as_one_decision_of_each_limit() {
    for gw in on_every_store(COUNTED).await {
        let client = gw.anonymous();
        let mut statuses = Vec::new();
        // A miss, a hit, and a miss for which a half is left.
        for path in ["/headers?x-a=1", "/headers?x-a=1", "/headers?x-a=2"] {
            statuses.push(client.get(path).await.status().as_u16());
        }
        assert_eq!(statuses, [200, 200, 429]);

        let counted = eventually("the last request to be counted", async || {
            let metrics = gw.metrics().await;
            let count = |limit: &str, outcome: &str| {
                let labels = [format!("limit=\"{limit}\""), format!("outcome=\"{outcome}\"")];
                metrics.value("rate_limit_decisions_total", &labels.each_ref().map(|label| &**label))
            };
            let answered = metrics.value("http_requests_total", &["route=\"/headers\""]);
            (answered == Some(3.0)).then(|| {
                let two = ["allowed", "refused"].map(|outcome| count("two", outcome));
                (two, ["allowed", "would_refuse"].map(|outcome| count("watched", outcome)))
            })
        })
        .await;
        // What refuses is asked first, so the third didn't come to the one that observes.
        assert_eq!(counted, ([Some(2.0), Some(1.0)], [Some(1.0), Some(1.0)]));
    }
}

const DECLINED: &str = "
    routes:
      - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, respect_client: true } }
      - { path: /questions/topics, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
";

async fn with(client: &Client, path: &str, cache_control: &str) -> Response {
    client.send(client.request(Method::GET, path).header("cache-control", cache_control)).await
}

async fn computation(response: Response) -> u64 {
    let body: serde_json::Value = response.json().await.expect("JSON");
    body["computation"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_client_may_decline_what_is_stored_where_the_route_says_so() {
    for gw in on_every_store(DECLINED).await {
        let client = gw.anonymous();
        assert_eq!(computation(client.get("/expensive").await).await, 1);
        assert!(is_hit(&client.get("/expensive").await));

        let anew = with(&client, "/expensive", "max-age=0, No-Cache").await;
        assert_eq!(status(&anew), "fwd=request; stored");
        assert_eq!(computation(anew).await, 2);
        let hit = eventually("the new answer", async || {
            let answer = client.get("/expensive").await;
            is_hit(&answer).then_some(answer)
        })
        .await;
        assert_eq!(computation(hit).await, 2, "it was stored");

        let private = with(&client, "/expensive", "no-store").await;
        assert_eq!(status(&private), "fwd=request");
        assert_eq!(computation(private).await, 3);
        assert_eq!(computation(client.get("/expensive").await).await, 2, "it wasn't stored");
    }
}

#[tokio::test]
async fn elsewhere_a_client_cannot_make_the_upstream_work() {
    for gw in on_every_store(DECLINED).await {
        let client = gw.anonymous();
        client.get("/questions/topics").await;

        for words in ["no-cache", "no-store", "no-cache, no-store, max-age=0"] {
            assert!(is_hit(&with(&client, "/questions/topics", words).await), "{words}");
        }

        let pragma = client.request(Method::GET, "/questions/topics").header("pragma", "no-cache");
        assert!(is_hit(&client.send(pragma).await));
        assert_eq!(gw.upstream_calls("/questions/topics").await, 1);
    }
}
