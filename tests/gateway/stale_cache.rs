//! The response cache when an answer has gone stale, or never came whole.

use std::net::SocketAddr;
use std::time::Instant;

use reqwest::Response;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{self, Gateway, Reason, Setup, Stores, eventually};

const CACHED: &str = "
    limits:
      thousand: { rate: 1000/1h, by: address }
    routes:
      - path: /expensive
        upstream: example
        access: public
        limits: [thousand]
        cache: { ttl: 1s, vary_by: shared, stale_while_revalidate: 1h }
      - { path: /secure/data, upstream: example, access: public, cache: { ttl: 1s, vary_by: shared, stale_if_error: 1h } }
      - { path: /questions/topics, upstream: example, access: public, cache: { ttl: 1s, vary_by: shared } }
";

async fn on_every_store(setup: impl Fn() -> Setup) -> [Gateway; 2] {
    [harness::gateway(setup()).await, harness::gateway(setup().stores(&Stores::servers().await)).await]
}

fn outcome(response: &Response) -> &str {
    let status =
        response.headers()["cache-status"].to_str().expect("ASCII").trim_start_matches("portcullis; ");
    if status.starts_with("hit; ttl=") { "hit" } else { status }
}

async fn computation(response: Response) -> u64 {
    let body: Value = response.json().await.expect("JSON");
    body["computation"].as_u64().expect("a number")
}

/// An upstream that gives these answers, one connection each, and then the last one again.
async fn upstream_saying(answers: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut answers = answers.iter();
        let mut answer = &"";
        while let Ok((mut connection, _)) = listener.accept().await {
            answer = answers.next().unwrap_or(answer);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match connection.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            // The gateway may have gone away; the test will tell.
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn in_front_of(address: SocketAddr, cache: &str) -> Setup {
    let yaml = format!(
        "upstreams: {{ odd: {{ servers: [\"{address}\"] }} }}
routes: [{{ path: /page, upstream: odd, access: public, cache: {{ vary_by: shared, {cache} }} }}]"
    );
    Setup::from(&*yaml)
}

#[tokio::test]
async fn a_stale_answer_serves_while_it_is_computed_anew_and_nobody_pays_for_that() {
    for gw in on_every_store(|| CACHED.into()).await {
        let client = gw.anonymous();
        let mut sent = 1;
        assert_eq!(computation(client.get("/expensive").await).await, 1);

        let stale = eventually("a stale answer", async || {
            sent += 1;
            let answer = client.get("/expensive").await;
            outcome(&answer).starts_with("hit; detail=stale").then_some(answer)
        })
        .await;
        assert_eq!((stale.status().as_u16(), computation(stale).await), (200, 1));
        eventually("the next computation", async || {
            sent += 1;
            (computation(client.get("/expensive").await).await > 1).then_some(())
        })
        .await;

        let last = client.get("/expensive").await;
        let remaining = format!("\"thousand\";r={};", 1000 - sent - 1);
        let standing = last.headers()["ratelimit"].to_str().expect("ASCII");
        assert!(standing.starts_with(&remaining), "{remaining} {standing}");
    }
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_a_dead_upstream_where_the_route_allows() {
    for gw in on_every_store(|| CACHED.into()).await {
        let client = gw.anonymous();
        for path in ["/secure/data", "/questions/topics"] {
            assert_eq!(client.get(path).await.status(), 200);
        }
        gw.upstream().kill();

        let stale = eventually("a stale answer", async || {
            let answer = client.get("/secure/data").await;
            (outcome(&answer) != "hit").then_some(answer)
        })
        .await;
        assert_eq!((stale.status().as_u16(), outcome(&stale)), (200, "hit; detail=stale"));
        eventually("the refusal of a route that doesn't", async || {
            (client.get("/questions/topics").await.reason() == Some("upstream_unreachable")).then_some(())
        })
        .await;

        gw.upstream().restart().await;
        eventually("a fresh answer", async || {
            (outcome(&client.get("/secure/data").await) == "fwd=stale; stored").then_some(())
        })
        .await;
        assert_eq!(client.get("/questions/topics").await.status(), 200);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_nothing_behind() {
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n20\r\nhalf",
        "HTTP/1.1 200 OK\r\ncontent-length: 4",
        "",
    ] {
        const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole";
        let answers: &'static [&'static str] = Box::leak(Box::new([broken, WHOLE]));
        for stores in [Stores::Embedded, Stores::servers().await] {
            let address = upstream_saying(answers).await;
            let gw = harness::gateway(in_front_of(address, "ttl: 1h").stores(&stores)).await;
            let client = gw.anonymous();
            let first = client.request(reqwest::Method::GET, "/page").send().await;
            let is_whole = match first {
                Ok(answer) => answer.status() == 200 && answer.bytes().await.is_ok(),
                Err(_) => false,
            };
            assert!(!is_whole, "{broken:?} passed for a whole answer");

            let second = client.get("/page").await;

            assert_ne!(outcome(&second), "hit", "{broken:?}");
            assert_eq!(second.text().await.expect("a body"), "whole");
            assert_eq!(outcome(&client.get("/page").await), "hit");
        }
    }
}

#[tokio::test]
async fn a_stale_answer_that_the_upstream_confirms_is_fresh_again() {
    const ANSWERS: &[&str] = &[
        "HTTP/1.1 200 OK\r\netag: \"v1\"\r\nx-said: first\r\ncache-control: max-age=1\r\ncontent-length: 3\r\n\r\none",
        "HTTP/1.1 304 Not Modified\r\netag: \"v1\"\r\nx-said: later\r\ncache-control: max-age=3600\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo",
    ];
    for stores in [Stores::Embedded, Stores::servers().await] {
        let setup = in_front_of(upstream_saying(ANSWERS).await, "ttl: 1h");
        let gw = harness::gateway(setup.stores(&stores)).await;
        let client = gw.anonymous();
        assert_eq!(outcome(&client.get("/page").await), "fwd=uri-miss; stored");

        let (confirmed, asked) = eventually("the answer's time to be over", async || {
            let asked = Instant::now();
            let answer = client.get("/page").await;
            (outcome(&answer) != "hit").then_some((answer, asked))
        })
        .await;

        assert_eq!(outcome(&confirmed), "hit; fwd=stale; fwd-status=304");
        assert_eq!(confirmed.headers()["x-said"], "later", "a 304 updates what is stored");
        assert_eq!(
            (confirmed.status().as_u16(), confirmed.text().await.expect("a body")),
            (200, "one".into())
        );
        let after = client.get("/page").await;
        assert_eq!(after.headers()["x-said"], "later");
        let age: u64 = after.headers()["age"].to_str().expect("ASCII").parse().expect("a number");
        assert!(age <= asked.elapsed().as_secs(), "it ages anew since it was confirmed: {age}");
        assert_eq!(
            (outcome(&after), &after.headers()["cache-control"]),
            ("hit", &"max-age=3600".parse().expect("ASCII"))
        );
    }
}

#[tokio::test]
async fn class_80_a_failing_upstream_does_not_replace_what_is_stored() {
    const ANSWERS: &[&str] = &[
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nevil",
    ];
    for stores in [Stores::Embedded, Stores::servers().await] {
        let setup = in_front_of(upstream_saying(ANSWERS).await, "ttl: 1s, stale_if_error: 1h");
        let gw = harness::gateway(setup.stores(&stores)).await;
        let client = gw.anonymous();
        client.get("/page").await;

        let stale = eventually("the answer's time to be over", async || {
            let answer = client.get("/page").await;
            (outcome(&answer) != "hit").then_some(answer)
        })
        .await;

        assert_eq!(outcome(&stale), "hit; detail=stale");
        assert_eq!(stale.text().await.expect("a body"), "good");
    }
}
