//! Which tier answers: what only Redis has comes from there by one question, and from the process after that.

use http::{HeaderMap, Request};
use reqwest::{Method, Response};

use crate::harness::{self, Client, Gateway, Http2, Setup, Stores, eventually};
use crate::servers::redis::Redis;
use crate::servers::redis_cluster::BorrowedCluster;

const CACHED: &str = "
    routes:
      - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, respect_client: true } }
      - { path: /headers, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: /echo, upstream: example, cache: { ttl: 1h, vary_by: user } }
";

async fn pair(stores: &Stores) -> [Gateway; 2] {
    let setup = || Setup::from(CACHED).stores(stores).tls();
    let one = harness::gateway(setup()).await;
    let other = harness::gateway(setup().upstream(one.upstream())).await;
    [one, other]
}

fn request(client: &Client, method: Method, path: &str) -> reqwest::RequestBuilder {
    client.request(method, path).header("host", "shop.example")
}

async fn get(client: &Client, path: &str) -> Response {
    client.send(request(client, Method::GET, path)).await
}

/// `redis` or `process` for a plain hit; otherwise what `Cache-Status` says of us.
fn tier(answer: &HeaderMap) -> &str {
    let status = answer["cache-status"].to_str().expect("ASCII");
    let status = status.strip_prefix("portcullis; ").expect("our name");
    let is_hit = status.starts_with("hit; ttl=");
    status.rsplit_once("; detail=").filter(|_| is_hit).map_or(status, |(_, tier)| tier)
}

#[tokio::test]
async fn what_another_gateway_has_stored_comes_from_redis_once_and_then_from_the_process() {
    let cluster = BorrowedCluster::take();
    for stores in [Stores::servers().await, Stores::on_redis(cluster.url()).await] {
        let [one, other] = pair(&stores).await;
        let first = get(&one.anonymous(), "/expensive").await;
        let kept = (first.headers()["content-type"].clone(), first.bytes().await.expect("a body"));

        for expected in ["redis", "process"] {
            let hit = get(&other.anonymous(), "/expensive").await;
            assert_eq!((hit.status().as_u16(), tier(hit.headers())), (200, expected));
            assert!(hit.headers().contains_key("age") && hit.headers().contains_key("x-request-id"));
            assert_eq!(hit.headers()["content-length"], kept.1.len().to_string());
            assert_eq!((hit.headers()["content-type"].clone(), hit.bytes().await.expect("a body")), kept);
        }

        let metrics = other.metrics().await;
        assert_eq!(metrics.value("cache_requests_total", &["outcome=\"hit\""]), Some(2.0));
        let line = other.logged(|line| line["origin"] == "cache").await;
        assert_eq!((&line["route"], &line["status"]), (&"/expensive".into(), &200.into()));
        assert_eq!(one.upstream_calls("/expensive").await, 1);
    }
}

#[tokio::test]
async fn clients_of_http_2_get_it_from_both_tiers_too() {
    let [one, other] = pair(&Stores::servers().await).await;
    let asked = |method: &str, path: &str| {
        let uri = format!("https://shop.example{path}");
        Request::builder().method(method).uri(uri).body(()).expect("a legal request")
    };
    let (here, there) = (Http2::open(&one).await, Http2::open(&other).await);
    for method in ["HEAD", "GET"] {
        let path = format!("/headers?x-a={method}");
        let first = here.get(asked("GET", &path)).await.expect("an answer");

        for expected in ["redis", "process"] {
            let hit = there.get(asked(method, &path)).await.expect("an answer");
            assert_eq!((hit.status().as_u16(), tier(hit.headers())), (200, expected), "{method}");
            assert_eq!(hit.headers()["content-length"], first.body().len().to_string());
            assert_eq!(hit.body().as_ref(), if method == "GET" { first.body().as_ref() } else { &b""[..] });
        }
    }
}

#[tokio::test]
async fn what_varies_belongs_to_another_or_is_declined_does_not_come_from_redis_unasked() {
    let [one, other] = pair(&Stores::servers().await).await;
    let in_language = async |gw: &Gateway, language: &str| {
        let client = gw.anonymous();
        let asked = request(&client, Method::GET, "/headers?vary=accept-language&x-a=1");
        tier(client.send(asked.header("accept-language", language)).await.headers()).to_owned()
    };
    for language in ["de", "en"] {
        assert_eq!(in_language(&one, language).await, "fwd=uri-miss; stored");
    }
    // German was there first, so it is found on the way to the others.
    for (language, expected) in [("en", "redis"), ("de", "process"), ("fr", "fwd=uri-miss; stored")] {
        assert_eq!(in_language(&other, language).await, expected, "{language}");
    }

    let (alice, bob) = (one.register("alice").await, one.register("bob").await);
    get(&alice, "/echo").await;
    for (client, expected) in [(&bob, "fwd=uri-miss; stored"), (&alice, "redis")] {
        let there = other.client(client.username());
        there.set_token(Some(client.token()));
        assert_eq!(tier(get(&there, "/echo").await.headers()), expected, "{}", client.username());
    }

    get(&one.anonymous(), "/expensive").await;
    let client = other.anonymous();
    let declining = request(&client, Method::GET, "/expensive").header("cache-control", "no-cache");
    assert_eq!(tier(client.send(declining).await.headers()), "fwd=request; stored");
}

/// How often answers were looked for, and those who compute one looked whether it is still theirs.
fn looks(redis: &Redis) -> u64 {
    let calls = redis.calls();
    let count = |name: &str| calls.get(name).copied().unwrap_or_default();
    // Who computes for long looks at each renewal.
    count("get") - count("pexpire")
}

#[tokio::test]
async fn a_hit_asks_redis_once_and_a_miss_no_more_often_than_single_flight_does() {
    let redis = Redis::start();
    let [one, other] = pair(&Stores::on_redis(redis.url()).await).await;
    let before = looks(&redis);

    get(&one.anonymous(), "/expensive").await;
    let ended = async || (redis.calls().get("del").copied() >= Some(1)).then_some(());
    eventually("the computation to be given back", ended).await;
    // Before and after it was taken, and whose it was at the end.
    assert_eq!(looks(&redis) - before, 3);

    assert_eq!(tier(get(&other.anonymous(), "/expensive").await.headers()), "redis");
    assert_eq!(looks(&redis) - before, 4);
}
