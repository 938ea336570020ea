//! Purges, the process tier and the switch of the response cache.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use tokio::io::AsyncWriteExt;

use crate::harness::{self, ByHand, Client, Gateway, Setup, Stores, eventually};
use crate::servers::redis_cluster::BorrowedCluster;

const CACHED: &str = "
    routes:
      - { name: headers, path: /headers, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { name: echo, path: /echo, upstream: example, cache: { ttl: 1h, vary_by: user } }
      - { name: expensive, path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
";

async fn get(client: &Client, path: &str) -> Response {
    client.send(client.request(Method::GET, path).header("host", "shop.example")).await
}

fn status(response: &Response) -> &str {
    response.headers()["cache-status"].to_str().expect("ASCII").trim_start_matches("portcullis; ")
}

fn is_hit(response: &Response) -> bool {
    status(response).starts_with("hit; ttl=")
}

async fn pair(stores: &Stores) -> (Gateway, Gateway) {
    let one = harness::gateway(Setup::from(CACHED).stores(stores)).await;
    let other = harness::gateway(Setup::from(CACHED).stores(stores).upstream(one.upstream())).await;
    (one, other)
}

/// `portcullis cache purge …` beside `gw`.
fn purge(gw: &Gateway, what: &[&str]) {
    let output = gw.cli(&[&["cache", "purge"], what, &["--config", "gateway.yaml"]].concat());
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_purge_concerns_what_it_names_at_every_gateway() {
    purge_each_kind(&Stores::servers().await).await;
}

#[tokio::test]
async fn a_purge_concerns_what_it_names_at_every_gateway_of_a_cluster() {
    let cluster = BorrowedCluster::take();
    purge_each_kind(&Stores::on_redis(cluster.url()).await).await;
}

async fn purge_each_kind(stores: &Stores) {
    let (one, other) = pair(stores).await;
    let alice = one.register("alice").await;
    let alice_there = other.client("alice");
    alice_there.set_token(Some(alice.token()));
    let cases: [(&[&str], &str, &str); 5] = [
        (&["--tag", "red"], "/headers?cache-tag=blue,red", "/headers?cache-tag=blue"),
        (&["--route", "expensive"], "/expensive", "/headers"),
        (&["--prefix", "/exp"], "/expensive", "/headers"),
        (&["--user", "alice"], "/echo", "/headers"),
        (&["--everything"], "/headers", ""),
    ];
    for (what, purged, kept) in cases {
        for path in [purged, kept].into_iter().filter(|path| !path.is_empty()) {
            get(&alice, path).await;
            for client in [&alice, &alice_there] {
                assert!(is_hit(&get(client, path).await), "{what:?}: {path} is stored");
                assert!(is_hit(&get(client, path).await), "{what:?}: {path} is in the process");
            }
        }

        purge(&one, what);

        eventually("the purge to arrive", async || (!is_hit(&get(&alice_there, purged).await)).then_some(()))
            .await;
        assert!(is_hit(&get(&alice, purged).await), "{what:?}: computed once for both");
        if !kept.is_empty() {
            assert!(is_hit(&get(&alice, kept).await), "{what:?}: {kept} stays");
            assert!(is_hit(&get(&alice_there, kept).await), "{what:?}: {kept} stays");
        }
    }
}

#[tokio::test]
async fn a_purge_at_one_gateway_counts_at_another_within_100_ms() {
    let (one, other) = pair(&Stores::servers().await).await;
    let here = one.anonymous();
    let there = other.anonymous();
    let mut took = Vec::new();
    for _ in 0..20 {
        get(&here, "/headers").await;
        assert!(is_hit(&get(&there, "/headers").await));

        let order = one.control(Method::POST, "/api/cache/purge");
        let answer = order.json(&serde_json::json!({ "route": "headers" })).send().await;
        assert_eq!(answer.expect("the control socket answers").status(), 200);
        let purged_at = Instant::now();
        while is_hit(&get(&there, "/headers").await) {
            assert!(purged_at.elapsed() < Duration::from_secs(5), "the purge doesn't arrive");
        }
        took.push(purged_at.elapsed());
    }

    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn an_embedded_cache_is_purged_through_the_control_socket() {
    let gw = harness::gateway(CACHED).await;
    let client = gw.anonymous();
    get(&client, "/expensive").await;
    assert!(is_hit(&get(&client, "/expensive").await));

    purge(&gw, &["--prefix", "/expensive"]);

    assert!(!is_hit(&get(&client, "/expensive").await));
    let wrong = gw.cli(&["cache", "purge", "--prefix", "expensive", "--config", "gateway.yaml"]);
    assert!(!wrong.status.success());
    let stats = gw.cli(&["cache", "stats", "--config", "gateway.yaml"]);
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).expect("JSON");
    assert!(stats["memory"]["bytes"].as_u64() > Some(0), "{stats}");
    assert_eq!(stats["purges_followed"], true);
}

#[tokio::test]
async fn plain_hits_come_from_the_process_and_others_from_the_store() {
    let (servers, cluster) = (Stores::servers().await, BorrowedCluster::take());
    let on_cluster = Stores::on_redis(cluster.url()).await;
    for (stores, store) in [(Stores::Embedded, "memory"), (servers, "redis"), (on_cluster, "redis")] {
        let gw = harness::gateway(Setup::from(CACHED).stores(&stores)).await;
        let client = gw.anonymous();
        let first = get(&client, "/expensive").await.bytes().await.expect("a body");

        let plain = get(&client, "/expensive").await;
        assert!(status(&plain).ends_with("; detail=process"), "{plain:?}");
        assert_eq!(plain.headers()["content-length"], first.len().to_string());
        assert!(plain.headers().contains_key("age"));
        assert!(plain.bytes().await.expect("a body") == first);
        let head =
            client.send(client.request(Method::HEAD, "/expensive").header("host", "shop.example")).await;
        assert!(status(&head).ends_with("; detail=process"), "{head:?}");
        assert_eq!(head.headers()["content-length"], first.len().to_string());
        assert!(head.bytes().await.expect("none").is_empty());

        let part = client
            .request(Method::GET, "/expensive")
            .header("host", "shop.example")
            .header("range", "bytes=1-4");
        let part = client.send(part).await;
        assert_eq!(part.status(), 206);
        assert!(status(&part).ends_with(&format!("; detail={store}")), "{part:?}");
        assert!(part.bytes().await.expect("a body") == first[1..5]);
        assert!(gw.metrics().await.value("cache_bytes", &["tier=\"process\""]) > Some(first.len() as f64));
    }
}

#[tokio::test]
async fn the_cache_is_switched_off_and_on_by_a_reload() {
    let gw = harness::gateway(CACHED).await;
    let client = gw.anonymous();
    get(&client, "/expensive").await;

    gw.reload(Setup::from(CACHED).with("cache: { enabled: false }")).await;
    assert_eq!(status(&get(&client, "/expensive").await), "fwd=bypass");

    gw.reload(CACHED).await;
    assert!(is_hit(&get(&client, "/expensive").await));
}

#[tokio::test]
async fn an_unsafe_request_that_goes_well_makes_the_stored_answer_doubtful() {
    let (servers, cluster) = (Stores::servers().await, BorrowedCluster::take());
    for stores in [Stores::Embedded, servers, Stores::on_redis(cluster.url()).await] {
        let gw = harness::gateway(Setup::from(CACHED).stores(&stores)).await;
        let alice = gw.register("alice").await;
        get(&alice, "/echo").await;
        assert!(is_hit(&get(&alice, "/echo").await));

        alice.send(alice.request(Method::POST, "/echo").header("host", "shop.example").body("x")).await;

        assert!(!is_hit(&get(&alice, "/echo").await));
        assert!(is_hit(&get(&alice, "/echo").await), "computed once");
    }
}

#[tokio::test]
async fn an_unsafe_request_at_one_gateway_counts_in_the_process_of_another_within_100_ms() {
    let cluster = BorrowedCluster::take();
    for stores in [Stores::servers().await, Stores::on_redis(cluster.url()).await] {
        let (one, other) = pair(&stores).await;
        let alice = one.register("alice").await;
        let there = other.client("alice");
        there.set_token(Some(alice.token()));
        let mut took = Vec::new();
        for _ in 0..20 {
            for path in ["/echo", "/headers"] {
                get(&alice, path).await;
                get(&there, path).await;
                let status = status(&get(&there, path).await).to_owned();
                assert!(status.ends_with("; detail=process"), "{status}");
            }

            let sent = alice.request(Method::POST, "/echo").header("host", "shop.example").body("x");
            assert_eq!(alice.send(sent).await.status(), 200);
            let changed_at = Instant::now();
            while is_hit(&get(&there, "/echo").await) {
                assert!(changed_at.elapsed() < Duration::from_secs(5), "the change doesn't arrive");
            }
            took.push(changed_at.elapsed());
            assert!(is_hit(&get(&there, "/headers").await), "nothing else is concerned");
        }

        took.sort();
        assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
    }
}

/// Its upstream was asked before the change, and may have answered with the state from before.
#[tokio::test]
async fn an_answer_that_is_on_its_way_while_the_unsafe_request_goes_well_is_not_served_again() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let mut upstream = ByHand::start().await;
        let yaml = format!(
            "upstreams: {{ odd: {{ servers: [\"{}\"] }} }}
routes: [{{ path: /page, upstream: odd, access: public, cache: {{ ttl: 1h, vary_by: shared, invalidate: true }} }}]",
            upstream.address()
        );
        let gw = harness::gateway(Setup::from(&*yaml).stores(&stores)).await;
        let ask = async |method| {
            let client = gw.anonymous();
            let answer = client.send(client.request(method, "/page").header("host", "shop.example")).await;
            answer.text().await.expect("a body")
        };
        let answer = |body: &str| {
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                .into_bytes()
        };
        let [done, before, after] = ["done", "before", "after"].map(answer);
        let changing = async {
            let mut first = upstream.request().await;
            let (changed, ()) = tokio::join!(ask(Method::DELETE), upstream.answer(&done));
            assert_eq!(changed, "done");
            first.write_all(&before).await.expect("the gateway listens");
        };
        assert_eq!(tokio::join!(ask(Method::GET), changing).0, "before");

        assert_eq!(tokio::join!(ask(Method::GET), upstream.answer(&after)).0, "after");
    }
}
