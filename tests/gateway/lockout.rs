//! Guesses at passwords and codes: counted by account before they are answered, and strangers apart from the owner.

use futures::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::email::{NEW_PASSWORD, Post, member, post, reset};
use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};
use crate::refusal::Refusal;
use crate::second_factor::{enrol, second_step, ticket};

const WRONG: &str = "not the right password";
/// Where nobody has signed in from.
const ELSEWHERE: &str = "203.0.113.9";

/// Clients say where they are. Hashes cost next to nothing.
const RULES: &str = "
    trusted_proxies: [127.0.0.0/8]
    auth:
      limits: off
      password: { argon2: { memory: 64KiB, iterations: 1, parallelism: 1 }, queue: 200 }
";

async fn both_editions() -> [Gateway; 2] {
    let servers = Setup::from(RULES).stores(&Stores::servers().await);
    [harness::gateway(RULES).await, harness::gateway(servers).await]
}

/// A login with what the client has in its cookie jar.
async fn login(client: &Client, from: &str, username: &str, password: &str) -> Response {
    let credentials = json!({ "username": username, "password": password });
    let request = client.request_without_token(Method::POST, "/auth/login").json(&credentials);
    client.send(request.header("x-forwarded-for", from)).await
}

/// By somebody without cookies.
async fn stranger(gw: &Gateway, from: &str, password: &str) -> Refusal {
    Refusal::read(login(&gw.anonymous(), from, "alice", password).await).await
}

async fn lock_out_strangers(gw: &Gateway) {
    for _ in 0..5 {
        assert_eq!(stranger(gw, ELSEWHERE, WRONG).await, (401, "bad_credentials"));
    }
}

fn operators_see(gw: &Gateway) -> Value {
    let shown = gw.cli(&["user", "show", "alice", "--output", "json"]);
    assert!(shown.status.success(), "{shown:?}");
    let account: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    account["lockouts"].clone()
}

#[tokio::test]
async fn another_name_does_not_start_the_lockout_anew() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        for guess in 0..4 {
            let name = if guess < 2 { "alice" } else { "alicia" };
            if guess == 2 {
                let renamed = json!({ "username": name, "password": PASSWORD });
                let answer = alice.send(alice.request(Method::PATCH, "/auth/me").json(&renamed)).await;
                assert_eq!(answer.status(), 200);
            }
            assert_eq!(login(&gw.anonymous(), ELSEWHERE, name, WRONG).await.status(), 401);
        }

        login(&gw.anonymous(), ELSEWHERE, "alicia", WRONG).await;

        let right = Refusal::read(login(&gw.anonymous(), ELSEWHERE, "alicia", PASSWORD).await).await;
        assert_eq!(right, (401, "bad_credentials"), "five wrong ones came before");
        assert_eq!(login(&alice, ELSEWHERE, "alicia", PASSWORD).await.status(), 200, "the owner's device");
    }
}

#[tokio::test]
async fn of_codes_sent_in_parallel_only_five_are_looked_at() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let (mut app, _) = enrol(&alice).await;
        let (ticket, wrong) = (ticket(&gw, "alice").await, app.wrong_code());

        let burst = join_all((0..40).map(|_| second_step(&alice, &ticket, &wrong))).await;

        let looked_at = burst.iter().filter(|answer| answer.reason() == Some("mfa_code_invalid")).count();
        let refused = burst.iter().filter(|answer| answer.reason() == Some("account_locked")).count();
        assert_eq!((looked_at, refused), (5, 35));
        let right = second_step(&alice, &ticket, &app.code()).await;
        assert_eq!((right.status().as_u16(), right.reason()), (403, Some("account_locked")));
    }
}

#[tokio::test]
async fn parallel_logins_with_the_right_password_are_no_guesses() {
    for gw in both_editions().await {
        gw.register("alice").await;

        let burst = join_all((0..20).map(async |_| {
            let client = gw.anonymous();
            login(&client, ELSEWHERE, "alice", PASSWORD).await.status()
        }))
        .await;

        assert_eq!(burst, [StatusCode::OK; 20]);
        assert_eq!(operators_see(&gw), json!([]));
    }
}

#[tokio::test]
async fn strangers_lock_out_strangers_and_never_the_owner() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        lock_out_strangers(&gw).await;

        let hashed = async || gw.metrics().await.value("password_hash_duration_seconds_count", &[]);
        let before = hashed().await.expect("always there");
        let right = login(&gw.anonymous(), ELSEWHERE, "alice", PASSWORD).await;
        assert!(!right.headers().contains_key("retry-after"));
        assert_eq!(Refusal::read(right).await, (401, "bad_credentials"));
        assert_eq!(hashed().await, Some(before + 1.0), "it costs what a wrong one costs");
        assert_eq!(stranger(&gw, "198.51.100.77", PASSWORD).await, (401, "bad_credentials"), "from anywhere");

        let device = login(&alice, "198.51.100.5", "alice", PASSWORD).await;
        assert_eq!(device.status(), 200, "the device cookie");
        let address = login(&gw.anonymous(), "127.0.0.1", "alice", PASSWORD).await;
        assert_eq!(address.status(), 200, "an address that signed in");
        let by_token = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
        let token = gw.client("alice");
        token.set_token(Some(alice.token()));
        let request = token.request(Method::POST, "/auth/password").json(&by_token);
        let changed = token.send(request.header("x-forwarded-for", ELSEWHERE)).await;
        assert_eq!(changed.status(), 200, "the session of the owner");
        assert_eq!(stranger(&gw, ELSEWHERE, PASSWORD).await, (401, "bad_credentials"), "still locked out");
        gw.logged(|line| line["event"] == "locked_out" && line["detail"] == "strangers").await;
    }
}

#[tokio::test]
async fn a_known_device_is_told_that_it_is_locked_and_by_that_nothing_of_the_password() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        for _ in 0..5 {
            let wrong = Refusal::read(login(&alice, ELSEWHERE, "alice", WRONG).await).await;
            assert_eq!(wrong, (401, "bad_credentials"));
        }

        for password in [PASSWORD, WRONG] {
            let locked = login(&alice, ELSEWHERE, "alice", password).await;
            let wait = locked.headers()["retry-after"].to_str().expect("ASCII").parse::<u64>();
            assert!(wait.is_ok_and(|seconds| (890..=900).contains(&seconds)));
            assert_eq!(Refusal::read(locked).await, (403, "account_locked"));
        }
        assert_eq!(
            login(&gw.anonymous(), ELSEWHERE, "alice", PASSWORD).await.status(),
            200,
            "strangers aren't"
        );
        let root = gw.admin("root").await;
        let shown = gw.admin_request(Method::GET, "/api/users/alice").bearer_auth(root.token());
        let shown: Value = shown.send().await.expect("it answers").json().await.expect("JSON");
        let seen = operators_see(&gw);
        assert_eq!(shown["lockouts"], seen);
        assert_eq!((seen[0]["for"].as_str(), seen.as_array().map(Vec::len)), (Some("owner"), Some(1)));
        gw.logged(|line| line["event"] == "locked_out" && line["detail"] == "a known device").await;
    }
}

#[tokio::test]
async fn a_device_is_known_for_its_own_account_and_by_our_cookie_only() {
    for gw in both_editions().await {
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let answer = login(&alice, "127.0.0.1", "alice", PASSWORD).await;
        let set: Vec<&str> =
            answer.headers().get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()).collect();
        let cookie = set.iter().find(|line| line.starts_with("portcullis_device")).expect("it is set");
        for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/auth", "; Max-Age=2592000"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let value = cookie.split(';').next().expect("it has a name").to_owned();
        let native = json!({ "username": "alice", "password": PASSWORD, "refresh_token": "body" });
        assert!(!gw.anonymous().post("/auth/login", &native).await.headers().contains_key("set-cookie"));
        lock_out_strangers(&gw).await;

        let presented = async |cookie: &str, from: &str| {
            let client = gw.anonymous();
            let credentials = json!({ "username": "alice", "password": PASSWORD });
            let request = client.request(Method::POST, "/auth/login").json(&credentials);
            let request = request.header("x-forwarded-for", from).header("cookie", cookie);
            client.send(request).await.status()
        };

        assert_eq!(presented(&value, "198.51.100.5").await, 200);
        let name = value.split('=').next().expect("it has one");
        let beside = format!("{name}=planted; {value}");
        assert_eq!(presented(&beside, "198.51.100.6").await, 200, "beside another domain's");
        let forged = format!("{name}=AAAA{}", &value[name.len() + 5..]);
        for other in [format!("{name}=x"), forged, format!("{value}AAAA"), name.to_owned()] {
            assert_eq!(presented(&other, ELSEWHERE).await, 401, "{other}");
        }
        assert_eq!(login(&bob, ELSEWHERE, "alice", PASSWORD).await.status(), 401, "another account's");
    }
}

#[tokio::test]
async fn an_ipv6_address_is_known_with_its_subnet() {
    for gw in both_editions().await {
        gw.register("alice").await;
        let home = login(&gw.anonymous(), "2001:db8:1:2::1", "alice", PASSWORD).await;
        assert_eq!(home.status(), 200);
        lock_out_strangers(&gw).await;

        let neighbour = login(&gw.anonymous(), "2001:db8:1:2:aaaa::7", "alice", PASSWORD).await;

        assert_eq!(neighbour.status(), 200);
        assert_eq!(stranger(&gw, "2001:db8:1:3::1", PASSWORD).await, (401, "bad_credentials"));
    }
}

#[tokio::test]
async fn after_a_hundred_failures_in_a_row_only_a_reset_helps() {
    let rules = RULES.replace("limits: off", "limits: off\n      lockout: { failures: 60, for: 15m }");
    let servers = Setup::from(rules.as_str()).stores(&Stores::servers().await);
    for gw in [harness::gateway(rules.as_str()).await, harness::gateway(servers).await] {
        let alice = gw.register("alice").await;
        for _ in 0..59 {
            stranger(&gw, ELSEWHERE, WRONG).await;
        }
        for _ in 0..40 {
            login(&alice, ELSEWHERE, "alice", WRONG).await;
        }
        assert_eq!(login(&alice, ELSEWHERE, "alice", PASSWORD).await.status(), 200, "99 are allowed");
        for _ in 0..58 {
            login(&alice, ELSEWHERE, "alice", WRONG).await;
        }
        for _ in 0..42 {
            login(&gw.anonymous(), "127.0.0.1", "alice", WRONG).await;
        }

        let owner = login(&alice, ELSEWHERE, "alice", PASSWORD).await;
        assert!(!owner.headers().contains_key("retry-after"), "time doesn't help");
        assert_eq!(Refusal::read(owner).await, (403, "account_locked"));
        assert_eq!(stranger(&gw, "198.51.100.77", PASSWORD).await, (401, "bad_credentials"));
        assert_eq!(alice.get("/protected").await.status(), 200, "sessions go on");
        assert_eq!(operators_see(&gw), json!([{ "for": "all", "until": null }]));
        let listed = String::from_utf8(gw.cli(&["user", "list"]).stdout).expect("text");
        assert!(listed.contains("  locked for all until a reset"), "{listed}");
        gw.logged(|line| line["event"] == "locked_out" && line["detail"] == "everybody, until a reset").await;

        let output = gw.cli(&["user", "unlock", "alice"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "unlocked\n");
        assert_eq!(login(&gw.anonymous(), "198.51.100.77", "alice", PASSWORD).await.status(), 200);
    }
}

#[tokio::test]
async fn a_reset_by_mail_helps_after_a_hundred_failures() {
    let rules =
        "  lockout: { failures: 100, for: 15m }\n  password: { argon2: { memory: 64KiB, iterations: 1 } }\n";
    for post_office in Post::both(rules).await {
        let gw = &post_office.gw;
        let alice = member(gw, "alice", "alice@example.org").await;
        post_office.confirm(0).await;
        for _ in 0..100 {
            login(&alice, "127.0.0.1", "alice", WRONG).await;
        }
        let locked = login(&alice, "127.0.0.1", "alice", PASSWORD).await;
        assert_eq!(
            (locked.reason(), locked.headers().contains_key("retry-after")),
            (Some("account_locked"), false)
        );

        post(gw, "/auth/password/forgot", json!({ "email": "alice@example.org" })).await;
        assert_eq!(reset(gw, &post_office.token(1).await, NEW_PASSWORD).await.status(), 204);

        assert_eq!(login(&alice, "127.0.0.1", "alice", NEW_PASSWORD).await.status(), 200);
    }
}

#[tokio::test]
async fn every_way_to_log_in_has_one_count() {
    let rules = RULES.replace("limits: off", "limits: off\n      aliases: { /login: login }");
    let gw = harness::gateway(rules.as_str()).await;
    gw.register("alice").await;
    let anonymous = gw.anonymous();
    let guess = json!({ "username": "alice", "password": WRONG });
    for path in ["/auth/login", "/login", "/auth/token", "/login"] {
        assert_eq!(anonymous.post(path, &guess).await.status(), 401, "{path}");
    }
    let form = [("grant_type", "password"), ("username", "alice"), ("password", WRONG)];
    let by_form = anonymous.send(anonymous.request(Method::POST, "/auth/login").form(&form)).await;
    assert_eq!(by_form.reason(), Some("bad_credentials"));

    let right = json!({ "username": "alice", "password": PASSWORD });
    for path in ["/auth/login", "/login", "/auth/token"] {
        let refused = anonymous.post(path, &right).await;
        assert_eq!(refused.reason(), Some("account_locked"), "{path}");
    }
}

#[tokio::test]
async fn a_code_that_can_be_none_is_refused_and_not_counted() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let (mut app, codes) = enrol(&alice).await;
        let ticket = ticket(&gw, "alice").await;

        for _ in 0..2 {
            for odd in ["", "12345", "1234567", "abcdef", "12345x", &codes[0][1..], &"1".repeat(5000)] {
                let refused = Refusal::read(second_step(&alice, &ticket, odd).await).await;
                assert_eq!(refused, (401, "mfa_code_invalid"), "{odd}");
            }
        }

        let code = app.code();
        let typed = format!("{} {}", &code[..3], &code[3..]);
        assert_eq!(second_step(&alice, &ticket, &typed).await.status(), 200);
    }
}
