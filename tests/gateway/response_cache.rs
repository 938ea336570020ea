//! The response cache as its clients see it: hits and misses, the key, HEAD, ranges, conditions.

use reqwest::{Method, Response};

use crate::harness::{self, Client, Gateway, Setup, Stores};

const CACHED: &str = "
    upstreams:
      example: { servers: [\"${UPSTREAM}\"], timeouts: { read: 5s } }
    routes:
      - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: /headers, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - path: /echo
        upstream: example
        access: public
        cache: { ttl: 1h, vary_by: shared, query: [page, sort], headers: [X-Region] }
      - { path: \"/status/{code}\", upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, statuses: [200, 404] } }
      - { path: /big, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
";

async fn on_every_store() -> [Gateway; 2] {
    let on_redis = Setup::from(CACHED).stores(&Stores::servers().await);
    [harness::gateway(CACHED).await, harness::gateway(on_redis).await]
}

/// The field `Cache-Status` without our name, and of a plain hit without its time and tier.
fn outcome(response: &Response) -> &str {
    let field = response.headers().get("cache-status").expect("every answer of a cached route has one");
    let status =
        field.to_str().expect("ASCII").strip_prefix("portcullis; ").expect("it begins with our name");
    if status.starts_with("hit; ttl=") { "hit" } else { status }
}

fn age(response: &Response) -> Option<u64> {
    response.headers().get("age")?.to_str().ok()?.parse().ok()
}

const MISS: &str = "fwd=uri-miss; stored";

/// Whether each of these is a hit, in order.
async fn hits(client: &Client, paths: &[&str]) -> Vec<bool> {
    let mut hits = Vec::new();
    for path in paths {
        hits.push(outcome(&client.get(path).await) == "hit");
    }
    hits
}

#[tokio::test]
async fn the_second_answer_comes_from_the_cache_and_says_so() {
    for gw in on_every_store().await {
        let client = gw.anonymous();

        let first = client.get("/expensive").await;
        let second = client.get("/expensive").await;

        assert_eq!((first.status().as_u16(), outcome(&first)), (200, MISS));
        assert_eq!((second.status().as_u16(), outcome(&second)), (200, "hit"));
        assert!(age(&second).is_some_and(|age| age < 30), "{second:?}");
        assert_eq!(first.headers()["content-type"], second.headers()["content-type"]);
        assert_ne!(first.headers()["x-request-id"], second.headers()["x-request-id"]);
        assert_eq!(first.text().await.expect("a body"), second.text().await.expect("a body"));
        assert_eq!(gw.upstream_calls("/expensive").await, 1);
        let line = gw.logged(|line| line["origin"] == "cache").await;
        assert_eq!((&line["route"], &line["status"]), (&"/expensive".into(), &200.into()));
        let counted = |metrics: &harness::Metrics, outcome: &str| {
            metrics.value("cache_requests_total", &[&format!("outcome=\"{outcome}\"")])
        };
        let metrics = gw.metrics().await;
        assert_eq!((counted(&metrics, "miss"), counted(&metrics, "hit")), (Some(1.0), Some(1.0)));
    }
}

#[tokio::test]
async fn two_gateways_on_one_redis_share_what_they_keep() {
    let stores = Stores::servers().await;
    let one = harness::gateway(Setup::from(CACHED).stores(&stores)).await;
    let other = harness::gateway(Setup::from(CACHED).stores(&stores).upstream(one.upstream())).await;
    let request = |gw: &Gateway| {
        let client = gw.anonymous();
        async move { client.send(client.request(Method::GET, "/expensive").header("host", "shop.example")).await }
    };

    assert_eq!(outcome(&request(&one).await), MISS);

    assert_eq!(outcome(&request(&other).await), "hit");
    assert_eq!(one.upstream_calls("/expensive").await, 1);
}

#[tokio::test]
async fn the_order_of_listed_parameters_does_not_matter_and_unlisted_ones_do_not_count() {
    for gw in on_every_store().await {
        let client = gw.anonymous();

        let all = ["/headers?x-a=1&x-b=2", "/headers?x-b=2&x-a=1", "/headers?x-a=1", "/headers?x-a=1"];
        assert_eq!(hits(&client, &all).await, [false, false, false, true], "as the upstream sees them");
        let chosen = [
            "/echo?page=1&sort=up",
            "/echo?sort=up&page=1&utm=x",
            "/echo?page=2&sort=up",
            "/echo?page=1",
            "/echo?PAGE=1",
            "/echo",
        ];
        assert_eq!(hits(&client, &chosen).await, [false, true, false, false, false, true]);
    }
}

#[tokio::test]
async fn headers_that_the_route_names_are_part_of_the_key() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let mut seen = Vec::new();
        for region in ["a", "b", "a", ""] {
            let answer = client.send(client.request(Method::GET, "/echo").header("x-region", region)).await;
            seen.push(outcome(&answer) == "hit");
        }
        seen.push(outcome(&client.get("/echo").await) == "hit");

        assert_eq!(seen, [false, false, true, false, false], "an empty value isn't an absent one");
    }
}

#[tokio::test]
async fn vary_keeps_one_answer_per_value() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let mut seen = Vec::new();
        for language in ["de", "en", "de", "en", "fr", "de"] {
            let request = client.request(Method::GET, "/headers?vary=accept-language");
            let answer = client.send(request.header("accept-language", language)).await;
            seen.push(outcome(&answer) == "hit");
        }

        assert_eq!(seen, [false, false, true, true, false, true]);
        assert_eq!(gw.upstream_calls("/headers").await, 3);
    }
}

#[tokio::test]
async fn a_head_is_answered_from_a_stored_get() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let got = client.get("/expensive").await;
        let length = got.headers()["content-length"].clone();

        let head = client.send(client.request(Method::HEAD, "/expensive")).await;

        assert_eq!((head.status().as_u16(), outcome(&head)), (200, "hit"));
        assert_eq!(head.headers()["content-length"], length);
        assert_eq!(head.bytes().await.expect("no body").len(), 0);
        assert_eq!(gw.upstream_calls("/expensive").await, 1);
    }
}

#[tokio::test]
async fn a_head_first_leaves_no_answer_without_a_body_behind() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let head = client.send(client.request(Method::HEAD, "/expensive")).await;
        assert_eq!(head.status(), 200);

        let got = client.get("/expensive").await;

        assert!(got.text().await.expect("a body").contains("\"answer\":42"));
    }
}

#[tokio::test]
async fn ranges_are_cut_from_the_stored_answer() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let ranged = |range: &'static str| {
            client.send(client.request(Method::GET, "/headers?x-a=1").header("range", range))
        };

        let all = ranged("bytes=0-").await;
        assert_eq!((all.status().as_u16(), outcome(&all)), (206, MISS));
        let whole = client.get("/headers?x-a=1").await;
        assert_eq!((whole.status().as_u16(), outcome(&whole)), (200, "hit"), "a range of all is the whole");
        assert_eq!(whole.text().await.expect("a body"), "{\"fields\":1}");
        let first = ranged("bytes=0-3").await;
        assert_eq!(first.status(), 206);
        assert_eq!(first.text().await.expect("a body"), "{\"fi");

        let second = ranged("bytes=2-").await;
        assert_eq!((second.status().as_u16(), outcome(&second)), (206, "hit"));
        assert_eq!(second.headers()["content-range"], "bytes 2-11/12");
        assert_eq!(second.text().await.expect("a body"), "fields\":1}");
        assert_eq!(ranged("bytes=50-60").await.status(), 416);
        assert_eq!(gw.upstream_calls("/headers").await, 1);
    }
}

#[tokio::test]
async fn a_known_etag_is_answered_304_from_the_cache() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let path = "/headers?etag=%22v1%22";
        client.get(path).await;
        let with_etag =
            |etag: &'static str| client.send(client.request(Method::GET, path).header("if-none-match", etag));

        let same = with_etag("\"v1\"").await;
        let other = with_etag("\"v2\"").await;

        assert_eq!((same.status().as_u16(), outcome(&same)), (304, "hit"));
        assert_eq!(same.headers()["etag"], "\"v1\"");
        assert_eq!(same.bytes().await.expect("no body").len(), 0);
        assert_eq!((other.status().as_u16(), outcome(&other)), (200, "hit"));
        assert_eq!(gw.upstream_calls("/headers").await, 1);
    }
}

#[tokio::test]
async fn a_streamed_answer_without_a_length_is_kept_once_it_is_whole() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let first = client.get("/big?bytes=70000").await.bytes().await.expect("a whole body");

        let second = client.get("/big?bytes=70000").await;

        assert_eq!(outcome(&second), "hit");
        assert_eq!(second.bytes().await.expect("a whole body"), first);
    }
}

#[tokio::test]
async fn other_methods_go_past_the_cache() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        client.get("/expensive").await;

        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = client.send(client.request(method.clone(), "/headers?x-a=1")).await;
            assert_eq!((answer.status().as_u16(), outcome(&answer)), (200, "fwd=bypass"), "{method}");
        }
        assert_eq!(hits(&client, &["/headers?x-a=1"]).await, [false], "none of them was kept");
    }
}

#[tokio::test]
async fn what_the_origin_says_of_freshness_counts() {
    for gw in on_every_store().await {
        let client = gw.anonymous();
        let path = "/headers?cache-control=max-age%3D3600&age=100";
        client.get(path).await;

        let hit = client.get(path).await;

        assert_eq!(outcome(&hit), "hit");
        assert!(
            age(&hit).is_some_and(|age| (100..130).contains(&age)),
            "RFC 9111 §4.2.3: {:?}",
            hit.headers()
        );
        let spent = ["/headers?cache-control=max-age%3D60&age=100"; 2];
        assert_eq!(hits(&client, &spent).await, [false, false], "its time was over before it came");
    }
}

#[tokio::test]
async fn statuses_that_the_route_names_are_kept_and_no_others() {
    for gw in on_every_store().await {
        let client = gw.anonymous();

        for (status, is_kept) in
            [(200, true), (404, true), (203, false), (301, false), (500, false), (503, false)]
        {
            let path = format!("/status/{status}");
            assert_eq!(hits(&client, &[&path, &path]).await, [false, is_kept], "{status}");
            let last = client.get(&path).await;
            assert_eq!(last.status().as_u16(), status);
        }
    }
}
