//! Whatever is sent to the auth endpoints gets a stable code, and the process goes on.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason};

const JSON: &str = "application/json";
/// All that read a body.
const ENDPOINTS: [&str; 5] =
    ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout", "/auth/introspect"];

async fn send(client: &Client, path: &str, content_type: &str, body: Vec<u8>) -> Response {
    let request = client.request(Method::POST, path);
    client.send(request.header("content-type", content_type).body(body)).await
}

/// The status, after a look at the form: one code in the header and the document, nothing cached.
async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let reason = answer.reason().unwrap_or_default().to_owned();
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{answer:?}");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let problem: Value = answer.json().await.expect("a problem document");
    assert_eq!((&problem["code"], &problem["status"]), (&json!(reason), &json!(status)), "{problem}");
    assert!(problem["request_id"].is_string(), "{problem}");
    (status, reason)
}

async fn assert_goes_on(gw: &Gateway) {
    let alice = gw.client("alice");
    alice.login().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
    assert!(!gw.log().contains("panicked"), "{}", gw.log());
}

#[tokio::test]
async fn a_malformed_body_is_bad_request_at_every_endpoint() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let deep = format!("{{\"username\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let bodies: [&[u8]; 12] = [
        b"{",
        b"null",
        b"[]",
        b"[\"alice\",\"secret\"]",
        b"\"text\"",
        b"not json",
        b"{\"username\":\"alice\",}",
        b"{\"username\":\"alice\",\"username\":\"bob\",\"password\":\"x\"}",
        b"{\"refresh_token\":{\"$ne\":null},\"token\":[],\"username\":{},\"password\":1}",
        b"{\"token\":\"\xff\xfe\",\"refresh_token\":\"\xff\",\"username\":\"\xff\"}",
        b"{} {}",
        deep.as_bytes(),
    ];

    for path in ENDPOINTS {
        for body in bodies {
            let answer = send(&alice, path, JSON, body.to_vec()).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(refusal(answer).await, (400, "bad_request".into()), "{path} {shown}");
        }
    }
    assert_goes_on(&gw).await;
}

#[tokio::test]
async fn unknown_and_missing_members_are_named_and_values_are_not_repeated() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    for (path, body, named) in [
        ("/auth/login", json!({ "username": "alice", "password": PASSWORD, "otp": "s3cret" }), "otp"),
        ("/auth/login", json!({ "username": "alice" }), "password"),
        ("/auth/login", json!({ "username": "alice", "password": 5_310_537 }), "password"),
        ("/auth/register", json!({ "username": "eve", "password": PASSWORD, "is_admin": true }), "is_admin"),
        ("/auth/refresh", json!({ "refresh": "s3cret" }), "refresh"),
        ("/auth/introspect", json!({ "token": "a", "extra": "s3cret" }), "extra"),
    ] {
        let answer = alice.post(path, &body).await;

        assert_eq!(answer.reason(), Some("bad_request"), "{path} {body}");
        let told = answer.text().await.expect("a problem document");
        assert!(told.contains(named), "{told}");
        for secret in [PASSWORD, "s3cret", "5310537"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}

#[tokio::test]
async fn any_other_content_type_is_415() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string().into_bytes();

    for content_type in [
        "text/plain",
        "text/plain; application/json",
        "application/jsonp",
        "multipart/form-data",
        "application/xml",
        "",
    ] {
        for path in ENDPOINTS {
            let answer = send(&alice, path, content_type, body.clone()).await;
            assert_eq!(
                refusal(answer).await,
                (415, "unsupported_media_type".into()),
                "{path} {content_type:?}"
            );
        }
    }
    let gzip = alice.request(Method::POST, "/auth/login").header("content-type", JSON);
    let gzip = alice.send(gzip.header("content-encoding", "gzip").body(vec![0x1f, 0x8b, 8, 0])).await;
    assert_eq!(refusal(gzip).await, (415, "unsupported_media_type".into()));
    let charset = send(&alice, "/auth/login", "Application/JSON; charset=utf-8", body).await;
    assert_eq!(charset.status(), 200, "parameters don't matter");
}

#[tokio::test]
async fn ten_megabytes_are_refused_before_they_are_read() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;
    for path in ENDPOINTS {
        let announced = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\ncontent-length: 10485760\r\n\r\n{{"
        );
        let (answer, _) = gw.raw(announced.as_bytes()).await;
        let answer = answer.expect("an answer to the head alone");
        assert_eq!(answer.status, 413, "{path}");
        assert_eq!(answer.fields("portcullis-reason").collect::<Vec<_>>(), ["body_too_large"]);
    }
    let mut connection = gw.raw_connection().await;
    connection.send(b"POST /auth/login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n").await;
    connection.send(b"transfer-encoding: chunked\r\n\r\n").await;
    let chunk = [b"4000\r\n", &[b' '; 0x4000][..], b"\r\n"].concat();
    connection.send(&chunk).await;
    connection.send(b"1\r\n \r\n").await;
    let answer = connection.answer().await.expect("an answer before the end of the body");
    assert_eq!(answer.status, 413, "one byte over the limit");
    assert_goes_on(&gw).await;
}

#[tokio::test]
async fn class_92_a_long_password_is_refused_without_hashing_it() {
    let gw = harness::gateway("").await;
    let client = gw.register("alice").await;
    let huge = "a".repeat(100 << 10);
    for path in ["/auth/register", "/auth/login"] {
        let answer = client.post(path, &json!({ "username": "eve", "password": huge })).await;
        assert_eq!(refusal(answer).await, (413, "body_too_large".into()), "{path}");
    }
    let over = "a".repeat(1025);
    let register = client.post("/auth/register", &json!({ "username": "eve", "password": over })).await;
    assert_eq!(refusal(register).await, (400, "weak_password".into()));

    let longest = "zq4ä".repeat(256);
    let account = json!({ "username": "eve", "password": longest });
    assert_eq!(client.post("/auth/register", &account).await.status(), 201);
    assert_eq!(client.post("/auth/login", &account).await.status(), 200);
    let cut = json!({ "username": "eve", "password": longest.trim_end_matches('ä') });
    assert_eq!(
        client.post("/auth/login", &cut).await.reason(),
        Some("bad_credentials"),
        "the end counts too"
    );
    assert_goes_on(&gw).await;
}

#[tokio::test]
async fn a_wrong_method_or_endpoint_says_what_there_is() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    for (method, path, status, reason, allow) in [
        (Method::GET, "/auth/login", 405, "method_not_allowed", Some("POST")),
        (Method::PUT, "/auth/register", 405, "method_not_allowed", Some("POST")),
        (Method::GET, "/auth/logout", 405, "method_not_allowed", Some("POST")),
        (Method::GET, "/auth/nothing", 404, "route_not_found", None),
        (Method::GET, "/auth", 404, "route_not_found", None),
        (Method::GET, "/auth/", 404, "route_not_found", None),
    ] {
        let answer = client.send(client.request(method.clone(), path)).await;

        assert_eq!((answer.status().as_u16(), answer.reason()), (status, Some(reason)), "{method} {path}");
        let field = answer.headers().get("allow").map(|value| value.to_str().expect("ASCII"));
        assert_eq!(field, allow, "{method} {path}");
    }
}

#[tokio::test]
async fn a_megabyte_of_headers_is_refused_and_the_process_goes_on() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;
    let one_field = format!("GET /public/hello HTTP/1.1\r\nhost: a\r\nx-a: {}\r\n\r\n", "a".repeat(1 << 20));
    let fields = "x-a: 1\r\n".repeat(101);
    let many_fields = format!("GET /public/hello HTTP/1.1\r\nhost: a\r\n{fields}\r\n");

    for request in [one_field, many_fields] {
        let (answer, _) = gw.raw(request.as_bytes()).await;
        assert!(answer.is_none_or(|answer| [400, 431].contains(&answer.status)));
    }
    assert_eq!(gw.upstream_calls("/public/hello").await, 0);
    assert_goes_on(&gw).await;
}
