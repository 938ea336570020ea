//! Attack classes 93 to 97: names that look alike, roles asked for, odd JSON, redirects and CORS.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, Client, PASSWORD, Reason as _};
use crate::refusal::Refusal;

async fn register(client: &Client, account: &Value) -> Refusal {
    Refusal::read(client.post("/auth/register", account).await).await
}

#[tokio::test]
async fn class_93_a_name_has_no_twin_in_another_spelling() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let client = gw.anonymous();

    gw.register("\u{c1}lvaro").await;
    let twins = ["alice", "ALICE", "Alice", "aLiCe", "\u{ff41}lice", "\u{e1}lvaro", "A\u{301}LVARO"];
    for twin in twins {
        let refusal = register(&client, &json!({ "username": twin, "password": PASSWORD })).await;
        assert_eq!(refusal, (409, "username_taken"), "{twin:?}");
    }
    let no_names = [
        "",
        " ",
        "alice ",
        " alice",
        "al ice",
        "alice\t",
        "alice\n",
        "alice\u{0}",
        "alice\u{200b}",
        "alice\u{ad}",
        "\u{202e}ecila",
        "\u{430}lice",
        "al\u{131}ce",
        "\u{440}\u{430}\u{443}",
        "ali\u{200d}ce",
        "\u{1d41a}lice",
        "alice,admin",
        "alice\r\nx: y",
        "<alice>",
        "alice/..",
        "-alice",
        "../alice",
        "018f2c6e-7a5b-7c3d-8e9f-0123456789ab",
    ];
    for name in no_names {
        let refusal = register(&client, &json!({ "username": name, "password": PASSWORD })).await;
        assert_eq!(refusal, (400, "bad_request"), "{name:?}");
    }
    let too_long = json!({ "username": "a".repeat(129), "password": PASSWORD });
    assert_eq!(register(&client, &too_long).await, (400, "bad_request"));

    let credentials = json!({ "username": "ALICE", "password": PASSWORD });
    let response = client.post("/auth/login", &credentials).await;
    let answer: Value = response.json().await.expect("tokens come in JSON");
    let subject = &crate::forge::decode(answer["access_token"].as_str().expect("a token"), 1)["sub"];
    assert_eq!(*subject, alice.id().await);
}

#[tokio::test]
async fn class_93_of_parallel_registrations_of_one_name_one_wins() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    let accounts = (0..10).map(|number| {
        let name = if number % 2 == 0 { "alice" } else { "ALICE" };
        json!({ "username": name, "password": PASSWORD })
    });
    let accounts: Vec<Value> = accounts.collect();

    let answers = futures::future::join_all(accounts.iter().map(|account| register(&client, account))).await;

    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == (409, "username_taken")).count(), 9, "{answers:?}");
}

#[tokio::test]
async fn class_94_nobody_registers_with_a_role() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    let wishes = [
        ("role", json!("admin")),
        ("roles", json!(["admin"])),
        ("roles", json!([])),
        ("role", json!({ "name": "admin" })),
        ("groups", json!(["admin"])),
        ("is_admin", json!(true)),
        ("admin", json!(true)),
        ("version", json!(7)),
        ("id", json!("018f2c6e-7a5b-7c3d-8e9f-0123456789ab")),
        ("password_hash", json!("$argon2id$")),
        ("__proto__", json!({ "roles": ["admin"] })),
    ];

    for (member, value) in wishes {
        let mut account = json!({ "username": "mallory", "password": PASSWORD });
        account[member] = value;
        assert_eq!(register(&client, &account).await, (400, "bad_request"), "{member}");
    }

    let mallory = gw.register("mallory").await;
    assert_eq!(mallory.get("/admin/dashboard").await.reason(), Some("role_missing"));
    let me: Value = mallory.get("/auth/me").await.json().await.expect("JSON");
    assert_eq!(me["roles"], json!(["user"]));
    assert_eq!(gw.upstream_calls("/admin/dashboard").await, 0);
}

#[tokio::test]
async fn class_95_odd_json_is_a_clear_refusal_and_never_a_5xx() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    let good = format!(r#"{{"username":"alice","password":"{PASSWORD}"}}"#);
    let nested = |depth: usize| format!(r#"{{"username":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let bodies = [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        r#"["alice","password"]"#.to_owned(),
        "\"alice\"".to_owned(),
        "7".to_owned(),
        nested(100),
        nested(7000),
        r#"{"username":"alice","username":"bob","password":"x"}"#.to_owned(),
        r#"{"username":"alice","\u0075sername":"bob","password":"x"}"#.to_owned(),
        r#"{"username":"alice","password":"a","password":"b"}"#.to_owned(),
        r#"{"username":7,"password":"x"}"#.to_owned(),
        r#"{"username":["alice"],"password":"x"}"#.to_owned(),
        r#"{"username":{"$ne":null},"password":{"$ne":null}}"#.to_owned(),
        r#"{"username":"alice","password":null}"#.to_owned(),
        r#"{"username":"alice"}"#.to_owned(),
        r#"{"username":"\ud800","password":"x"}"#.to_owned(),
        r#"{"username":1e999,"password":"x"}"#.to_owned(),
        r#"{username:"alice"}"#.to_owned(),
        "{\"username\":\"a\0b\",\"password\":\"x\"}".to_owned(),
        format!("\u{feff}{good}"),
        format!("{good}{good}"),
        format!("{good} trailing"),
        good.replace('}', ",}"),
        good.replace('}', ",\"more\":1}"),
    ];
    for body in &bodies {
        for path in ["/auth/login", "/auth/register"] {
            let request = client.request(Method::POST, path).header("content-type", "application/json");
            let refusal = Refusal::read(client.send(request.body(body.clone())).await).await;
            assert_eq!(refusal, (400, "bad_request"), "{path} {body}");
            assert!(!refusal.detail().contains("horse"), "the password was repeated: {}", refusal.detail());
        }
    }
    let not_utf8 = client.request(Method::POST, "/auth/login").header("content-type", "application/json");
    let not_utf8 = not_utf8.body(b"{\"username\":\"\xff\xfe\",\"password\":\"x\"}".to_vec());
    assert_eq!(Refusal::read(client.send(not_utf8).await).await, (400, "bad_request"));

    let types = [
        ("content-type", "text/plain"),
        ("content-type", "text/json"),
        ("content-type", "application/xml"),
        ("content-type", "application/jsonp"),
        ("content-type", "application/json, text/plain"),
        ("content-encoding", "gzip"),
        ("content-encoding", "br"),
    ];
    for (name, value) in types {
        let request = client.request(Method::POST, "/auth/register").header(name, value);
        let request =
            if name == "content-type" { request } else { request.header("content-type", "application/json") };
        let refusal = Refusal::read(client.send(request.body(good.clone())).await).await;
        assert_eq!(refusal, (415, "unsupported_media_type"), "{name}: {value}");
    }
    assert_eq!(register(&client, &json!({ "username": "alice", "password": PASSWORD })).await.status, 201);
}

#[tokio::test]
async fn class_96_nothing_redirects() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let evil = "https://attacker.example/";
    let credentials = json!({ "username": "alice", "password": PASSWORD });

    for parameter in ["redirect", "redirect_uri", "next", "return_to", "rd", "url", "continue"] {
        for path in ["/auth/login", "/auth/logout", "/auth/refresh"] {
            let request = alice.request(Method::POST, &format!("{path}?{parameter}={evil}"));
            let request = if path == "/auth/login" { request.json(&credentials) } else { request };
            let response = alice
                .send(request.header("referer", evil).header("x-forwarded-host", "attacker.example"))
                .await;
            assert!(!response.status().is_redirection(), "{path}?{parameter}");
            assert!(!response.headers().contains_key("location"), "{path}?{parameter}");
        }
    }
    for target in
        ["//attacker.example/auth/login", "/\\attacker.example", "https://attacker.example/auth/login"]
    {
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let (answer, _) = gw.raw(request.as_bytes()).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.fields("location").count()), (400, 0), "{target}");
    }
}

#[tokio::test]
async fn class_97_no_foreign_origin_is_let_in() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;

    for origin in ["https://attacker.example", "null", "http://localhost:8080"] {
        for path in ["/auth/login", "/auth/refresh", "/auth/me", "/protected", "/nowhere"] {
            let preflight = alice
                .request_without_token(Method::OPTIONS, path)
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization, content-type");
            let get = alice.request(Method::GET, path).header("origin", origin);
            for request in [preflight, get] {
                let response = alice.send(request).await;
                let cors =
                    response.headers().keys().find(|name| name.as_str().starts_with("access-control-"));
                assert_eq!(cors, None, "{path} for {origin}");
            }
        }
    }
}
