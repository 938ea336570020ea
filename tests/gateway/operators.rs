//! Sessions and the audit log from the command line; on either edition.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::harness::{self, Gateway, PASSWORD, Reason, Setup, Stores};

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

/// What a command prints as JSON, line by line.
fn run(gw: &Gateway, arguments: &[&str]) -> Vec<Value> {
    let output = gw.cli(&[arguments, &["--output", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    printed.lines().map(|line| serde_json::from_str(line).expect("a document on each line")).collect()
}

#[tokio::test]
async fn sessions_are_listed_and_revoked_while_the_gateway_runs() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let elsewhere = gw.client("alice");
        elsewhere.login().await;

        let sessions = run(&gw, &["session", "list", "alice"]);
        assert_eq!((sessions.len(), &sessions[0]["username"]), (2, &json!("alice")));
        let newest = sessions[0]["id"].as_str().expect("an id");
        assert_eq!(run(&gw, &["session", "revoke", newest]), [json!({ "ended": 1 })]);
        let revoked = async |client: &harness::Client| {
            let answer = client.get("/protected").await;
            (answer.reason() == Some("token_revoked")).then_some(())
        };
        harness::eventually("the revocation", async || revoked(&elsewhere).await).await;
        assert_eq!(alice.get("/protected").await.status(), 200);
        assert_eq!(run(&gw, &["session", "revoke", "--user", "alice"]), [json!({ "ended": 1 })]);
        harness::eventually("the revocation of all", async || revoked(&alice).await).await;

        for wrong in [&["session", "revoke", newest][..], &["session", "list", "nobody"]] {
            assert_eq!(gw.cli(wrong).status.code(), Some(1), "{wrong:?}");
        }
        for wrong in [&["session", "revoke"][..], &["session", "revoke", "7"]] {
            assert_eq!(gw.cli(wrong).status.code(), Some(2), "{wrong:?}");
        }
    }
}

#[tokio::test]
async fn accounts_are_shown_searched_and_given_a_new_password() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        gw.register("bob").await;

        let found = run(&gw, &["user", "list", "--search", "AL"]);
        assert_eq!((found.len(), &found[0]["username"]), (1, &json!("alice")));
        assert_eq!(run(&gw, &["user", "show", "alice"]), found);
        let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
        command.env("PORTCULLIS_PASSWORD", "given out by an operator");
        let output = command.args(["user", "set-password", "alice"]).output().expect("it was built");
        assert!(output.status.success(), "{output:?}");

        harness::eventually("the end of the session", async || {
            (alice.get("/protected").await.status() == 401).then_some(())
        })
        .await;
        let login = |password: &str| json!({ "username": "alice", "password": password });
        assert_eq!(alice.post("/auth/login", &login(PASSWORD)).await.reason(), Some("bad_credentials"));
        assert_eq!(alice.post("/auth/login", &login("given out by an operator")).await.status(), 200);
    }
}

#[tokio::test]
async fn the_audit_log_is_filtered_and_followed() {
    for gw in both_editions().await {
        gw.register("alice").await;
        let bob = gw.register("bob").await;
        assert!(gw.cli(&["user", "set-role", "alice", "editor"]).status.success());

        let listed = run(&gw, &["audit", "list", "--user", "alice"]);
        let events: Vec<_> = listed.iter().filter_map(|record| record["event"].as_str()).collect();
        assert_eq!(events, ["roles_changed", "logged_in", "registered"]);
        assert!(listed[0]["actor"].as_str().is_some_and(|actor| actor.starts_with("cli:")), "{listed:?}");
        let since = listed[0]["at"].as_str().expect("a time");
        assert_eq!(run(&gw, &["audit", "list", "--since", since]), listed[..1]);
        assert_eq!(run(&gw, &["audit", "list", "--until", since, "--event", "registered"]).len(), 2);
        let unknown = gw.cli(&["audit", "list", "--event", "nothing"]);
        assert_eq!(unknown.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("login_failed"), "{unknown:?}");

        let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["audit", "tail", "--lines", "1", "--output", "json"]).stdout(Stdio::piped());
        let mut tail = command.spawn().expect("it was built with this test");
        let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
        let mut next = || -> Value {
            let line = lines.next().expect("it goes on").expect("UTF-8");
            serde_json::from_str(&line).expect("a document on each line")
        };
        assert_eq!(next(), listed[0], "it begins with the newest");
        bob.logout().await;
        assert_eq!((&next()["event"], tail.kill().is_ok()), (&json!("logged_out"), true));
        tail.wait().expect("it was started");
    }
}

/// Ids are given out before a transaction is committed, so a record may come after one with a larger id.
#[tokio::test]
async fn a_record_that_is_committed_late_is_not_missed_by_who_follows() {
    let stores = Stores::servers().await;
    let Stores::Servers { database_url, .. } = &stores else { unreachable!("asked for") };
    let gw = harness::gateway(Setup::default().stores(&stores)).await;
    let alice = gw.register("alice").await;
    let mut database = PgConnection::connect(database_url).await.expect("it runs");
    let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["audit", "tail", "--lines", "1", "--output", "json"]).stdout(Stdio::piped());
    let mut tail = command.spawn().expect("it was built with this test");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("it goes on").expect("UTF-8");
        serde_json::from_str(&line).expect("a document on each line")
    };
    assert_eq!(next()["event"], json!("logged_in"));

    let mut late = database.begin().await.expect("it runs");
    let insert =
        "INSERT INTO audit_log (at, event, outcome, username) VALUES (now(), 'imported', 'success', 'late')";
    sqlx::query(insert).execute(&mut *late).await.expect("the table is there");
    alice.logout().await;
    let early = next();
    late.commit().await.expect("it runs");
    let late = next();

    tail.kill().expect("it runs");
    tail.wait().expect("it was started");
    assert_eq!((&early["event"], &late["username"]), (&json!("logged_out"), &json!("late")));
    assert!(late["id"].as_i64() < early["id"].as_i64(), "{late} {early}");
}

/// What a full disk or a migration does to the table.
#[tokio::test]
async fn a_table_that_takes_no_records_holds_up_no_proxied_request_and_loses_none_uncounted() {
    let stores = Stores::servers().await;
    let Stores::Servers { database_url, .. } = &stores else { unreachable!("asked for") };
    let gw = harness::gateway(Setup::default().stores(&stores)).await;
    let alice = gw.register("alice").await;
    let mut database = PgConnection::connect(database_url).await.expect("it runs");
    let mut holder = database.begin().await.expect("it runs");
    let lock = sqlx::query("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE");
    lock.execute(&mut *holder).await.expect("nobody else holds it");

    let login = tokio::spawn({
        let again = gw.client("alice");
        async move { again.login().await }
    });
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(alice.get("/protected").await.status(), 200);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    login.await.expect("a login waits for its record, and then goes without");
    assert_eq!(gw.metrics().await.value("audit_records_lost_total", &[]), Some(1.0));
    let lost = |line: &Value| line["target"] == "audit" && line["event"] == "logged_in";
    assert_eq!(gw.json_log().iter().filter(|line| lost(line)).count(), 2, "both are in the log");
    let bob = json!({ "username": "bob", "password": PASSWORD });
    let refused = gw.anonymous().post("/auth/register", &bob).await;
    assert_eq!(refused.reason(), Some("store_unavailable"), "no account without its record");
    holder.rollback().await.expect("it runs");

    gw.register("bob").await;
    let recorded = run(&gw, &["audit", "list", "--user", "bob", "--event", "registered"]);
    assert_eq!(recorded.len(), 1);
}
