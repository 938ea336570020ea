//! Attack classes 89 to 92: what guessing passwords tells, costs and breaks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, eventually};
use crate::refusal::Refusal;

const WRONG: &str = "not the right password";

/// Hashes that cost next to nothing, and a queue for all of them.
const CHEAP: &str = r#"
    auth:
      limits: off
      password: { argon2: { memory: 64KiB, iterations: 1, parallelism: 1 }, queue: 200 }
"#;

async fn login_as(client: &Client, username: &str, password: &str) -> Response {
    client.post("/auth/login", &json!({ "username": username, "password": password })).await
}

async fn lock(gw: &Gateway, username: &str) {
    for _ in 0..5 {
        let refusal = Refusal::read(login_as(&gw.anonymous(), username, WRONG).await).await;
        assert_eq!(refusal, (401, "bad_credentials"));
    }
}

/// An account that nobody has signed in to: whoever comes is a stranger.
async fn add(gw: &Gateway, username: &str) {
    let account = json!({ "username": username, "password": PASSWORD });
    assert_eq!(gw.anonymous().post("/auth/register", &account).await.status(), 201);
}

/// Status, names of the header fields, and the body without what is new in every answer.
async fn appearance(response: Response) -> (StatusCode, BTreeSet<String>, Value) {
    let names = response.headers().keys().map(|name| name.to_string()).collect();
    let status = response.status();
    let mut body: Value = response.json().await.expect("a problem document");
    body.as_object_mut().expect("an object").remove("request_id").expect("every answer has one");
    (status, names, body)
}

#[tokio::test]
async fn class_89_wrong_unknown_locked_and_disabled_look_the_same() {
    let gw = harness::gateway("").await;
    for name in ["alice", "disabled"] {
        gw.register(name).await;
    }
    add(&gw, "locked").await;
    lock(&gw, "locked").await;
    let output = gw.cli(&["user", "disable", "disabled", "--config", "gateway.yaml"]);
    assert!(output.status.success(), "{output:?}");
    let client = gw.anonymous();

    let expected = appearance(login_as(&client, "alice", WRONG).await).await;

    assert_eq!(expected.0, 401);
    for name in ["nobody", "locked", "disabled", "not a username", "", "alice\u{0}", "' OR 1=1 --"] {
        assert_eq!(appearance(login_as(&client, name, WRONG).await).await, expected, "{name:?}");
    }
    assert_eq!(appearance(login_as(&client, "nobody", PASSWORD).await).await, expected);
}

#[tokio::test]
async fn class_89_an_unknown_user_costs_as_much_as_a_wrong_password() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;
    add(&gw, "locked").await;
    lock(&gw, "locked").await;
    let client = gw.anonymous();
    let hashed = async || gw.metrics().await.value("password_hash_duration_seconds_count", &[]);

    for name in ["alice", "nobody", "locked"] {
        let before = hashed().await.expect("always there");
        assert_eq!(login_as(&client, name, WRONG).await.status(), 401);
        assert_eq!(hashed().await, Some(before + 1.0), "{name}");
    }
}

#[tokio::test]
async fn class_90_a_hundred_parallel_guesses_do_not_pass_the_counter() {
    let gw = harness::gateway(CHEAP).await;
    gw.register("alice").await;
    let client = gw.anonymous();

    let guesses = join_all((0..100).map(|_| login_as(&client, "alice", WRONG))).await;

    let mut looked_at = 0;
    for guess in guesses {
        let refusal = Refusal::read(guess).await;
        if refusal == (401, "bad_credentials") {
            looked_at += 1;
        } else {
            assert_eq!(refusal, (403, "account_locked"));
        }
    }
    assert_eq!(looked_at, 5);
    let right = login_as(&client, "alice", PASSWORD).await;
    let wait = right.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
    assert!(wait.is_some_and(|seconds| (1..=900).contains(&seconds)), "{wait:?}");
    assert_eq!(Refusal::read(right).await, (403, "account_locked"));
    let wrong = Refusal::read(login_as(&client, "alice", WRONG).await).await;
    assert_eq!(wrong, (403, "account_locked"), "what is told doesn't depend on the password");
    gw.logged(|line| line["event"] == "locked_out" && line["username"] == "alice").await;
}

#[tokio::test]
async fn class_90_another_spelling_of_the_name_has_no_counter_of_its_own() {
    let gw = harness::gateway(CHEAP).await;
    gw.register("alice").await;
    let client = gw.anonymous();

    for name in ["alice", "ALICE", "Alice", "aLICE", "alicE"] {
        assert_eq!(login_as(&client, name, WRONG).await.status(), 401);
    }

    let right = Refusal::read(login_as(&client, "alice", PASSWORD).await).await;
    assert_eq!(right, (403, "account_locked"));
    let output = gw.cli(&["user", "unlock", "alice", "--config", "gateway.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(login_as(&client, "alice", PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn class_91_a_lockout_leaves_sessions_and_other_accounts_alone() {
    let gw = harness::gateway(CHEAP).await;
    let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);

    lock(&gw, "alice").await;

    let elsewhere = gw.anonymous();
    assert_eq!(Refusal::read(login_as(&elsewhere, "alice", PASSWORD).await).await, (403, "account_locked"));
    assert_eq!(login_as(&alice, "alice", PASSWORD).await.status(), 200, "a device of the owner's");
    assert_eq!(alice.get("/protected").await.status(), 200);
    alice.refresh().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
    bob.login().await;
}

#[tokio::test]
async fn class_91_a_lockout_is_lifted_by_time() {
    let short = CHEAP.replace("limits: off", "limits: off\n      lockout: { failures: 5, for: 1s }");
    let gw = harness::gateway(short.as_str()).await;
    gw.register("alice").await;
    lock(&gw, "alice").await;
    let client = gw.anonymous();

    eventually("the end of the lockout", async || {
        let response = login_as(&client, "alice", PASSWORD).await;
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn class_92_passwords_are_taken_whole_or_not_at_all() {
    let gw = harness::gateway(CHEAP).await;
    let client = gw.anonymous();
    let longest = "zq4!xkWv".repeat(128);
    let with_nul = "correct\0horse battery";
    for (name, password) in [("long", longest.as_str()), ("nul", with_nul)] {
        let account = json!({ "username": name, "password": password });
        assert_eq!(client.post("/auth/register", &account).await.status(), 201, "{name}");
        assert_eq!(login_as(&client, name, password).await.status(), 200, "{name}");
    }
    let near_misses = [
        ("long", longest[..1023].to_owned()),
        ("long", format!("{longest}z")),
        ("long", longest[..72].to_owned()),
        ("nul", "correct".to_owned()),
        ("nul", "correct\0HORSE BATTERY".to_owned()),
        ("nul", format!("{with_nul}\0")),
        ("nul", format!(" {with_nul}")),
    ];

    for (name, password) in near_misses {
        let refusal = Refusal::read(login_as(&client, name, &password).await).await;
        assert_eq!(refusal, (401, "bad_credentials"), "{name}");
    }
}

#[tokio::test]
async fn class_92_huge_passwords_are_refused_fast() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    for (length, status, code) in
        [(1025, 400, "weak_password"), (16_000, 400, "weak_password"), (100_000, 413, "body_too_large")]
    {
        let account = json!({ "username": "alice", "password": "x".repeat(length) });
        let start = Instant::now();
        let refusal = Refusal::read(client.post("/auth/register", &account).await).await;
        assert_eq!(refusal, (status, code), "{length}");
        assert!(start.elapsed() < Duration::from_secs(2), "{length} took {:?}", start.elapsed());
    }

    let start = Instant::now();
    // Refused by its length alone, so that not all of it can be sent.
    let head = "POST /auth/register HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: 10000000\r\n\r\n{}", "x".repeat(10_000_000));
    let (answer, _) = gw.raw(request.as_bytes()).await;
    let answer = answer.expect("an answer before the connection is closed");
    let code = answer.fields("portcullis-reason").next();
    assert_eq!((answer.status, code), (413, Some("body_too_large")));
    assert_eq!(login_as(&client, "alice", &"x".repeat(16_000)).await.status(), 401);
    assert_eq!(login_as(&client, "alice", &"x".repeat(100_000)).await.status(), 413);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn class_92_a_flood_of_logins_is_turned_away_at_once_and_slows_no_proxied_request() {
    let gw = harness::gateway(
        r#"
        auth:
          limits: off
          password: { argon2: { memory: 64MiB, iterations: 6, parallelism: 1 }, workers: 1, queue: 2 }
        "#,
    )
    .await;
    let alice = gw.register("alice").await;
    let client = gw.anonymous();
    let start = Instant::now();
    let flood = join_all((0..30).map(async |number: u8| {
        let response = login_as(&client, &format!("nobody-{number}"), WRONG).await;
        (start.elapsed(), response)
    }));
    let proxied = async {
        for _ in 0..20 {
            assert_eq!(alice.get("/protected").await.status(), 200);
        }
        start.elapsed()
    };

    let (answers, proxied_took) = join(flood, proxied).await;

    let (turned_away, hashed): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, response)| response.status() == 503);
    let last = |answers: &[(Duration, Response)]| answers.iter().map(|(took, _)| *took).max();
    assert!((1..=4).contains(&hashed.len()), "{} were hashed", hashed.len());
    assert!(last(&turned_away) < last(&hashed), "turned away only when there was room again");
    assert!(Some(proxied_took) < last(&hashed), "twenty proxied requests took {proxied_took:?}");
    for (_, response) in turned_away {
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(Refusal::read(response).await, (503, "overloaded"));
    }
    assert_eq!(login_as(&client, "alice", PASSWORD).await.status(), 200);
}
