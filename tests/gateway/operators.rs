//! Sessions and the audit log from the command line; on either edition.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::harness::{self, Gateway, PASSWORD, Reason, Setup, Stores};

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

/// On Postgres and Redis, with a connection to its database.
async fn on_servers() -> (Gateway, PgConnection) {
    let stores = Stores::servers().await;
    let (database_url, _) = stores.urls().expect("servers have them");
    let database = PgConnection::connect(&database_url).await.expect("it runs");
    (harness::gateway(Setup::default().stores(&stores)).await, database)
}

/// `portcullis audit tail` from the newest record on.
struct Tail {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn of(gw: &Gateway) -> Self {
        let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["audit", "tail", "--lines", "1", "--output", "json"]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it was built with this test");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, lines }
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("it goes on").expect("UTF-8");
        serde_json::from_str(&line).expect("a document on each line")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.process.kill().expect("it runs until it is told to end");
        self.process.wait().expect("it was started");
    }
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

        let mut tail = Tail::of(&gw);
        assert_eq!(tail.next(), listed[0], "it begins with the newest");
        bob.logout().await;
        assert_eq!(tail.next()["event"], json!("logged_out"));
    }
}

/// A record in a transaction that isn't committed yet.
const LATE: &str =
    "INSERT INTO audit_log (at, event, outcome, username) VALUES (now(), 'imported', 'success', 'late')";

/// Ids are given out before a transaction is committed, so a record may come after one with a larger id.
#[tokio::test]
async fn a_record_that_is_committed_late_is_not_missed_by_who_follows() {
    let (gw, mut database) = on_servers().await;
    let alice = gw.register("alice").await;
    let mut tail = Tail::of(&gw);
    assert_eq!(tail.next()["event"], json!("logged_in"));

    let mut late = database.begin().await.expect("it runs");
    sqlx::query(LATE).execute(&mut *late).await.expect("the table is there");
    alice.logout().await;
    let early = tail.next();
    late.commit().await.expect("it runs");
    let late = tail.next();

    assert_eq!((&early["event"], &late["username"]), (&json!("logged_out"), &json!("late")));
    assert!(late["id"].as_i64() < early["id"].as_i64(), "{late} {early}");
}

#[tokio::test]
async fn nor_by_who_asks_the_admin_api_for_what_has_come_since() {
    let (gw, mut database) = on_servers().await;
    let (root, alice) = (gw.admin("root").await, gw.register("alice").await);
    let asked = async |query: &str| {
        let path = format!("/api/audit?limit=1&{query}");
        gw.admin_request(Method::GET, &path).bearer_auth(root.token()).send().await.expect("it answers")
    };
    let read = async |query: &str| -> (Vec<Value>, String) {
        let mut answer: Value = asked(query).await.json().await.expect("JSON");
        let position = answer["position"].as_str().expect("a position").to_owned();
        (answer["records"].take().as_array().expect("a list").clone(), position)
    };
    let (newest, position) = read("").await;
    assert_eq!(newest[0]["event"], json!("logged_in"));

    let mut late = database.begin().await.expect("it runs");
    sqlx::query(LATE).execute(&mut *late).await.expect("the table is there");
    alice.logout().await;
    let (early, position) = read(&format!("after={position}")).await;
    late.commit().await.expect("it runs");
    alice.login().await;
    // One at a time; ids lead on within what had come when the first was asked for.
    let mut seen = Vec::new();
    let mut position = position;
    for _ in 0..4 {
        let (records, next) = read(&format!("after={position}")).await;
        seen.extend(records);
        position = next;
    }

    let by_event =
        |records: &[Value]| records.iter().map(|record| record["event"].clone()).collect::<Vec<_>>();
    assert_eq!(by_event(&early), ["logged_out"]);
    assert_eq!(by_event(&seen), ["imported", "logged_in"]);
    assert!(seen[0]["id"].as_i64() < early[0]["id"].as_i64(), "{seen:?} {early:?}");
    for query in ["after=7", "after=1:1:/x", "after=", "after=1:1:&before=7"] {
        let answer = asked(query).await;
        assert_eq!((answer.status().as_u16(), answer.reason()), (400, Some("bad_request")), "{query}");
    }
}

/// What a full disk or a migration does to the table.
#[tokio::test]
async fn a_table_that_takes_no_records_holds_up_no_proxied_request_and_loses_none_uncounted() {
    let (gw, mut database) = on_servers().await;
    let alice = gw.register("alice").await;
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
