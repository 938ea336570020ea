//! The response cache under attack: whether one request can spoil what others get (classes 79 to
//! 82).

use futures::future::join_all;
use reqwest::Method;

use super::class_cache::{ANY_QUERY, is_hit, json, on_every_store};
use crate::harness::Client;

const CACHED: &str = "
    routes:
      - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: /headers, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, query: [x-a] } }
      - { path: /big, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, max_size: 10KiB } }
      - { path: \"/status/{code}\", upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
";

#[tokio::test]
async fn class_79_what_is_not_in_the_key_cannot_change_what_others_get() {
    for gw in on_every_store(ANY_QUERY).await {
        let attacker = gw.anonymous();
        for (number, (name, value)) in [
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "evil"),
            ("X-Forwarded-For", "evil"),
            ("X-Host", "evil.example"),
            ("X-HTTP-Host-Override", "evil.example"),
            ("Forwarded", "host=evil.example"),
            ("X-Original-URL", "/evil"),
            ("X-HTTP-Method-Override", "evil"),
            ("X_Forwarded_Host", "evil.example"),
            ("Cookie", "evil=1"),
            ("Authorization", "Bearer evil"),
        ]
        .into_iter()
        .enumerate()
        {
            let path = format!("/echo?case={number}");
            attacker.send(attacker.request(Method::GET, &path).header(name, value)).await;

            let victim = gw.anonymous().get(&path).await;

            assert!(is_hit(&victim), "{name}: the attack was worth its try");
            let echo = victim.text().await.expect("a body");
            assert!(!echo.contains("evil"), "{name}: {echo}");
        }
    }
}

#[tokio::test]
async fn class_79_parameters_outside_the_key_do_not_reach_the_upstream() {
    for gw in on_every_store(CACHED).await {
        let attacked = gw.anonymous().get("/headers?x-a=1&x-evil=yes&x-evil-too=yes&&").await;
        assert_eq!(attacked.status(), 200);

        let victim = gw.anonymous().get("/headers?x-a=1").await;

        assert!(is_hit(&victim));
        assert_eq!(victim.headers()["x-a"], "1");
        assert_eq!(victim.headers().get("x-evil"), None, "{victim:?}");
        assert_eq!(victim.text().await.expect("a body"), "{\"fields\":1}");
    }
}

#[tokio::test]
async fn class_79_a_get_with_a_body_goes_past_the_cache() {
    for gw in on_every_store(ANY_QUERY).await {
        let attacker = gw.anonymous();
        let fat = |body: &'static str| attacker.request(Method::GET, "/echo?q=fat").body(body);

        let attack = attacker.send(fat("q=evil")).await;
        assert_eq!(attack.headers()["cache-status"], "portcullis; fwd=bypass");
        let chunked = b"GET /echo?q=fat HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n";
        let (answer, _) = gw.raw(chunked).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.fields("cache-status").collect::<Vec<_>>(), ["portcullis; fwd=bypass"]);

        let victim = gw.anonymous().get("/echo?q=fat").await;
        assert!(!is_hit(&victim));
        assert_eq!(json(victim).await["body"], "");
        assert!(!is_hit(&attacker.send(fat("other")).await), "nor does it read what is stored");
    }
}

#[tokio::test]
async fn class_80_an_error_is_served_to_nobody_else() {
    for gw in on_every_store(ANY_QUERY).await {
        let client = gw.anonymous();
        let path = "/headers?x-a=1";
        let oversized = client.request(Method::GET, path).header("x-big", "a".repeat(70_000));
        assert_eq!(client.send(oversized).await.status(), 431);
        let bad_method = format!("BREW {path} HTTP/1.1\r\nhost: {}\r\n\r\n", gw.address());
        assert!(gw.raw(bad_method.as_bytes()).await.0.is_some_and(|answer| answer.status >= 400));
        let bad_byte = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nx-a: \x01\r\n\r\n", gw.address());
        assert!(gw.raw(bad_byte.as_bytes()).await.0.is_none_or(|answer| answer.status == 400));
        gw.upstream().kill();
        assert_eq!(client.get(path).await.status(), 502);
        gw.upstream().restart().await;

        let answer = client.get(path).await;

        assert_eq!((answer.status().as_u16(), is_hit(&answer)), (200, false));
        assert_eq!(answer.headers()["x-a"], "1");
    }
}

#[tokio::test]
async fn class_81_private_answers_are_never_stored() {
    for gw in on_every_store(ANY_QUERY).await {
        let client = gw.anonymous();
        for query in [
            "set-cookie=session%3Dsecret",
            "cache-control=private",
            "cache-control=private%3D%22x-a%22",
            "cache-control=no-store",
            "cache-control=public,%20no-store",
            "cache-control=NO-STORE",
            "cache-control=no-cache",
            "cache-control=max-age%3D0",
            "cache-control=s-maxage%3D0,%20max-age%3D60",
            "expires=Thu,%2001%20Jan%201970%2000:00:00%20GMT",
            "expires=0",
            "vary=*",
            "vary=accept,%20*",
            "vary=accept&vary=*",
            "content-range=bytes%200-1/2",
        ] {
            let path = format!("/headers?{query}");
            let before = gw.upstream_calls("/headers").await;
            for _ in 0..2 {
                let answer = client.get(&path).await;
                assert_eq!(answer.status(), 200);
                assert!(!is_hit(&answer), "{query}");
                assert!(
                    !answer.headers()["cache-status"].to_str().expect("ASCII").contains("stored"),
                    "{query}"
                );
            }
            assert_eq!(gw.upstream_calls("/headers").await, before + 2, "{query}");
        }
        let public = "/headers?cache-control=public,%20max-age%3D60";
        client.get(public).await;
        assert!(is_hit(&client.get(public).await), "the other way round it is");
    }
}

#[tokio::test]
async fn class_81_parts_and_answers_over_max_size_are_never_stored() {
    for gw in on_every_store(CACHED).await {
        let client = gw.anonymous();
        let requests = [("/big?bytes=10241", 10_241), ("/big?bytes=500000", 500_000), ("/status/206", 0)];
        for (path, length) in requests {
            for _ in 0..2 {
                let answer = client.get(path).await;
                assert!(!is_hit(&answer), "{path}");
                let body = answer.bytes().await.expect("a whole body, stored or not");
                assert!(length == 0 || body.len() == length, "{path}: {} bytes", body.len());
            }
        }
        client.get("/big?bytes=10240").await.bytes().await.expect("a body");
        assert!(is_hit(&client.get("/big?bytes=10240").await), "up to max_size it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn class_82_fifty_clients_that_miss_at_once_make_one_upstream_request() {
    for gw in on_every_store(CACHED).await {
        let clients: Vec<Client> = (0..50).map(|_| gw.anonymous()).collect();

        let answers = join_all(clients.iter().map(|client| client.get("/expensive"))).await;

        let mut bodies = Vec::new();
        for answer in answers {
            assert_eq!(answer.status(), 200);
            bodies.push(answer.text().await.expect("a body"));
        }
        bodies.dedup();
        assert_eq!((bodies.len(), gw.upstream_calls("/expensive").await), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn class_82_requests_for_what_cannot_be_stored_do_not_queue_up() {
    const ONE: u64 = 400;
    for gw in on_every_store("
        routes:
          - { path: /slow, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared, statuses: [404] } }
    ").await {
        let client = gw.anonymous();
        let path = format!("/slow?ms={ONE}");
        client.get(&path).await;
        let started = std::time::Instant::now();

        let answers = join_all((0..20).map(|_| client.get(&path))).await;

        assert!(answers.iter().all(|answer| answer.status() == 200));
        let took = started.elapsed().as_millis();
        assert!(took < u128::from(5 * ONE), "20 requests of {ONE} ms each took {took} ms");
    }
}
