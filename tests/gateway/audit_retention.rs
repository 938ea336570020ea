//! The audit table doesn't grow for ever: old records go, and strangers can't fill it.

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use crate::harness::{self, Gateway, Setup, Stores, eventually};

/// Rows with this name for a user.
async fn rows(gw: &Gateway, username: &str) -> i64 {
    let count = "SELECT count(*) FROM audit_log WHERE username = $1";
    match gw.stores().urls() {
        Some((database_url, _)) => {
            let mut operator = PgConnection::connect(&database_url).await.expect("it runs");
            let count = sqlx::query_scalar(count).bind(username);
            count.fetch_one(&mut operator).await.expect("the table is there")
        }
        None => {
            let mut operator = SqliteConnection::connect(&users_file(gw)).await.expect("it is there");
            let count = sqlx::query_scalar(count).bind(username);
            count.fetch_one(&mut operator).await.expect("the table is there")
        }
    }
}

fn users_file(gw: &Gateway) -> String {
    format!("sqlite://{}", gw.home().join("data/portcullis.db").display())
}

/// 2,500 records of a year ago and one of this hour.
async fn write_old_records(gw: &Gateway) {
    match gw.stores().urls() {
        Some((database_url, _)) => {
            let mut operator = PgConnection::connect(&database_url).await.expect("it runs");
            operator
                .execute(
                    "INSERT INTO audit_log (at, event, username) \
                     SELECT now() - interval '365 days', 'login_failed', 'old' FROM generate_series(1, 2500); \
                     INSERT INTO audit_log (at, event, username) VALUES (now(), 'login_failed', 'new')",
                )
                .await
                .expect("the table is there");
        }
        None => {
            let mut operator = SqliteConnection::connect(&users_file(gw)).await.expect("it is there");
            operator
                .execute(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
                     INSERT INTO audit_log (at, event, username) \
                     SELECT (unixepoch() - 365 * 86400) * 1000000, 'login_failed', 'old' FROM n; \
                     INSERT INTO audit_log (at, event, username) VALUES (unixepoch() * 1000000, 'login_failed', 'new')",
                )
                .await
                .expect("the table is there");
        }
    }
}

#[tokio::test]
async fn records_older_than_audit_keep_are_removed() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from("audit: { keep: 300d }").stores(&stores)).await;
        write_old_records(&gw).await;
        assert_eq!((rows(&gw, "old").await, rows(&gw, "new").await), (2500, 1));

        gw.restart().await;

        eventually("the old records to go", async || (rows(&gw, "old").await == 0).then_some(())).await;
        assert_eq!(rows(&gw, "new").await, 1);
        eventually("the metric", async || {
            (gw.metrics().await.value("audit_records_removed_total", &[]) == Some(2500.0)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn without_audit_keep_all_records_are_kept() {
    let gw = harness::gateway("").await;
    write_old_records(&gw).await;

    gw.restart().await;
    gw.register("alice").await;

    assert_eq!(rows(&gw, "old").await, 2500);
}

#[tokio::test]
async fn strangers_fill_so_many_rows_and_leave_room_for_those_of_accounts() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let setup =
            Setup::from("audit: { failures: 3/1h }").with("auth: { registration: open, limits: off }");
        let gw = harness::gateway(setup.stores(&stores)).await;
        gw.register("alice").await;
        for username in ["ghost", "ghost", "ghost", "ghost", "ghost", "alice"] {
            let guess = json!({ "username": username, "password": "not the password" });
            assert_eq!(gw.anonymous().post("/auth/login", &guess).await.status(), 401);
        }

        assert_eq!(rows(&gw, "ghost").await, 3);
        // Of the registration, the login and the failure.
        assert_eq!(rows(&gw, "alice").await, 3);
        assert_eq!(
            gw.metrics().await.value("audit_records_left_out_total", &[]),
            Some(3.0),
            "with the lockout"
        );
        let lines = gw.json_log();
        let ghosts = lines.iter().filter(|line| line.to_string().contains("\"ghost\"")).count();
        assert!(ghosts >= 5, "the log has them all: {ghosts}");
    }
}
