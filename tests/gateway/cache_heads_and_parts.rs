//! Requests for less than a whole answer: heads, ranges and conditions, while nothing is stored. They leave neither a
//! broken entry nor a lock behind, and the upstream isn't made to send what nobody gets.

use std::net::SocketAddr;

use reqwest::{Method, Response};
use tokio::io::AsyncWriteExt;

use crate::harness::{self, ByHand, Client, Gateway, Setup, Stores, Wiretap};

const BODY: usize = 300_000;

fn setup(upstream: SocketAddr, stores: &Stores) -> Setup {
    let yaml = format!(
        "upstreams: {{ odd: {{ servers: [\"{upstream}\"] }} }}
routes: [{{ path: /big, upstream: odd, access: public, cache: {{ ttl: 1h, vary_by: shared, max_size: 400KB }} }}]"
    );
    Setup::from(&*yaml).stores(stores)
}

fn status(response: &Response) -> &str {
    response.headers()["cache-status"].to_str().expect("ASCII").trim_start_matches("portcullis; ")
}

fn is_hit(response: &Response) -> bool {
    status(response).starts_with("hit; ttl=")
}

async fn with_range(client: &Client, path: &str, range: &str) -> Response {
    client.send(client.request(Method::GET, path).header("range", range)).await
}

/// In front of upstream-example; the second is the gateway.
async fn tapped(stores: &Stores) -> (Wiretap, Gateway) {
    let backend = harness::Upstream::start().await;
    let tap = Wiretap::before(backend.address()).await;
    let backend = std::sync::Arc::new(backend);
    let gw = harness::gateway(setup(tap.address(), stores).upstream(&backend)).await;
    (tap, gw)
}

#[tokio::test]
async fn heads_go_on_as_heads_and_the_next_get_is_stored_at_once() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let (tap, gw) = tapped(&stores).await;
        let client = gw.anonymous();
        let path = format!("/big?bytes={BODY}");

        for _ in 0..5 {
            let head = client.send(client.request(Method::HEAD, &path)).await;
            assert_eq!((head.status().as_u16(), status(&head)), (200, "fwd=bypass"));
        }
        let heard = tap.heard().concat();
        assert_eq!((heard.matches("HEAD /big").count(), heard.matches("GET /big").count()), (5, 0));

        assert_eq!(client.get(&path).await.bytes().await.expect("a body").len(), BODY);
        assert!(is_hit(&client.get(&path).await));
        let head = client.send(client.request(Method::HEAD, &path)).await;
        assert!(is_hit(&head), "{head:?}");
        assert!(!gw.log().contains("panicked"), "{}", gw.log());
    }
}

#[tokio::test]
async fn a_range_of_what_is_not_stored_goes_on_as_it_is() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let (tap, gw) = tapped(&stores).await;
        let client = gw.anonymous();
        let path = format!("/big?bytes={BODY}");

        let part = with_range(&client, &path, "bytes=5-9").await;
        // This upstream knows no ranges.
        assert_eq!((part.status().as_u16(), status(&part)), (200, "fwd=bypass"));
        assert_eq!(part.bytes().await.expect("a body").len(), BODY);
        assert!(tap.heard().concat().contains("range: bytes=5-9"));

        let whole = with_range(&client, &path, "bytes=0-").await;
        assert_eq!(status(&whole), "fwd=uri-miss; stored");
        assert_eq!(whole.bytes().await.expect("a body").len(), BODY);
        for (range, expected) in
            [("bytes=5-9", 206), ("bytes=-0", 416), ("bytes=-1", 206), ("bytes=2-3,-0", 206)]
        {
            let part = with_range(&client, &path, range).await;
            assert_eq!((part.status().as_u16(), is_hit(&part)), (expected, true), "{range}");
            let said = part.headers()["content-range"].to_str().expect("ASCII").to_owned();
            assert_eq!(said == format!("bytes */{BODY}"), expected == 416, "{range}: {said}");
        }
        assert!(!gw.log().contains("panicked"), "{}", gw.log());
    }
}

/// Whoever asks for what it has already gets it once more, so that it can be stored for others.
#[tokio::test]
async fn a_condition_that_holds_does_not_keep_the_answer_from_being_stored() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let mut upstream = ByHand::start().await;
        let gw = harness::gateway(setup(upstream.address(), &stores)).await;
        let client = gw.anonymous();
        let conditional =
            || client.send(client.request(Method::GET, "/big").header("if-none-match", "\"v1\""));
        let answer = async {
            let mut connection = upstream.request().await;
            let head = format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {BODY}\r\n\r\n");
            connection.write_all(head.as_bytes()).await.expect("the gateway listens");
            connection.write_all(&vec![b'x'; BODY]).await.expect("the gateway listens to the end");
        };

        let (first, ()) = tokio::join!(conditional(), answer);

        assert_eq!((first.status().as_u16(), status(&first)), (200, "fwd=uri-miss; stored"));
        assert_eq!(first.bytes().await.expect("a body").len(), BODY);
        let known = conditional().await;
        assert_eq!((known.status().as_u16(), is_hit(&known)), (304, true));
        assert!(is_hit(&client.get("/big").await));
        assert!(upstream.is_idle());
    }
}
