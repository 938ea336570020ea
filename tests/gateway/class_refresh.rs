//! Attack classes 83 to 85: refresh tokens that are replayed, raced for, or outlive their account;
//! on the embedded stores and on Redis with Postgres.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::forge;
use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores, eventually};
use crate::refusal::Refusal;

/// A second of grace for the predecessor of a refresh token.
const SHORT_WINDOW: &str = r#"
    tokens:
      issuer: http://localhost:8080
      audience: portcullis
      refresh_window: 1s
      keys: [{ id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }]
"#;

async fn short_window_on(stores: &Stores) -> Gateway {
    harness::gateway(Setup::from(SHORT_WINDOW).stores(stores)).await
}

/// A new session of a native client: access and refresh token.
async fn native_login(client: &Client) -> (String, String) {
    let credentials = json!({ "username": client.username(), "password": PASSWORD, "refresh_token": "body" });
    pair(client.post("/auth/login", &credentials).await).await
}

async fn pair(response: reqwest::Response) -> (String, String) {
    assert_eq!(response.status(), 200);
    assert!(response.headers().get("set-cookie").is_none(), "a native client gets no cookie");
    let body: Value = response.json().await.expect("tokens come in JSON");
    let member = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no `{name}`")).to_owned();
    (member("access_token"), member("refresh_token"))
}

async fn refresh(gw: &Gateway, token: &str) -> reqwest::Response {
    gw.anonymous().post("/auth/refresh", &json!({ "refresh_token": token })).await
}

/// Fifty at once with one token get one successor, over as many gateways as are given; a replay once
/// that was used ends the family, its access tokens included.
async fn one_successor_and_no_replay(gateways: &[Gateway]) {
    let gw = &gateways[0];
    let alice = gw.register("alice").await;
    let (_, first) = native_login(&alice).await;
    let senders = (0..50).map(|index| refresh(&gateways[index % gateways.len()], &first));

    let mut successors = BTreeSet::new();
    let mut access_tokens = Vec::new();
    for response in join_all(senders).await {
        let (access, successor) = pair(response).await;
        successors.insert(successor);
        access_tokens.push(access);
    }

    assert_eq!(successors.len(), 1, "one token has one successor");
    let successor = successors.pop_first().expect("there is one");
    assert_ne!(successor, first);
    for access in &access_tokens {
        assert_eq!(alice.present(access, "/protected").await.status, 200);
    }
    let (_, newest) = pair(refresh(gw, &successor).await).await;
    assert_eq!(Refusal::read(refresh(gw, &first).await).await, (401, "refresh_reused"));
    for gw in gateways {
        assert_eq!(Refusal::read(refresh(gw, &newest).await).await, (401, "refresh_invalid"));
        assert_eq!(Refusal::read(refresh(gw, &first).await).await, (401, "refresh_invalid"));
        assert_eq!(gw.anonymous().present(&access_tokens[49], "/secure/data").await, (401, "token_revoked"));
    }
    gw.logged(|line| line["event"] == "refresh_reused" && line["username"] == "alice").await;
    assert_eq!(alice.get("/protected").await.status(), 200, "another session of hers goes on");
}

#[tokio::test]
async fn class_83_and_84_fifty_refreshes_get_one_successor_embedded() {
    one_successor_and_no_replay(&[short_window_on(&Stores::Embedded).await]).await;
}

#[tokio::test]
async fn class_83_and_84_fifty_refreshes_get_one_successor_over_two_gateways_on_servers() {
    let stores = Stores::servers().await;
    let gateways = [short_window_on(&stores).await, short_window_on(&stores).await];
    one_successor_and_no_replay(&gateways).await;
}

/// The client got no answer, and comes back after the window.
#[tokio::test]
async fn class_84_a_lost_answer_is_given_again_after_the_window() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let setup = Setup::from(SHORT_WINDOW).with("trusted_proxies: [127.0.0.0/8]").stores(&stores);
        let gw = harness::gateway(setup).await;
        let alice = gw.register("alice").await;
        let ask = async |token: &str, address: &str| {
            let request = gw.anonymous().request(reqwest::Method::POST, "/auth/refresh");
            let request = request.header("x-forwarded-for", address);
            request.json(&json!({ "refresh_token": token })).send().await.expect("the gateway answers")
        };
        for (again, is_refused) in [("192.0.2.7", false), ("192.0.2.8", true)] {
            let (_, token) = native_login(&alice).await;
            let (_, lost) = pair(ask(&token, "192.0.2.7").await).await;
            if is_refused {
                let refusal = eventually("the end of the window", async || {
                    let answer = ask(&token, again).await;
                    (answer.status() != 200).then_some(answer)
                })
                .await;
                assert_eq!(Refusal::read(refusal).await, (401, "refresh_reused"));
                assert_eq!(Refusal::read(ask(&lost, "192.0.2.7").await).await, (401, "refresh_invalid"));
                continue;
            }
            // By the clock of another session, whose window began later.
            let (_, clock) = native_login(&alice).await;
            pair(ask(&clock, "192.0.2.7").await).await;
            eventually("the end of the window", async || {
                (ask(&clock, "192.0.2.9").await.status() != 200).then_some(())
            })
            .await;
            assert_eq!(pair(ask(&token, again).await).await.1, lost);
            pair(ask(&lost, "192.0.2.8").await).await;
        }
    }
}

#[tokio::test]
async fn class_83_a_token_two_steps_back_is_a_replay_even_within_the_window() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let (_, first) = native_login(&alice).await;
    let (_, second) = pair(refresh(&gw, &first).await).await;
    let (access, third) = pair(refresh(&gw, &second).await).await;

    assert_eq!(Refusal::read(refresh(&gw, &first).await).await, (401, "refresh_reused"));

    assert_eq!(Refusal::read(refresh(&gw, &third).await).await, (401, "refresh_invalid"));
    assert_eq!(alice.present(&access, "/secure/data").await, (401, "token_revoked"));
}

#[tokio::test]
async fn class_84_losers_of_a_race_by_cookie_keep_the_winners_cookie() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let requests = (0..20).map(|_| alice.request_without_token(reqwest::Method::POST, "/auth/refresh"));

    let answers = join_all(requests.map(|request| alice.send(request))).await;

    let cookies: BTreeSet<&str> = answers
        .iter()
        .map(|answer| answer.headers()["set-cookie"].to_str().expect("cookies are ASCII"))
        .map(|cookie| cookie.split(';').next().unwrap_or_default())
        .collect();
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    alice.refresh().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
}

#[tokio::test]
async fn class_83_a_refresh_token_is_opaque_and_has_one_spelling() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let (_, token) = native_login(&alice).await;
    let flipped = |at: usize| {
        let mut letters: Vec<char> = token.chars().collect();
        letters[at] = if letters[at] == 'A' { 'B' } else { 'A' };
        letters.into_iter().collect::<String>()
    };
    let garbage = [
        flipped(5),
        flipped(30),
        flipped(token.len() - 1),
        token[..token.len() - 1].to_owned(),
        format!("{token}="),
        format!("{token}A"),
        format!(" {token}"),
        token.to_uppercase(),
        token.replacen("prt_", "", 1),
        "prt_".to_owned(),
        String::new(),
        "\0".to_owned(),
        "a".repeat(10_000),
        forge::token(&forge::header(), &forge::claims()),
    ];

    for text in garbage {
        assert_eq!(Refusal::read(refresh(&gw, &text).await).await, (401, "refresh_invalid"), "{text}");
    }

    pair(refresh(&gw, &token).await).await;
}

#[tokio::test]
async fn class_85_a_disabled_account_refreshes_nothing_and_its_tokens_end() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = short_window_on(&stores).await;
        let alice = gw.register("alice").await;
        let (access, token) = native_login(&alice).await;

        run(&gw, &["user", "disable", "alice", "--config", "gateway.yaml"]);

        assert_eq!(Refusal::read(refresh(&gw, &token).await).await, (401, "refresh_invalid"));
        let refusal = until_refused(&alice, &access).await;
        assert!(matches!(refusal.code.as_str(), "token_revoked" | "token_stale"), "{refusal:?}");
        assert_eq!(Refusal::read(login(&alice, PASSWORD).await).await, (403, "account_disabled"));
        assert_eq!(Refusal::read(login(&alice, "wrong password").await).await, (401, "bad_credentials"));

        run(&gw, &["user", "disable", "alice", "--undo", "--config", "gateway.yaml"]);
        assert_eq!(Refusal::read(refresh(&gw, &token).await).await, (401, "refresh_invalid"));
        assert_eq!(login(&alice, PASSWORD).await.status(), 200);
    }
}

#[tokio::test]
async fn class_85_a_deleted_account_refreshes_nothing_and_its_tokens_end() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let (access, token) = native_login(&alice).await;

    run(&gw, &["user", "delete", "alice", "--config", "gateway.yaml"]);

    assert_eq!(Refusal::read(refresh(&gw, &token).await).await, (401, "refresh_invalid"));
    until_refused(&alice, &access).await;
    assert_eq!(Refusal::read(login(&alice, PASSWORD).await).await, (401, "bad_credentials"));
    run(&gw, &["user", "free-name", "alice", "--config", "gateway.yaml"]);
    let namesake = gw.register("alice").await;
    assert_eq!(namesake.get("/protected").await.status(), 200);
    assert_eq!(alice.present(&access, "/secure/data").await.status, 401);
}

#[tokio::test]
async fn class_85_changed_roles_end_old_tokens_and_are_in_the_next() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = short_window_on(&stores).await;
        let alice = gw.register("alice").await;
        let as_user = alice.token();
        assert_eq!(Refusal::read(alice.get("/admin/dashboard").await).await, (403, "role_missing"));

        run(&gw, &["user", "set-role", "alice", "admin", "--config", "gateway.yaml"]);
        assert_eq!(until_refused(&alice, &as_user).await, (401, "token_stale"));
        alice.refresh().await;
        assert_eq!(alice.get("/admin/dashboard").await.status(), 200);

        let as_admin = alice.token();
        run(&gw, &["user", "set-role", "alice", "user", "--config", "gateway.yaml"]);
        assert_eq!(until_refused(&alice, &as_admin).await, (401, "token_stale"));
        alice.refresh().await;
        assert_eq!(alice.get("/admin/dashboard").await.reason(), Some("role_missing"));
    }
}

fn run(gw: &Gateway, arguments: &[&str]) {
    let output = gw.cli(arguments);
    assert!(output.status.success(), "{output:?}");
}

async fn login(client: &Client, password: &str) -> reqwest::Response {
    client.post("/auth/login", &json!({ "username": client.username(), "password": password })).await
}

/// The command line is another process: the gateway hears of it a moment later.
async fn until_refused(client: &Client, token: &str) -> Refusal {
    eventually("the revocation", async || {
        let refusal = client.present(token, "/protected").await;
        (refusal.status != 200).then_some(refusal)
    })
    .await
}
