//! The plain work of a proxy: methods, bodies of any size, streams, and clear refusals.

use reqwest::{Method, header};
use serde_json::Value;

use crate::harness::{self, Echo, Gateway, Reason};

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public, max_body: 8MiB }
      - { path: /big, methods: [GET], upstream: example, access: public }
      - { path: /events, upstream: example, access: public }
      - { path: "/status/{code}", upstream: example, access: public }
      - { path: "/public/{*rest}", methods: [GET, POST], upstream: example, access: public, max_body: 1KiB }
      - { path: "/users/{id}/notes", methods: [POST], upstream: example, access: public }
"#;

#[tokio::test]
async fn every_method_arrives_with_its_target_and_body() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();

    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let request = anonymous.request(method.clone(), "/echo?b=2&a=%C3%A4&a=%2F").body("hello");
        let echo = Echo::of(anonymous.send(request).await).await;

        assert_eq!(echo.0["method"], method.as_str());
        assert_eq!(echo.0["target"], "/echo?b=2&a=%C3%A4&a=%2F", "{method}");
        assert_eq!(echo.0["body"], "hello", "{method}");
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get_and_no_body() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();

    let get = anonymous.get("/public/hello").await;
    let head = anonymous.send(anonymous.request(Method::HEAD, "/public/hello")).await;

    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()[header::CONTENT_LENGTH], get.headers()[header::CONTENT_LENGTH]);
    assert_eq!(head.bytes().await.expect("an empty body").len(), 0);
    let refusal = anonymous.send(anonymous.request(Method::HEAD, "/nowhere")).await;
    assert_eq!((refusal.status().as_u16(), refusal.reason()), (404, Some("route_not_found")));
    assert_eq!(refusal.bytes().await.expect("an empty body").len(), 0);
}

#[tokio::test]
async fn statuses_of_the_upstream_are_passed_on_as_they_are() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();

    for status in [200, 201, 204, 301, 304, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504] {
        let response = anonymous.get(&format!("/status/{status}")).await;

        assert_eq!((response.status().as_u16(), response.reason()), (status, None));
        assert!(response.headers().contains_key("x-request-id"), "{status}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();

    let unknown = anonymous.get("/nowhere").await;
    assert_eq!((unknown.status().as_u16(), unknown.reason()), (404, Some("route_not_found")));
    assert_eq!(unknown.headers()[header::CONTENT_TYPE], "application/problem+json");
    let cases = [
        (Method::DELETE, "/public/hello", "GET, HEAD, POST"),
        (Method::POST, "/big", "GET, HEAD"),
        (Method::GET, "/users/7/notes", "POST"),
    ];
    for (method, path, allow) in cases {
        let response = anonymous.send(anonymous.request(method, path)).await;
        assert_eq!((response.status().as_u16(), response.reason()), (405, Some("method_not_allowed")));
        assert_eq!(response.headers()[header::ALLOW], allow, "{path}");
    }

    assert!(gw.upstream().all_calls().await.is_empty());
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    let gw = harness::gateway(ROUTES).await;
    let anonymous = gw.anonymous();

    let down = anonymous.get("/big?bytes=20000000").await.bytes().await.expect("a whole body");
    assert_eq!(down.len(), 20_000_000);
    assert!(down.iter().all(|byte| *byte == b'x'));
    let up = anonymous.request(Method::POST, "/echo").body(vec![b'y'; 8 * 1024 * 1024]);
    assert_eq!(Echo::of(anonymous.send(up).await).await.0["body_length"], 8 * 1024 * 1024);
}

/// The stream has no end, so its first event can only be seen if nothing waits for the whole.
#[tokio::test]
async fn server_sent_events_arrive_as_they_come() {
    let gw = harness::gateway(ROUTES).await;

    let mut response = gw.anonymous().get("/events").await;

    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut received = String::new();
    while !received.contains("data: 2\n") {
        let part = response.chunk().await.expect("the stream goes on").expect("it has no end");
        received.push_str(std::str::from_utf8(&part).expect("events are text"));
    }
    assert!(received.starts_with("event: tick\ndata: 0\n\n"), "{received}");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let gw = harness::gateway(ROUTES).await;
    let head = "POST /public/hello HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1025\r\n\r\n";

    let (answer, _) = gw.raw(head.as_bytes()).await;

    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.reason()), (413, Some("body_too_large")), "{}", answer.head);
    assert_eq!(gw.upstream_calls("/public/hello").await, 0);
}

/// A chunked body in so many pieces of 256 bytes.
async fn chunked(gw: &Gateway, pieces: usize) -> Option<harness::RawAnswer> {
    let mut connection = gw.raw_connection().await;
    let head = "POST /echo HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.send(head.as_bytes()).await;
    let piece = format!("100\r\n{}\r\n", "z".repeat(256));
    for _ in 0..pieces {
        connection.send(piece.as_bytes()).await;
    }
    connection.send(b"0\r\n\r\n").await;
    connection.answer().await
}

/// On a path whose backend reads the body before it answers: another's answer could overtake the
/// refusal.
#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused_too() {
    let routes = "routes: [{ path: /echo, upstream: example, access: public, max_body: 1KiB }]";
    let gw = harness::gateway(routes).await;

    let within = chunked(&gw, 4).await.expect("an answer");
    assert_eq!((within.status, within.reason()), (200, None), "{}", within.head);
    let beyond = chunked(&gw, 5).await.expect("an answer");
    assert_eq!((beyond.status, beyond.reason()), (413, Some("body_too_large")), "{}", beyond.head);
    assert_eq!(gw.anonymous().get("/echo").await.status(), 200);
}

#[tokio::test]
async fn a_body_of_10_mb_to_the_auth_wing_is_refused() {
    let gw = harness::gateway(ROUTES).await;
    let length = 10 * 1024 * 1024;
    let head = format!(
        "POST /auth/login HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );

    let (answer, _) = gw.raw(head.as_bytes()).await;

    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.reason()), (413, Some("body_too_large")));
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem document");
    assert_eq!(problem["code"], "body_too_large");
}
