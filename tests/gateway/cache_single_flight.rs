//! One computation of a cached answer per fleet.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::harness::{self, Client, Gateway, Setup, Stores};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
const PRIVATE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncache-control: private\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

/// An upstream whose requests arrive here and are answered by the test.
async fn upstream() -> (SocketAddr, mpsc::UnboundedReceiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (arrived, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match connection.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            if arrived.send(connection).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

async fn pair(upstream: SocketAddr) -> (Gateway, Gateway) {
    let yaml = format!(
        "upstreams: {{ slow: {{ servers: [\"{upstream}\"] }} }}
routes: [{{ path: /page, upstream: slow, access: public, cache: {{ ttl: 1h, vary_by: shared }} }}]"
    );
    let stores = Stores::servers().await;
    let start = || harness::gateway(Setup::from(&*yaml).stores(&stores));
    (start().await, start().await)
}

async fn get(client: Client) -> Response {
    client.send(client.request(Method::GET, "/page").header("host", "shop.example")).await
}

#[tokio::test]
async fn two_hundred_requests_through_two_gateways_make_one_upstream_request() {
    let (address, mut requests) = upstream().await;
    let (one, other) = pair(address).await;
    let asking: Vec<_> = (0..200)
        .map(|number| tokio::spawn(get(if number % 2 == 0 { one.anonymous() } else { other.anonymous() })))
        .collect();

    let mut first = requests.recv().await.expect("a request");
    // The others have come as far as they will when both gateways are busy with all of them.
    harness::eventually("all requests to arrive", async || {
        let (one, other) = (one.metrics().await, other.metrics().await);
        let in_flight = |metrics: &harness::Metrics| metrics.value("http_requests_in_flight", &[]);
        (in_flight(&one) == Some(100.0) && in_flight(&other) == Some(100.0)).then_some(())
    })
    .await;
    first.write_all(ANSWER).await.expect("the gateway listens");

    let mut collapsed = 0;
    for answer in asking {
        let answer = answer.await.expect("no panic");
        assert_eq!(answer.status(), 200);
        collapsed +=
            u32::from(answer.headers()["cache-status"].to_str().expect("ASCII").contains("collapsed"));
        assert_eq!(answer.text().await.expect("a body"), "hello");
    }
    assert!(requests.try_recv().is_err(), "a second upstream request");
    assert!(collapsed >= 100, "{collapsed}");
}

#[tokio::test]
async fn a_gateway_that_dies_while_it_computes_holds_the_others_up_for_one_lease() {
    let (address, mut requests) = upstream().await;
    let (one, other) = pair(address).await;
    let lost = tokio::spawn(get(one.anonymous()));
    let _never_answered = requests.recv().await.expect("a request");
    let waiting = tokio::spawn(get(other.anonymous()));

    one.signal("KILL");
    let killed_at = Instant::now();
    let mut second = requests.recv().await.expect("the other one computes");
    second.write_all(ANSWER).await.expect("the gateway listens");

    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("a body")), (200, "hello".into()));
    assert!(killed_at.elapsed() < Duration::from_secs(10), "{:?}", killed_at.elapsed());
    lost.abort();
}

#[tokio::test]
async fn nobody_waits_in_line_for_what_is_not_kept() {
    let (address, mut requests) = upstream().await;
    let (one, other) = pair(address).await;
    let asking: Vec<_> = (0..6)
        .map(|n| tokio::spawn(get(if n % 2 == 0 { one.anonymous() } else { other.anonymous() })))
        .collect();

    let mut first = requests.recv().await.expect("a request");
    first.write_all(PRIVATE).await.expect("the gateway listens");
    // All others come before any of them is answered.
    let mut others = Vec::new();
    for number in 0..4 {
        others.push(requests.recv().await.unwrap_or_else(|| panic!("request {number}")));
        if number < 2 {
            // At most one per gateway finds out for the others of its process.
            others.pop().expect("just pushed").write_all(PRIVATE).await.expect("the gateway listens");
        }
    }
    for mut connection in others {
        connection.write_all(PRIVATE).await.expect("the gateway listens");
    }
    let answer_rest = tokio::spawn(async move {
        while let Some(mut connection) = requests.recv().await {
            connection.write_all(PRIVATE).await.expect("the gateway listens");
        }
    });

    for answer in asking {
        assert_eq!(answer.await.expect("no panic").status(), 200);
    }
    answer_rest.abort();
}
