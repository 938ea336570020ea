//! Several gateways on one Postgres and one Redis, and what one gateway keeps over a restart.

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::harness::{self, Gateway, Reason, Setup, Stores, eventually};
use crate::servers::postgres;

/// The shipped file, but for its addresses.
fn shipped() -> Setup {
    let yaml = include_str!("../../gateway.yaml")
        .replace("127.0.0.1:8080", "\"${PROXY}\"")
        .replace("127.0.0.1:9090", "\"${ADMIN}\"")
        .replace("127.0.0.1:9000", "\"${UPSTREAM}\"");
    Setup::file(&yaml)
}

/// Started one after the other.
async fn pair(setup: impl Fn() -> Setup) -> (Gateway, Gateway) {
    let stores = Stores::servers().await;
    let one = harness::gateway(setup().stores(&stores)).await;
    let other = harness::gateway(setup().stores(&stores).upstream(one.upstream())).await;
    (one, other)
}

fn set_role(gw: &Gateway, username: &str, role: &str) {
    let output = gw.cli(&["user", "set-role", username, role, "--config", "gateway.yaml"]);
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn the_shipped_file_runs_on_postgres_and_redis_and_two_gateways_share_everything() {
    let (one, other) = pair(shipped).await;

    let at_one = one.register("alice").await;
    let at_other = other.client("alice");
    at_other.login().await;
    let elsewhere = one.client("alice");
    elsewhere.set_token(Some(at_other.token()));
    assert_eq!(elsewhere.get("/protected").await.status(), 200, "one generated key for both");
    elsewhere.logout().await;

    eventually("the logout to arrive", async || {
        (at_other.get("/protected").await.reason() == Some("token_revoked")).then_some(())
    })
    .await;
    assert_eq!(at_one.get("/protected").await.status(), 200, "the other session goes on");
    for store in ["portcullis.db", "state.db"] {
        assert!(!one.home().join("data").join(store).exists(), "nothing but the control socket lies there");
    }
}

#[tokio::test]
async fn a_session_begun_at_one_gateway_is_refreshed_and_ended_at_another() {
    let (one, other) = pair(Setup::default).await;
    let alice = one.register("alice").await;
    let logged_in = serde_json::json!({
        "username": "alice", "password": harness::PASSWORD, "refresh_token": "body"
    });
    let tokens: Value = alice.post("/auth/login", &logged_in).await.json().await.expect("JSON");
    let presented = serde_json::json!({ "refresh_token": tokens["refresh_token"] });

    let refreshed = other.anonymous().post("/auth/refresh", &presented).await;
    let repeated = one.anonymous().post("/auth/refresh", &presented).await;

    let (refreshed, repeated): (Value, Value) =
        (refreshed.json().await.expect("JSON"), repeated.json().await.expect("JSON"));
    assert!(refreshed["refresh_token"].is_string(), "{refreshed}");
    assert_eq!(refreshed["refresh_token"], repeated["refresh_token"], "the same successor everywhere");
}

#[tokio::test]
async fn two_gateways_that_start_at_once_migrate_a_fresh_database_once() {
    let stores = Stores::servers().await;
    let start = || harness::gateway(shipped().stores(&stores));

    let (one, other) = tokio::join!(start(), start());

    one.register("alice").await;
    let alice = other.client("alice");
    alice.login().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
}

#[tokio::test]
async fn migrate_prepares_a_database_and_may_be_repeated() {
    let gw = harness::gateway(shipped().stores(&Stores::servers().await)).await;
    let fresh = postgres::database().await;

    for _ in 0..2 {
        let mut migrate = gw.command(env!("CARGO_BIN_EXE_portcullis"));
        let output = migrate.env("DATABASE_URL", &fresh).arg("migrate").output().expect("it is built");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "the tables are up to date\n");
    }

    let mut database = PgConnection::connect(&fresh).await.expect("it runs");
    for table in ["users", "audit_log"] {
        let count =
            sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
        assert_eq!(count.fetch_one(&mut database).await.expect("the table is there"), 0);
    }
}

#[tokio::test]
async fn a_role_given_on_the_command_line_reaches_gateways_that_run() {
    let embedded = harness::gateway("").await;
    let (one, other) = pair(Setup::default).await;
    for (operated, used) in [(&embedded, &embedded), (&one, &other)] {
        let alice = if std::ptr::eq(operated, used) {
            used.register("alice").await
        } else {
            operated.register("alice").await;
            let alice = used.client("alice");
            alice.login().await;
            alice
        };
        assert_eq!(alice.get("/admin/dashboard").await.reason(), Some("role_missing"));

        set_role(operated, "alice", "admin");

        eventually("the old token to be stale", async || {
            (alice.get("/protected").await.reason() == Some("token_stale")).then_some(())
        })
        .await;
        alice.refresh().await;
        assert_eq!(alice.get("/admin/dashboard").await.status(), 200, "the new token has the new role");
        set_role(operated, "alice", "user");
        eventually("the demotion", async || {
            (alice.get("/admin/dashboard").await.reason() == Some("token_stale")).then_some(())
        })
        .await;
        alice.refresh().await;
        assert_eq!(alice.get("/admin/dashboard").await.reason(), Some("role_missing"));
    }
}

#[tokio::test]
async fn an_account_disabled_on_the_command_line_is_out_everywhere() {
    let (one, other) = pair(Setup::default).await;
    let alice = other.client("alice");
    one.register("alice").await;
    alice.login().await;

    let output = one.cli(&["user", "disable", "alice", "--config", "gateway.yaml"]);

    assert!(output.status.success(), "{output:?}");
    eventually("the tokens to be refused", async || {
        (alice.get("/protected").await.status() == 401).then_some(())
    })
    .await;
    let refresh = alice.send(alice.request_without_token(reqwest::Method::POST, "/auth/refresh")).await;
    assert_eq!((refresh.status().as_u16(), refresh.reason()), (401, Some("refresh_invalid")));
}

#[tokio::test]
async fn what_an_embedded_gateway_knows_survives_its_crash() {
    let gw = harness::gateway(shipped()).await;
    let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
    bob.logout().await;

    gw.restart().await;

    assert_eq!(alice.get("/protected").await.status(), 200, "the generated key is the same");
    assert_eq!(bob.get("/protected").await.reason(), Some("token_revoked"), "the logout still holds");
    alice.refresh().await;
    bob.login().await;
    assert_eq!(bob.get("/protected").await.status(), 200);
}
