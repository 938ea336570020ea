//! A thousand policies: what `explain` says and what the gateway does are the same, every time.

use std::fs;
use std::path::PathBuf;

use portcullis::config::substitute::Surroundings;
use portcullis::rehearsal::{Caller, Explanation, Question, Rehearsal};
use portcullis::server::load::load_text;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;
use serde_json::json;

use crate::harness::{self, Client, Gateway, Reason};

const POLICIES: usize = 1000;

/// A route without its upstream, in YAML.
fn route() -> impl Strategy<Value = String> {
    let path = prop::sample::select(&[
        "/",
        "/a",
        "/a/b",
        "/a/{x}",
        "/a/{*rest}",
        "/{x}",
        "/{x}/b",
        "/{*rest}",
        "/a/b/c",
        "/users/{id}/{*rest}",
        "/users/{id}",
        "/public/{*rest}",
        "/public/hello",
        "/a/",
    ]);
    let methods =
        prop::sample::select(&["", "methods: [GET], ", "methods: [POST, PUT], ", "methods: [GET, DELETE], "]);
    let access = prop::sample::select(&[
        "",
        "access: public, ",
        "access: optional, ",
        "access: { roles: [admin] }, ",
        "access: { roles: [user, x] }, ",
        "access: { all_roles: [user, admin] }, ",
        "access: { scopes: [read] }, ",
        "access: { roles: [admin], mode: observe }, ",
    ]);
    let host = prop::sample::select(&["", "", "host: other.example, "]);
    let body = prop::sample::select(&["", "", "max_body: 3, "]);
    (path, methods, access, host, body).prop_map(|(path, methods, access, host, body)| {
        let owned = path.contains("{id}") && access.is_empty();
        let access = if owned { "access: { owner: id, or_roles: [admin] }, " } else { access };
        format!("  - {{ path: \"{path}\", {methods}{access}{host}{body}upstream: example }}\n")
    })
}

#[derive(Debug, Clone)]
struct Request {
    method: &'static str,
    target: String,
    host: &'static str,
    caller: usize,
    body: &'static str,
}

fn request(alice: String) -> impl Strategy<Value = Request> {
    let targets = [
        "/",
        "/a",
        "/a/b",
        "/a/b/c",
        "/a/z",
        "/a/",
        "/z",
        "/z/b",
        "/z/z/z",
        "/public/hello",
        "/public/x",
        "/a//b",
        "/a/../b",
        "/a%2fb",
        "/%61",
        "/a;x",
        "/a?b=/../c",
        "/users/x/notes",
        "/users/ALICE/notes",
        "/users/ALICE",
        "/auth/nothing",
        "/AUTH/login",
        "/a.",
        "/a/%C3%A9",
    ];
    (
        prop::sample::select(&["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"]),
        prop::sample::select(targets.to_vec()),
        prop::sample::select(&["localhost", "other.example", "OTHER.example:8080", "a..b"]),
        0..4_usize,
        prop::sample::select(&["", "", "12345"]),
    )
        .prop_map(move |(method, target, host, caller, body)| Request {
            method,
            target: target.replace("ALICE", &alice),
            host,
            caller,
            body,
        })
}

/// The gateway's own addresses and secret.
struct Known(Vec<(&'static str, String)>);

impl Surroundings for Known {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("there is none".to_owned())
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_and_the_gateway_agree_on_a_thousand_policies() {
    let gw = harness::gateway("").await;
    let (alice, root) = (gw.register("alice").await, gw.admin("root").await);
    let head = fs::read_to_string(gw.home().join("gateway.yaml")).expect("it runs on it");
    let head = head.split("routes:").next().expect("there is a part before").to_owned();
    let known = Known(vec![
        ("PROXY", gw.address().to_string()),
        ("ADMIN", gw.admin_address().to_string()),
        ("UPSTREAM", gw.upstream().address().to_string()),
        ("TOKEN_SECRET", harness::SECRET.to_owned()),
    ]);
    let policies =
        (prop::collection::vec(route(), 1..8), prop::collection::vec(request(alice.id().await), 2));
    let mut runner = TestRunner::deterministic();
    let (mut agreed, mut drawn, mut codes) = (0, 0, std::collections::BTreeSet::new());
    while agreed < POLICIES {
        drawn += 1;
        assert!(drawn < 20 * POLICIES, "hardly any policy is right");
        let (routes, requests) = policies.new_tree(&mut runner).expect("nothing is rejected").current();
        let yaml = format!("{head}routes:\n{}", routes.concat());
        let Ok(compiled) = load_text("gateway.yaml", &yaml, &known) else { continue };
        let offline = Rehearsal::offline(compiled.policy).expect("its keys are right");
        take_up(&gw, &yaml).await;
        for request in requests {
            let done = send(&gw, &request, [&alice, &root]).await;
            let question = question(&request, [&alice, &root]);
            let said = offline.explain(&question).await.expect("it can be asked");
            assert_eq!(code(&said), done, "offline: {request:?}\n{yaml}");
            let said = ask_live(&gw, &question).await;
            assert_eq!(code(&said), done, "live: {request:?}\n{yaml}");
            codes.insert(done);
        }
        agreed += 1;
    }
    for met in [
        "ok",
        "bad_path",
        "no_credentials",
        "role_missing",
        "not_owner",
        "route_not_found",
        "method_not_allowed",
    ] {
        assert!(codes.contains(met), "{met} never came up: {codes:?}");
    }
}

fn code(said: &Explanation) -> String {
    said.decision.code.clone()
}

async fn take_up(gw: &Gateway, yaml: &str) {
    gw.write_file(yaml);
    let answer = post(gw, "/api/policy/reload", &json!({})).await;
    assert!(answer["last_try"]["successful"] == true, "{answer}\n{yaml}");
}

async fn post(gw: &Gateway, path: &str, body: &serde_json::Value) -> serde_json::Value {
    let answer = gw.control(Method::POST, path).json(body).send().await.expect("it answers");
    answer.json().await.expect("JSON")
}

async fn ask_live(gw: &Gateway, question: &Question) -> Explanation {
    let answer = post(gw, "/api/policy/explain", &serde_json::to_value(question).expect("JSON")).await;
    serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn token(caller: usize, accounts: [&Client; 2]) -> Option<String> {
    match caller {
        0 => None,
        1 => Some(accounts[0].token()),
        2 => Some(accounts[1].token()),
        _ => Some("not.a.token".to_owned()),
    }
}

fn question(request: &Request, accounts: [&Client; 2]) -> Question {
    let caller = token(request.caller, accounts).map_or(Caller::Anonymous, Caller::Token);
    let mut headers = vec![("host".to_owned(), request.host.to_owned())];
    if !request.body.is_empty() {
        headers.push(("content-length".to_owned(), request.body.len().to_string()));
    }
    let (method, url) = (request.method.to_owned(), request.target.clone());
    Question { method, url, caller, address: None, headers }
}

/// The code of the gateway's refusal, or `ok` for what the upstream answered.
async fn send(gw: &Gateway, request: &Request, accounts: [&Client; 2]) -> String {
    let Request { method, target, host, body, .. } = request;
    let bearer = token(request.caller, accounts).map(|token| format!("authorization: Bearer {token}\r\n"));
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let bytes = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\n{}{length}connection: close\r\n\r\n{body}",
        bearer.unwrap_or_default()
    );
    let mut connection = gw.raw_connection().await;
    connection.send(bytes.as_bytes()).await;
    let answer = connection.answer().await.unwrap_or_else(|| panic!("no answer to {request:?}"));
    answer.reason().unwrap_or("ok").to_owned()
}
