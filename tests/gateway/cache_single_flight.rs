//! One computation of a cached answer per fleet.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use tokio::io::AsyncWriteExt;

use crate::harness::{self, ByHand, Client, Gateway, Setup, Stores};
use crate::servers::redis_cluster::BorrowedCluster;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
const PRIVATE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncache-control: private\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

async fn pair(upstream: SocketAddr, stores: &Stores) -> (Gateway, Gateway) {
    let yaml = format!(
        "upstreams: {{ slow: {{ servers: [\"{upstream}\"] }} }}
routes: [{{ path: /page, upstream: slow, access: public, cache: {{ ttl: 1h, vary_by: shared }} }}]"
    );
    let start = || harness::gateway(Setup::from(&*yaml).stores(stores));
    (start().await, start().await)
}

async fn get(client: Client) -> Response {
    client.send(client.request(Method::GET, "/page").header("host", "shop.example")).await
}

/// Until the gateways are busy with so many each, which have come as far as they will by then.
async fn until_in_flight(requests: f64, gateways: [&Gateway; 2]) {
    for gateway in gateways {
        harness::eventually("all requests to arrive", async || {
            let in_flight = gateway.metrics().await.value("http_requests_in_flight", &[]);
            (in_flight == Some(requests)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn two_hundred_requests_through_two_gateways_make_one_upstream_request() {
    two_hundred_requests(&Stores::servers().await).await;
}

#[tokio::test]
async fn two_hundred_requests_make_one_upstream_request_on_a_cluster() {
    let cluster = BorrowedCluster::take();
    two_hundred_requests(&Stores::on_redis(cluster.url()).await).await;
}

async fn two_hundred_requests(stores: &Stores) {
    let mut upstream = ByHand::start().await;
    let (one, other) = pair(upstream.address(), stores).await;
    let asking: Vec<_> = (0..200)
        .map(|number| tokio::spawn(get(if number % 2 == 0 { one.anonymous() } else { other.anonymous() })))
        .collect();

    let mut first = upstream.request().await;
    until_in_flight(100.0, [&one, &other]).await;
    first.write_all(ANSWER).await.expect("the gateway listens");

    let mut collapsed = 0;
    for answer in asking {
        let answer = answer.await.expect("no panic");
        assert_eq!(answer.status(), 200);
        collapsed +=
            u32::from(answer.headers()["cache-status"].to_str().expect("ASCII").contains("collapsed"));
        assert_eq!(answer.text().await.expect("a body"), "hello");
    }
    assert!(upstream.is_idle(), "a second upstream request");
    assert!(collapsed >= 100, "{collapsed}");
}

#[tokio::test]
async fn a_gateway_that_dies_while_it_computes_holds_the_others_up_for_one_lease() {
    let mut upstream = ByHand::start().await;
    let (one, other) = pair(upstream.address(), &Stores::servers().await).await;
    let lost = tokio::spawn(get(one.anonymous()));
    let _never_answered = upstream.request().await;
    let waiting = tokio::spawn(get(other.anonymous()));

    one.signal("KILL");
    let killed_at = Instant::now();
    let mut second = upstream.request().await;
    second.write_all(ANSWER).await.expect("the gateway listens");

    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("a body")), (200, "hello".into()));
    assert!(killed_at.elapsed() < Duration::from_secs(10), "{:?}", killed_at.elapsed());
    lost.abort();
}

#[tokio::test]
async fn an_answer_that_is_not_kept_is_computed_for_each_who_waited() {
    let mut upstream = ByHand::start().await;
    let (one, other) = pair(upstream.address(), &Stores::servers().await).await;
    let asking: Vec<_> = (0..6)
        .map(|number| tokio::spawn(get(if number % 2 == 0 { one.anonymous() } else { other.anonymous() })))
        .collect();

    let mut first = upstream.request().await;
    until_in_flight(3.0, [&one, &other]).await;
    first.write_all(PRIVATE).await.expect("the gateway listens");
    for _ in 1..6 {
        let mut next = upstream.request().await;
        next.write_all(PRIVATE).await.expect("the gateway listens");
    }

    for answer in asking {
        assert_eq!(answer.await.expect("no panic").status(), 200);
    }
    assert!(upstream.is_idle(), "one upstream request each");
}
