//! What the gateway says about itself: metrics, the access log, audit events.

use std::collections::BTreeSet;
use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::harness::{self, Gateway, PASSWORD, Reason, Setup, Stores, eventually};

const BUSY: &str = "
    auth: { registration: open, limits: off, lockout: { failures: 2, for: 15m } }
    tokens:
      issuer: http://localhost:8080
      audience: portcullis
      refresh_window: 0s
      keys: [{ id: k1, algorithm: HS256, secret: \"${TOKEN_SECRET}\" }]
    limits: { per-user: { rate: 100/1m, by: user } }
    routes:
      - { path: \"/public/{*rest}\", upstream: example, access: public }
      - { path: /protected, upstream: example, limits: [per-user] }
      - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
      - { path: /echo, upstream: example, access: optional }
      - { path: \"/users/{id}/{*rest}\", upstream: example }
";

/// DESIGN section 10, without the prefix.
const METRICS: [&str; 20] = [
    "http_requests_total",
    "http_request_duration_seconds_count",
    "gateway_overhead_seconds_count",
    "upstream_request_duration_seconds_count",
    "auth_decisions_total",
    "rate_limit_decisions_total",
    "rate_limit_store_calls_total",
    "cache_requests_total",
    "login_attempts_total",
    "refresh_total",
    "revocations_total",
    "revocation_lag_seconds",
    "password_queue_depth",
    "password_hash_duration_seconds_count",
    "store_errors_total",
    "config_last_reload_successful",
    "config_last_reload_success_timestamp_seconds",
    "build_info",
    "http_requests_in_flight",
    "fast_lane_requests_total",
];

/// A little of everything.
async fn use_it(gw: &Gateway) {
    let alice = gw.register("alice").await;
    alice.get("/protected").await;
    alice.get("/expensive").await;
    alice.refresh().await;
    alice.logout().await;
}

#[tokio::test]
async fn every_metric_is_on_the_admin_port_and_none_on_the_proxy_port() {
    for setup in [Setup::from(BUSY), Setup::from(BUSY).stores(&Stores::servers().await)] {
        let gw = harness::gateway(setup).await;
        use_it(&gw).await;

        let metrics = gw.metrics().await;
        for name in METRICS {
            assert!(metrics.value(name, &[]).is_some(), "{name} is missing in\n{}", metrics.0);
        }
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert_eq!(gw.anonymous().get(path).await.reason(), Some("route_not_found"), "{path}");
        }
    }
}

#[tokio::test]
async fn decisions_are_counted_by_route_and_reason() {
    let gw = harness::gateway(BUSY).await;
    let alice = gw.register("alice").await;
    alice.get("/protected").await;
    gw.anonymous().get("/protected").await;
    gw.anonymous().get("/protected").await;

    let counted = async |labels: &[&str], count: f64| {
        eventually("the count", async || {
            let metrics = gw.metrics().await;
            (metrics.value("auth_decisions_total", labels) == Some(count)).then_some(())
        })
        .await;
    };
    counted(&["route=\"/protected\"", "decision=\"allow\"", "reason=\"ok\""], 1.0).await;
    counted(&["route=\"/protected\"", "decision=\"deny\"", "reason=\"no_credentials\""], 2.0).await;
    let metrics = gw.metrics().await;
    let requests = ["route=\"/protected\"", "method=\"GET\"", "status=\"401\""];
    assert_eq!(metrics.value("http_requests_total", &requests), Some(2.0));
    assert_eq!(
        metrics.value("rate_limit_decisions_total", &["limit=\"per-user\"", "outcome=\"allowed\""]),
        Some(1.0)
    );
    assert_eq!(metrics.value("login_attempts_total", &["outcome=\"success\""]), Some(1.0));
}

/// Every series; those of a histogram count as they come.
async fn series(gw: &Gateway) -> BTreeSet<String> {
    let metrics = gw.metrics().await;
    let lines = metrics.0.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[tokio::test]
async fn class_104_150_odd_requests_make_few_new_series() {
    let gw = harness::gateway(BUSY).await;
    use_it(&gw).await;
    let before = series(&gw).await;
    let client = gw.anonymous();
    client.set_token(Some("not.a.token".into()));

    for number in 0..30 {
        for (method, path) in [
            ("GET", format!("/nowhere/{number}")),
            ("GET", format!("/public/hello?user={number}")),
            ("GET", format!("/users/{number}/notes")),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a token");
            client.send(client.request(method, &path)).await;
        }
        let odd_method = format!("BREW{number} /public/hello HTTP/1.1\r\nhost: h{number}\r\n\r\n");
        gw.raw(odd_method.as_bytes()).await;
        let odd_host =
            client.request(Method::GET, "/public/hello").header("host", format!("h{number}.example"));
        client.send(odd_host.header("user-agent", format!("agent {number}"))).await;
    }

    let after = series(&gw).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.len() < 60, "{} new series: {new:#?}", new.len());
    let hostile = ["h7", "BREW7", "nowhere", "agent", "not.a.token"];
    assert!(!new.iter().any(|name| hostile.iter().any(|word| name.contains(word))), "{new:#?}");
}

#[tokio::test]
async fn the_access_log_has_one_json_line_per_request() {
    let gw = harness::gateway(BUSY).await;
    let alice = gw.register("alice").await;
    let id = alice.id().await;
    alice.get("/protected?a=1").await;
    gw.anonymous().get("/protected").await;
    for _ in 0..2 {
        gw.anonymous().get("/expensive").await;
    }
    let odd = b"GET /public/\"\\<script>\x7f HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(gw.raw(odd).await.0.map(|answer| answer.status), Some(400));

    let lines = access_log(&gw, 8).await;

    // Threads write in batches, so neighbouring lines may have changed places.
    let find = |expected: [&str; 5], status: u16| {
        let told = |line: &&Value| {
            let keys = ["method", "path", "decision", "reason", "origin"];
            line["status"] == status && keys.map(|key| line[key].as_str()) == expected.map(Some)
        };
        lines.iter().find(told).unwrap_or_else(|| panic!("no line says {status} {expected:?}: {lines:#?}"))
    };
    find(["POST", "/auth/register", "allow", "ok", "gateway"], 201);
    find(["POST", "/auth/login", "allow", "ok", "gateway"], 200);
    find(["GET", "/auth/me", "allow", "ok", "gateway"], 200);
    let protected = find(["GET", "/protected", "allow", "ok", "upstream"], 200);
    let refused = find(["GET", "/protected", "deny", "no_credentials", "gateway"], 401);
    find(["GET", "/expensive", "allow", "ok", "upstream"], 200);
    let hit = find(["GET", "/expensive", "allow", "ok", "cache"], 200);
    find(["GET", "/public/%22\\%3Cscript%3E%7F", "deny", "bad_path", "gateway"], 400);
    for line in &lines {
        assert_eq!(line["address"], "127.0.0.1");
        assert!(line["duration_us"].as_u64().is_some_and(|micros| micros > 0), "{line}");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
    assert_eq!(protected["user_id"], Value::String(id));
    assert_eq!(refused.get("user_id"), None);
    assert!(protected["upstream_us"].is_u64() && hit.get("upstream_us").is_none(), "{protected} {hit}");
    let ids: BTreeSet<_> = lines.iter().map(|line| line["request_id"].as_str()).collect();
    assert_eq!(ids.len(), lines.len(), "each has an id of its own");
}

/// Waits for so many lines; fails when there are more, or one isn't JSON.
async fn access_log(gw: &Gateway, count: usize) -> Vec<Value> {
    let lines = eventually("the access log", async || {
        let text = fs::read_to_string(gw.home().join("stdout.log")).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (text.ends_with('\n') && lines.len() >= count).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines.iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[tokio::test]
async fn an_answer_names_the_request_id_that_the_log_has() {
    let gw = harness::gateway(BUSY).await;

    let answer = gw.anonymous().get("/public/hello").await;

    let id = answer.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
    let line = gw.logged(|line| line["request_id"] == id.as_str()).await;
    assert_eq!(line["path"], "/public/hello");
}

#[tokio::test]
async fn class_105_nothing_secret_and_no_line_of_a_strangers_making_gets_into_a_log() {
    let gw = harness::gateway(Setup::from(BUSY).env("PORTCULLIS_LOG", "debug")).await;
    let alice = gw.register("alice").await;
    let body = json!({ "username": "alice", "password": PASSWORD, "refresh_token": "body" });
    let tokens: Value = alice.post("/auth/login", &body).await.json().await.expect("JSON");
    let refresh = tokens["refresh_token"].as_str().expect("a refresh token").to_owned();
    alice.post("/auth/refresh", &json!({ "refresh_token": refresh })).await;
    alice.post("/auth/introspect", &json!({ "token": alice.token() })).await;
    let nosy = alice.request(Method::GET, &format!("/echo?access_token={}&q=s3cret-query", alice.token()));
    alice.send(nosy.header("cookie", "session=s3cret-cookie").header("x-api-key", "s3cret-key")).await;
    let wrong = json!({ "username": "alice", "password": "s3cret-guess" });
    alice.post("/auth/login", &wrong).await;
    alice.post("/auth/register", &json!({ "username": "x", "password": "s3cret-short" })).await;
    for username in ["eve\n{\"forged\":true}", "eve\r\nforged: yes", "eve\u{1b}[31m"] {
        alice.post("/auth/login", &json!({ "username": username, "password": "s3cret-guess" })).await;
    }
    gw.raw(b"GET /public/%0a%7b%22forged%22:1%7d HTTP/1.1\r\nhost: a\r\n\r\n").await;
    gw.raw(
        b"GET /public/hello HTTP/1.1\r\nhost: a\nforged: 1\r\nauthorization: Bearer s3cret-bearer\r\n\r\n",
    )
    .await;
    alice.get("/public/hello?last=s3cret-query").await;
    gw.logged(|line| {
        line["path"] == "/public/hello" && line["method"] == "GET" && line["origin"] == "upstream"
    })
    .await;

    let log = gw.log();
    let cookie = alice.token();
    for secret in [PASSWORD, "s3cret", &refresh, &cookie, "argon2id", harness::SECRET] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert_eq!(parsed.get("forged"), None, "{line}");
        assert!(!line.contains(['\u{1b}', '\r']), "{line:?}");
    }
}

#[tokio::test]
async fn what_happens_to_accounts_is_audited_in_the_table_and_in_the_log() {
    let stores = Stores::servers().await;
    let gw = harness::gateway(Setup::from(BUSY).stores(&stores)).await;
    let Stores::Servers { database_url, .. } = &stores else { unreachable!("made above") };
    let alice = gw.register("alice").await;
    let body = json!({ "username": "alice", "password": PASSWORD, "refresh_token": "body" });
    let tokens: Value = alice.post("/auth/login", &body).await.json().await.expect("JSON");
    let presented = json!({ "refresh_token": tokens["refresh_token"] });
    let next = gw.anonymous().post("/auth/refresh", &presented).await;
    let next: Value = next.json().await.expect("JSON");
    let successor = json!({ "refresh_token": next["refresh_token"] });
    for token in [&successor, &presented] {
        gw.anonymous().post("/auth/refresh", token).await;
    }
    alice.logout().await;
    for _ in 0..2 {
        alice.post("/auth/login", &json!({ "username": "alice", "password": "wrong" })).await;
    }
    let locked = alice.post("/auth/login", &json!({ "username": "alice", "password": PASSWORD })).await;
    assert_eq!(locked.reason(), Some("account_locked"));
    for command in [&["user", "unlock", "alice"][..], &["user", "set-role", "alice", "admin"]] {
        assert!(gw.cli(command).status.success(), "{command:?}");
    }

    let mut database = PgConnection::connect(database_url).await.expect("it runs");
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT event FROM audit_log WHERE username = 'alice' ORDER BY id")
            .fetch_all(&mut database)
            .await
            .expect("the table is there");
    assert_eq!(
        rows,
        [
            "registered",
            "logged_in",
            "logged_in",
            "refresh_reused",
            "logged_out",
            "login_failed",
            "login_failed",
            "locked_out",
            "login_failed",
            "unlocked",
            "roles_changed"
        ]
    );
    let lines = gw.json_log();
    let told: Vec<_> = lines.iter().filter(|line| line["target"] == "audit").collect();
    assert_eq!(told.len(), rows.len() - 2, "all that this process did: {told:#?}");
    assert!(told.iter().all(|line| line["username"] == "alice" && line["address"] == "127.0.0.1"));
}
