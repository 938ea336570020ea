//! The response cache while things die under load: every answer is right or says clearly that there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::harness::{self, ByHand, Client, Gateway, Reason, Setup, Stores, eventually};
use crate::servers::redis::Redis;

const CACHED: &str = "
    routes:
      - { path: /echo, upstream: example, access: public, cache: { ttl: 1s, vary_by: shared, stale_while_revalidate: 1s } }
";
const CLIENTS: u64 = 8;
const TARGETS: u64 = 20;

#[derive(Default)]
struct Seen {
    right: AtomicU64,
    from_the_cache: AtomicU64,
    refused: AtomicU64,
}

/// Asks for one target after the other, and looks at what each answer says that it is for.
async fn ask_until(is_over: &AtomicBool, client: &Client, first: u64, seen: &Seen) {
    for number in first.. {
        if is_over.load(Ordering::Acquire) {
            return;
        }
        let target = format!("/echo?target={}", number % TARGETS);
        let answer = client.send(client.request(Method::GET, &target).header("host", "shop.example")).await;
        if answer.status() != 200 {
            assert!(answer.status().as_u16() >= 500 && answer.reason().is_some(), "{answer:?}");
            seen.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let is_hit = answer.headers()["cache-status"].as_bytes().starts_with(b"portcullis; hit");
        let echo: Value = answer.json().await.expect("a whole answer");
        assert_eq!(echo["target"], target, "somebody else's answer");
        seen.right.fetch_add(1, Ordering::Relaxed);
        seen.from_the_cache.fetch_add(u64::from(is_hit), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_and_goes_under_load_never_mixes_answers_up() {
    let redis = Redis::start();
    let stores = Stores::on_redis(redis.url()).await;
    let one = harness::gateway(Setup::from(CACHED).stores(&stores)).await;
    let other = harness::gateway(Setup::from(CACHED).stores(&stores).upstream(one.upstream())).await;
    let (is_over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Seen::default()));
    let asking: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = if number % 2 == 0 { one.anonymous() } else { other.anonymous() };
            let (is_over, seen) = (is_over.clone(), seen.clone());
            tokio::spawn(async move { ask_until(&is_over, &client, number, &seen).await })
        })
        .collect();
    let until_more = async |of: &AtomicU64, what: &str| {
        let before = of.load(Ordering::Relaxed);
        eventually(what, async || (of.load(Ordering::Relaxed) > before + 100).then_some(())).await;
    };

    for _ in 0..3 {
        until_more(&seen.from_the_cache, "hits").await;
        redis.kill();
        until_more(&seen.right, "answers without Redis").await;
        redis.restart();
    }
    redis.pause();
    until_more(&seen.right, "answers while Redis hangs").await;
    redis.resume();
    until_more(&seen.from_the_cache, "hits").await;
    is_over.store(true, Ordering::Release);

    for client in asking {
        client.await.expect("every answer was right");
    }
    assert_eq!(seen.refused.load(Ordering::Relaxed), 0, "nothing here needs Redis");
}

async fn get(client: Client) -> reqwest::Result<String> {
    let answer = client.request(Method::GET, "/page").header("host", "shop.example").send().await?;
    answer.error_for_status()?.text().await
}

async fn pair(upstream: &ByHand, stores: &Stores) -> [Gateway; 2] {
    let yaml = format!(
        "upstreams: {{ odd: {{ servers: [\"{}\"] }} }}
routes: [{{ path: /page, upstream: odd, access: public, cache: {{ ttl: 1h, vary_by: shared }} }}]",
        upstream.address()
    );
    let start = || harness::gateway(Setup::from(&*yaml).stores(stores));
    [start().await, start().await]
}

/// With a length and in chunks: whoever waited gets an answer of its own.
#[tokio::test]
async fn those_who_wait_for_an_upstream_that_dies_in_the_middle_of_a_body_get_a_whole_one() {
    for (half, whole) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n",
        ),
    ] {
        let mut upstream = ByHand::start().await;
        let [one, other] = pair(&upstream, &Stores::servers().await).await;
        let first = tokio::spawn(get(one.anonymous()));
        let mut dying = upstream.request().await;
        let waiting = [tokio::spawn(get(one.anonymous())), tokio::spawn(get(other.anonymous()))];
        for (gateway, requests) in [(&one, 2.0), (&other, 1.0)] {
            eventually("those who wait", async || {
                let in_flight = gateway.metrics().await.value("http_requests_in_flight", &[]);
                (in_flight == Some(requests)).then_some(())
            })
            .await;
        }

        dying.write_all(half.as_bytes()).await.expect("the gateway listens");
        drop(dying);

        assert!(first.await.expect("no panic").is_err(), "half a body passed for a whole one");
        let answering = async {
            loop {
                upstream.answer(whole.as_bytes()).await;
            }
        };
        let answered = async {
            for client in waiting {
                assert_eq!(client.await.expect("no panic").expect("an answer"), "whole");
            }
            assert_eq!(get(one.anonymous()).await.expect("an answer"), "whole");
        };
        tokio::select! {
            () = answering => {}
            () = answered => {}
        }
    }
}

const LOOKED_UP: &str = "
    routes:
      - { path: /headers, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: \"/status/{code}\", upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
";

/// `Cache-Status`, the status and the body.
async fn ask(client: Client, path: &str) -> (String, u16, String) {
    let answer = client.send(client.request(Method::GET, path).header("host", "shop.example")).await;
    let outcome = answer.headers()["cache-status"].to_str().expect("ASCII").to_owned();
    (outcome, answer.status().as_u16(), answer.text().await.expect("a whole body"))
}

#[tokio::test]
async fn a_redis_that_dies_or_hangs_while_an_answer_is_looked_up_costs_one_look_and_the_next_request_works() {
    for dies in [true, false] {
        let redis = Redis::start();
        let stores = Stores::on_redis(redis.url()).await;
        let one = harness::gateway(Setup::from(LOOKED_UP).stores(&stores)).await;
        let other = harness::gateway(Setup::from(LOOKED_UP).stores(&stores).upstream(one.upstream())).await;
        let failures = async || {
            other.metrics().await.value("store_errors_total", &["store=\"redis\""]).unwrap_or_default()
        };
        // The first is there, the second is never kept.
        for path in ["/headers?x-a=1", "/status/404"] {
            let (_, status, body) = ask(one.anonymous(), path).await;
            let before = failures().await;
            redis.pause();
            let client = other.anonymous();
            let looking = tokio::spawn(async move { ask(client, path).await });
            eventually("the request to come", async || {
                let in_flight = other.metrics().await.value("http_requests_in_flight", &[]);
                (in_flight == Some(1.0) || looking.is_finished()).then_some(())
            })
            .await;
            if dies {
                redis.kill();
            }

            let bypass = "portcullis; fwd=bypass; detail=store-unavailable";
            assert_eq!(looking.await.expect("no panic"), (bypass.to_owned(), status, body.clone()));
            if status == 404 {
                assert!(failures().await <= before + 1.0, "it was looked up twice");
            }
            let (_, next_status, next_body) = ask(other.anonymous(), path).await;
            assert_eq!((next_status, next_body), (status, body));

            if dies {
                redis.restart()
            } else {
                redis.resume()
            }
            eventually("the cache to be used again", async || {
                let (outcome, ..) = ask(other.anonymous(), "/headers?x-a=1").await;
                outcome.starts_with("portcullis; hit").then_some(())
            })
            .await;
        }
    }
}
