//! Bodies of several MiB: kept in parts, given out as they are read, and never half of one for the whole.

use std::net::SocketAddr;

use reqwest::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{self, ByHand, Client, Gateway, Setup, Stores, eventually};
use crate::servers::redis::Redis;
use crate::servers::redis_cluster::BorrowedCluster;

const MIB: usize = 1 << 20;
/// More than the sockets between gateway and client take, so that the gateway can't be done with it.
const ENDLESS: usize = 32 * MIB;

/// Bytes that tell where they stand and which body they are of.
fn body(of: u8, length: usize) -> Vec<u8> {
    (0..length.div_ceil(8))
        .flat_map(|word| (((word as u64) << 8) | u64::from(of)).to_be_bytes())
        .take(length)
        .collect()
}

/// With a length in front, or in chunks.
fn answer(body: &[u8], has_length: bool) -> Vec<u8> {
    if has_length {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    }
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".to_vec();
    for chunk in body.chunks(50_000) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

fn setup(upstream: SocketAddr, stores: &Stores) -> Setup {
    let yaml = format!(
        "upstreams: {{ big: {{ servers: [\"{upstream}\"] }} }}
routes: [{{ path: /page, upstream: big, access: public, cache: {{ ttl: 1h, vary_by: shared, max_size: 64MiB }} }}]"
    );
    Setup::from(&*yaml).stores(stores)
}

fn request(client: &Client, method: Method) -> reqwest::RequestBuilder {
    client.request(method, "/page").header("host", "shop.example")
}

async fn get(client: &Client) -> Response {
    client.send(request(client, Method::GET)).await
}

fn status(response: &Response) -> &str {
    response.headers()["cache-status"].to_str().expect("ASCII").trim_start_matches("portcullis; ")
}

fn is_hit(response: &Response) -> bool {
    status(response).starts_with("hit; ttl=")
}

/// Puts this body into the cache.
async fn fill(upstream: &mut ByHand, client: &Client, body: &[u8], has_length: bool) {
    let answer = answer(body, has_length);
    let reading = async {
        let first = get(client).await;
        assert!(status(&first).ends_with("stored"), "{first:?}");
        assert!(first.bytes().await.expect("a whole body") == body);
    };
    tokio::join!(reading, upstream.answer(&answer));
}

/// The names of all keys that hold answers or parts of them.
fn kept(redis: &Redis, pattern: &str) -> Vec<String> {
    redis.ask(&["KEYS", pattern]).expect("it runs")
}

const PARTS: &str = "portcullis:cache:part:*";
/// Neither parts nor locks.
const ANSWERS: &str = "portcullis:cache:[0-9a-f][0-9a-f]*";

#[tokio::test]
async fn a_long_body_is_given_out_whole_and_by_ranges_from_every_store() {
    let cluster = BorrowedCluster::take();
    let on_cluster = Stores::on_redis(cluster.url()).await;
    for stores in [Stores::Embedded, Stores::servers().await, on_cluster] {
        for has_length in [true, false] {
            let mut upstream = ByHand::start().await;
            let gw = harness::gateway(setup(upstream.address(), &stores)).await;
            let (client, body) = (gw.anonymous(), body(u8::from(has_length), 3 * MIB + 5));
            let purged = gw.cli(&["cache", "purge", "--everything", "--config", "gateway.yaml"]);
            assert!(purged.status.success(), "{purged:?}");
            fill(&mut upstream, &client, &body, has_length).await;

            let whole = get(&client).await;
            assert!(is_hit(&whole), "{whole:?}");
            assert!(whole.bytes().await.expect("a whole body") == body);
            let head = client.send(request(&client, Method::HEAD)).await;
            assert!(is_hit(&head) && head.bytes().await.expect("none").is_empty());
            let last = body.len() - 1;
            for (range, from, to) in [
                ("bytes=0-0".to_owned(), 0, 0),
                ("bytes=262143-262144".to_owned(), 262_143, 262_144),
                ("bytes=100000-900000".to_owned(), 100_000, 900_000),
                ("bytes=-6".to_owned(), last - 5, last),
                (format!("bytes={last}-"), last, last),
            ] {
                let part = client.send(request(&client, Method::GET).header("range", &range)).await;
                assert_eq!(part.status(), 206, "{range}");
                assert!(is_hit(&part), "{range}: {part:?}");
                assert!(part.bytes().await.expect("a whole part") == body[from..=to], "{range}");
            }
            assert!(upstream.is_idle());
        }
    }
}

#[tokio::test]
async fn two_gateways_share_a_long_body() {
    let (stores, mut upstream) = (Stores::servers().await, ByHand::start().await);
    let one = harness::gateway(setup(upstream.address(), &stores)).await;
    let other = harness::gateway(setup(upstream.address(), &stores)).await;
    let body = body(1, 5 * MIB);
    fill(&mut upstream, &one.anonymous(), &body, true).await;

    let hit = get(&other.anonymous()).await;

    assert!(is_hit(&hit), "{hit:?}");
    assert!(hit.bytes().await.expect("a whole body") == body);
}

/// A client that reads no more than it is told to.
struct SlowReader(TcpStream);

impl SlowReader {
    /// Has read the head and this much of the body, or of its chunks.
    async fn ask(gw: &Gateway, first: usize) -> Self {
        let mut connection = TcpStream::connect(gw.address()).await.expect("the gateway listens");
        let request = b"GET /page HTTP/1.1\r\nhost: shop.example\r\n\r\n";
        connection.write_all(request).await.expect("the gateway reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        assert!(head.contains("cache-status: portcullis; hit; ttl="), "{head}");
        let mut reader = Self(connection);
        reader.0.read_exact(&mut vec![0; first]).await.expect("the first bytes");
        reader
    }

    /// All that still comes, until the connection ends.
    async fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let reading = self.0.read_to_end(&mut rest);
        // A reset is an end, too.
        let _ = tokio::time::timeout(harness::PATIENCE, reading).await.expect("it neither sends nor closes");
        rest
    }
}

#[tokio::test]
async fn a_client_has_the_first_bytes_before_the_last_part_is_read_and_no_end_if_that_is_gone() {
    for has_length in [true, false] {
        let (redis, mut upstream) = (Redis::start(), ByHand::start().await);
        let gw = harness::gateway(setup(upstream.address(), &Stores::on_redis(redis.url()).await)).await;
        let (client, body) = (gw.anonymous(), body(7, ENDLESS));
        until_it_hits(&mut upstream, &client, &body, has_length).await;
        let reader = SlowReader::ask(&gw, MIB).await;

        let last = kept(&redis, &format!("{PARTS}:{}", ENDLESS / (256 << 10) - 1));
        assert_eq!(last.len(), 1, "{last:?}");
        assert_eq!(redis.ask::<u64>(&["DEL", &last[0]]), Some(1));
        let rest = reader.rest().await;

        assert!(rest.len() < ENDLESS - MIB, "the whole body came");
        assert!(!rest.ends_with(b"0\r\n\r\n"), "it ended as if it were whole");
        fill(&mut upstream, &client, &body, has_length).await;
        assert!(get(&client).await.bytes().await.expect("a whole body") == body);
    }
}

#[tokio::test]
async fn over_http_2_too_a_body_that_can_not_be_read_to_its_end_is_an_error() {
    let (redis, mut upstream) = (Redis::start(), ByHand::start().await);
    let setup = setup(upstream.address(), &Stores::on_redis(redis.url()).await).tls();
    let gw = harness::gateway(setup).await;
    let (client, body) = (gw.anonymous_over_tls(), body(7, ENDLESS));
    let answer = answer(&body, true);
    let reading = async { client.get("/page").await.bytes().await.expect("a whole body") == body };
    assert!(tokio::join!(reading, upstream.answer(&answer)).0);
    let mut hit = client.get("/page").await;
    assert!(is_hit(&hit) && hit.version() == reqwest::Version::HTTP_2, "{hit:?}");
    assert!(hit.chunk().await.expect("the first bytes").is_some());

    let last = kept(&redis, &format!("{PARTS}:{}", ENDLESS / (256 << 10) - 1));
    assert_eq!(redis.ask::<u64>(&["DEL", &last[0]]), Some(1));

    assert!(hit.bytes().await.is_err());
}

#[tokio::test]
async fn an_upstream_that_dies_in_the_middle_of_a_long_body_leaves_nothing_behind() {
    for has_length in [true, false] {
        let (redis, mut upstream) = (Redis::start(), ByHand::start().await);
        let gw = harness::gateway(setup(upstream.address(), &Stores::on_redis(redis.url()).await)).await;
        let (client, body) = (gw.anonymous(), body(3, 4 * MIB));
        let whole = answer(&body, has_length);

        let reading = async { get(&client).await.bytes().await };
        let (broken, ()) = tokio::join!(reading, upstream.answer(&whole[..3 * MIB]));
        assert!(broken.is_err(), "half a body passed for a whole one");

        assert_eq!(kept(&redis, ANSWERS), Vec::<String>::new());
        eventually("the parts to be gone", async || kept(&redis, PARTS).is_empty().then_some(())).await;
        fill(&mut upstream, &client, &body, has_length).await;
        assert!(is_hit(&get(&client).await));
    }
}

#[tokio::test]
async fn a_gateway_that_dies_while_it_keeps_a_long_body_leaves_no_answer_behind() {
    let (redis, mut upstream) = (Redis::start(), ByHand::start().await);
    let stores = Stores::on_redis(redis.url()).await;
    let one = harness::gateway(setup(upstream.address(), &stores)).await;
    let other = harness::gateway(setup(upstream.address(), &stores)).await;
    let (body, client) = (body(4, 4 * MIB), one.anonymous());
    let whole = answer(&body, true);
    let asking = tokio::spawn(async move { get(&client).await.bytes().await });
    let mut connection = upstream.request().await;
    connection.write_all(&whole[..3 * MIB]).await.expect("the gateway listens");
    eventually("some parts", async || (kept(&redis, PARTS).len() >= 8).then_some(())).await;

    one.signal("KILL");

    assert!(asking.await.expect("no panic").is_err());
    assert_eq!(kept(&redis, ANSWERS), Vec::<String>::new());
    let client = other.anonymous();
    fill(&mut upstream, &client, &body, true).await;
    assert!(get(&client).await.bytes().await.expect("a whole body") == body);
}

#[tokio::test]
async fn a_redis_killed_while_a_long_body_is_kept_costs_the_client_nothing() {
    let (redis, mut upstream) = (Redis::start_durable(), ByHand::start().await);
    let gw = harness::gateway(setup(upstream.address(), &Stores::on_redis(redis.url()).await)).await;
    let (client, body) = (gw.anonymous(), body(5, 4 * MIB));
    let whole = answer(&body, true);

    let killing = async {
        let mut connection = upstream.request().await;
        connection.write_all(&whole[..3 * MIB]).await.expect("the gateway listens");
        eventually("some parts", async || (kept(&redis, PARTS).len() >= 8).then_some(())).await;
        redis.kill();
        connection.write_all(&whole[3 * MIB..]).await.expect("the gateway listens");
    };
    let reading = async { get(&client).await.bytes().await.expect("a whole body") };
    let (answered, ()) = tokio::join!(reading, killing);
    assert!(answered == body);

    redis.restart();
    assert_eq!(kept(&redis, ANSWERS), Vec::<String>::new(), "its parts may have survived");
    until_it_hits(&mut upstream, &client, &body, true).await;
}

#[tokio::test]
async fn a_redis_killed_while_a_long_body_is_read_ends_it_with_an_error_and_the_next_request_works() {
    let (redis, mut upstream) = (Redis::start(), ByHand::start().await);
    let gw = harness::gateway(setup(upstream.address(), &Stores::on_redis(redis.url()).await)).await;
    let (client, body) = (gw.anonymous(), body(6, ENDLESS));
    let whole = answer(&body, true);
    until_it_hits(&mut upstream, &client, &body, true).await;
    let reader = SlowReader::ask(&gw, MIB).await;

    redis.kill();
    let rest = reader.rest().await;
    assert!(rest.len() < ENDLESS - MIB, "the whole body came");
    assert!(rest == body[MIB..][..rest.len()], "what came was right");

    let reading = async {
        let without = get(&client).await;
        assert_eq!(status(&without), "fwd=bypass; detail=store-unavailable");
        assert!(without.bytes().await.expect("a whole body") == body);
    };
    tokio::join!(reading, upstream.answer(&whole));
    redis.restart();
    until_it_hits(&mut upstream, &client, &body, true).await;
}

/// A gateway that has lost Redis, or waited for it in vain, tries again after a moment. Every answer until then
/// is whole, too.
async fn until_it_hits(upstream: &mut ByHand, client: &Client, body: &[u8], has_length: bool) {
    let whole = answer(body, has_length);
    let answering = async {
        loop {
            upstream.answer(&whole).await;
        }
    };
    let asking = eventually("the cache to be used again", async || {
        let answer = get(client).await;
        let is_hit = is_hit(&answer);
        assert!(answer.bytes().await.expect("a whole body") == body);
        is_hit.then_some(())
    });
    tokio::select! {
        () = answering => {}
        () = asking => {}
    }
}
