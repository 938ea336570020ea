//! What may come as a body, at every endpoint that takes one, and what errors look like.

use http::StatusCode;
use serde_json::json;

use super::wing::{PASSWORD, wing};

const JSON: &str = "application/json";

#[tokio::test]
async fn json_is_read_strictly() {
    let wing = wing().await;
    let bomb = format!("{{\"username\":{}", "[".repeat(8_000));
    let deep_unknown = format!("{{\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));

    for (body, detail) in [
        ("", "The body must be a JSON object"),
        ("[\"alice\",\"password\"]", "The body must be a JSON object"),
        ("\"alice\"", "The body must be a JSON object"),
        ("{\"username\":\"alice\"", "The body is not well-formed JSON (line 1, column 19)"),
        ("{\"username\":\"alice\"}", "Not accepted: missing field `password`"),
        ("{\"username\":\"a\",\"username\":\"b\"}", "Not accepted: duplicate field `username`"),
        ("{\"username\":7,\"password\":\"x\"}", "`username` has the wrong type or value"),
        ("{\"username\":\"a\",\"password\":12345678}", "`password` has the wrong type or value"),
        ("{\"username\":null,\"password\":\"x\"}", "`username` has the wrong type or value"),
        ("{\"username\":\"a\",\"password\":\"b\"} {}", "More follows after the JSON document"),
        (bomb.as_str(), "`username` has the wrong type or value"),
    ] {
        let answer = wing.post("/login").typed(JSON, body).send().await;

        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "bad_request"), "{body:.60}");
        assert_eq!(answer.detail(), detail);
    }
    for body in [deep_unknown.as_bytes(), b"{\"username\":\"\xff\",\"password\":\"x\"}", b"{\"\\ud800\":1}"] {
        let answer = wing.post("/login").typed(JSON, body).send().await;

        assert_eq!(answer.code(), "bad_request");
        assert!(answer.detail().len() < 200);
    }
    assert_eq!(wing.stores.take_calls(), [""; 0]);
}

#[tokio::test]
async fn a_simple_content_type_is_no_json() {
    let wing = wing().await;
    let token = wing.settings.refresh_keys.mint(uuid::Uuid::nil(), 1);
    let login = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let refresh = json!({ "refresh_token": token }).to_string();

    for (path, body) in
        [("/login", &login), ("/register", &login), ("/refresh", &refresh), ("/logout", &refresh)]
    {
        for content_type in ["text/plain", "multipart/form-data", "application/jsonp", "*/*", ""] {
            let answer = wing.post(path).typed(content_type, body.as_str()).send().await;
            assert_eq!((answer.status.as_u16(), answer.code()), (415, "unsupported_media_type"), "{path}");
        }
        let twice = wing.post(path).typed("text/plain", body.as_str()).header("content-type", JSON);
        assert_eq!(twice.send().await.code(), "unsupported_media_type");
        let zipped = wing.post(path).typed(JSON, body.as_str()).header("content-encoding", "gzip");
        assert_eq!(zipped.send().await.code(), "unsupported_media_type");
    }
}

#[tokio::test]
async fn json_may_name_its_charset() {
    let wing = wing().await;
    wing.register("alice").await;
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();

    let answer = wing.post("/login").typed("Application/JSON; charset=utf-8", body).send().await;

    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_huge_body_is_refused_whatever_it_holds() {
    let wing = wing().await;
    let body = json!({ "username": "alice", "password": "x".repeat(100_000) });

    for path in ["/register", "/login", "/refresh", "/logout"] {
        let answer = wing.post(path).json(body.clone()).send().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (413, "body_too_large"), "{path}");
    }
}

#[tokio::test]
async fn unknown_endpoints_and_methods_get_problem_documents() {
    let wing = wing().await;

    assert_eq!(wing.get("/nowhere").send().await.code(), "route_not_found");
    assert_eq!(wing.get("/login").send().await.code(), "method_not_allowed");
}

#[tokio::test]
async fn a_control_character_never_reaches_the_audit_log_as_such() {
    let wing = wing().await;
    let name = format!("eve\r\n\u{1b}[31m{{\"event\":\"logged_in\"}}{}", "x".repeat(100));

    assert_eq!(wing.login(&name, PASSWORD).await.code(), "bad_credentials");

    let (_, _, username) = wing.audited().await.remove(0);
    assert!(username.starts_with("eve\\r\\n\\u{1b}[31m"), "{username}");
    assert!(!username.contains(|character: char| character.is_control()));
}
