//! What a gateway does that starts while its account store is away, or isn't as it expects.

use std::process::Output;
use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use crate::harness::{self, Gateway, PASSWORD, Reason, Setup, Stores, eventually};
use crate::servers::postgres::{self, Postgres};
use crate::servers::redis::Redis;

/// A fresh cluster with an empty database.
async fn on_postgres() -> (Postgres, String, Stores) {
    let postgres = Postgres::start();
    let database_url = postgres.database().await;
    let stores = Stores::Servers { database_url: database_url.clone(), redis: Arc::new(Redis::start()) };
    (postgres, database_url, stores)
}

async fn sql(url: &str, statement: &str) {
    let mut operator = PgConnection::connect(url).await.expect("it runs");
    operator.execute(AssertSqlSafe(statement.to_owned())).await.expect(statement);
}

async fn assert_serves_without_accounts(gw: &Gateway, cause: &str) {
    let report = gw.readiness_report().await;
    assert_eq!((report["status"].as_str(), report["accounts"].as_str()), (Some("degraded"), Some("down")));
    assert!(report["cause"].as_str().expect("a cause").contains(cause), "{report}");
    assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200);
    assert_eq!(gw.anonymous().get("/protected").await.reason(), Some("no_credentials"));
    let account = json!({ "username": "alice", "password": PASSWORD });
    let refused = gw.anonymous().post("/auth/register", &account).await;
    assert_eq!((refused.status().as_u16(), refused.reason()), (503, Some("store_unavailable")));
}

async fn until_it_has_accounts(gw: &Gateway) {
    eventually("the account store", async || (gw.readiness_report().await["accounts"] == "ok").then_some(()))
        .await;
    let alice = gw.register("alice").await;
    assert_eq!(alice.get("/protected").await.status(), 200);
}

#[tokio::test]
async fn postgres_away_at_the_start_is_waited_for() {
    let (postgres, _, stores) = on_postgres().await;
    postgres.kill();

    let gw = harness::gateway(Setup::default().stores(&stores)).await;

    assert_serves_without_accounts(&gw, "connecting to").await;
    postgres.restart();
    until_it_has_accounts(&gw).await;
}

#[tokio::test]
async fn a_database_that_takes_no_writes_at_the_start_is_waited_for() {
    let (_postgres, url, stores) = on_postgres().await;
    let database = url.rsplit('/').next().expect("it names one");
    sql(&url, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;

    let gw = harness::gateway(Setup::default().stores(&stores)).await;

    assert_serves_without_accounts(&gw, "takes no writes").await;
    let writable = format!("BEGIN READ WRITE; ALTER DATABASE {database} RESET ALL; COMMIT");
    sql(&url, &writable).await;
    until_it_has_accounts(&gw).await;
}

#[tokio::test]
async fn connections_to_a_database_that_took_no_writes_are_not_kept() {
    let (_postgres, url, stores) = on_postgres().await;
    let database = url.rsplit('/').next().expect("it names one");
    let gw = harness::gateway(Setup::default().stores(&stores)).await;
    sql(&url, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
    // As after a failover: the connections of before are gone.
    sql(&url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'")
        .await;
    eventually("the account store to take no writes", async || {
        (gw.readiness_report().await["accounts"] == "down").then_some(())
    })
    .await;

    let writable = format!("BEGIN READ WRITE; ALTER DATABASE {database} RESET ALL; COMMIT");
    sql(&url, &writable).await;

    until_it_has_accounts(&gw).await;
}

#[tokio::test]
async fn a_gateway_whose_keys_are_in_postgres_waits_for_them() {
    let (postgres, _, stores) = on_postgres().await;
    postgres.kill();
    let setup =
        Setup::from("tokens: { issuer: http://localhost:8080, audience: portcullis }").stores(&stores);

    let (gw, ()) = tokio::join!(harness::gateway(setup), async { postgres.restart() });

    until_it_has_accounts(&gw).await;
}

#[tokio::test]
async fn a_gateway_starts_on_the_schema_of_a_later_version() {
    const LATER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                         VALUES (90001, 'later', TRUE, '', 1)";
    let database_url = postgres::database().await;
    let stores = Stores::Servers { database_url: database_url.clone(), redis: Arc::new(Redis::start()) };
    let on_servers = harness::gateway(Setup::default().stores(&stores)).await;
    sql(&database_url, LATER).await;
    let embedded = harness::gateway("").await;
    for file in ["portcullis.db", "state.db"] {
        let url = format!("sqlite://{}", embedded.home().join("data").join(file).display());
        let mut operator = SqliteConnection::connect(&url).await.expect("it is there");
        operator.execute(AssertSqlSafe(LATER.replace("''", "x''"))).await.expect("it has the table");
    }

    for (gw, count) in [(on_servers, 1), (embedded, 2)] {
        gw.restart().await;
        let said = gw.log().matches("a later version has migrated this database").count();
        assert_eq!(said, count, "{}", gw.log());
        gw.register("alice").await;
    }
}

fn migrate(gw: &Gateway, url: &str) -> Output {
    let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
    let command = command.env("DATABASE_URL", url).args(["migrate", "--config", "gateway.yaml"]);
    command.output().expect("the program was built with this test")
}

#[tokio::test]
async fn a_role_that_may_not_create_tables_will_do_where_they_are() {
    let (postgres, url, stores) = on_postgres().await;
    let first = harness::gateway(Setup::default().stores(&stores)).await;
    sql(&url, "CREATE ROLE limited LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO limited")
        .await;
    let limited = |url: &str| url.replace("postgres://postgres@", "postgres://limited@");
    let Stores::Servers { redis, .. } = &stores else { unreachable!("it was just made") };

    let stores = Stores::Servers { database_url: limited(&url), redis: redis.clone() };
    let gw = harness::gateway(Setup::default().stores(&stores)).await;

    until_it_has_accounts(&gw).await;
    // Where they aren't, it says what to do.
    let refused = migrate(&first, &limited(&postgres.database().await));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("run `portcullis migrate` as one that may"), "{said}");
}

#[tokio::test]
async fn a_url_that_serve_can_not_use_is_no_good_to_validate_either() {
    let gw = harness::gateway("").await;
    let validate = |users: &str, state: &str| {
        let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
        let command =
            command.env("DATABASE_URL", users).env("REDIS_URL", state).args(["validate", "gateway.yaml"]);
        let output = command.output().expect("the program was built with this test");
        (
            output.status.success(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let (users, state) = ("sqlite://data/portcullis.db", "embedded");

    for (users, state, remedy) in [
        ("postgres://gw:p#hunter2@db/gate", state, "%23"),
        ("postgres://gw:hunter2@db/gate?sslmode=no-verify", state, "verify-full"),
        ("postgres://gw:hunter2@db/gate?sslpassword=hunter2", state, "sslpassword"),
        ("postgres://gw:hunter2/x@db/gate", state, "%2F"),
        (users, "redis://:hunter2/x@cache", "%2F"),
        (users, "redis://:hunter2@cache/first", "number"),
    ] {
        let (is_good, said) = validate(users, state);
        assert!(!is_good && said.contains(remedy), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    for (users, state) in [
        ("postgres:///gate?host=/run/postgresql", "redis://cache\n"),
        ("postgres://gw:8f2c61d0a7b3@db/gate\n", "redis://:8f2c61d0a7b3@cache:6380/1"),
    ] {
        let (is_good, said) = validate(users, state);
        assert!(is_good, "{said}");
    }
}

#[tokio::test]
async fn a_password_with_any_character_is_good_for_validate_and_for_serve() {
    let (_postgres, url, _) = on_postgres().await;
    let redis = Redis::start();
    redis.ask::<String>(&["CONFIG", "SET", "requirepass", "p/#?@: %x"]).expect("it is ready");
    let redis_url = redis.url().replace("redis://", "redis://:p%2F%23%3F@:%20%25x@");
    let stores = Stores::Elsewhere { database_url: format!("{url}\n"), redis_url };

    let gw = harness::gateway(Setup::default().stores(&stores)).await;

    until_it_has_accounts(&gw).await;
    let validated = gw.cli(&["validate", "gateway.yaml"]);
    assert!(validated.status.success(), "{validated:?}");
    let alice = gw.client("alice");
    alice.login().await;
    assert_eq!(alice.send(alice.request(Method::GET, "/auth/me")).await.status(), 200);
}
