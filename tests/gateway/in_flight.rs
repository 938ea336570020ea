//! What is on its way while an account changes: it survives nothing that ends it. What fails half-way can be
//! tried again, and an older dump of the account store harms nobody for long.

use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores, eventually};
use crate::second_factor::enrol;

const OTHER: &str = "a horse of another colour";

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

/// The accounts of a gateway, by a connection of the test's own.
enum Database {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Database {
    async fn of(gw: &Gateway) -> Self {
        match gw.stores().urls() {
            Some((url, _)) => Self::Postgres(PgConnection::connect(&url).await.expect("it runs")),
            None => {
                let path = gw.home().join("data/portcullis.db");
                let url = format!("sqlite://{}", path.display());
                Self::Sqlite(SqliteConnection::connect(&url).await.expect("the file is there"))
            }
        }
    }

    async fn run(&mut self, sql: &'static str) {
        let done = match self {
            Self::Postgres(connection) => connection.execute(sql).await.map(drop),
            Self::Sqlite(connection) => connection.execute(sql).await.map(drop),
        };
        done.expect(sql);
    }

    /// From now on nobody else changes an account, until the transaction ends.
    async fn lock(&mut self) {
        match self {
            Self::Postgres(_) => {
                self.run("BEGIN").await;
                self.run("SELECT 1 FROM users FOR UPDATE").await;
            }
            Self::Sqlite(_) => self.run("BEGIN IMMEDIATE").await,
        }
    }

    /// Until a request waits for the lock. SQLite doesn't tell; there, it may come late and find the account as it
    /// is then.
    async fn until_somebody_waits(&self, gw: &Gateway) {
        let (Self::Postgres(_), Some((url, _))) = (self, gw.stores().urls()) else { return };
        let mut observer = PgConnection::connect(&url).await.expect("it runs");
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("a request that waits", async || {
            let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut observer).await.expect("it runs");
            (count > 0).then_some(())
        })
        .await;
    }

    /// No account can be deleted any more.
    async fn refuse_deletions(&mut self) {
        match self {
            Self::Postgres(_) => {
                self.run(
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql \
                     AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
                )
                .await;
                self.run("CREATE TRIGGER no_deletion BEFORE DELETE ON users EXECUTE FUNCTION refuse()").await;
            }
            Self::Sqlite(_) => {
                self.run(
                    "CREATE TRIGGER no_deletion BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'no'); END",
                )
                .await;
            }
        }
    }

    async fn allow_deletions(&mut self) {
        match self {
            Self::Postgres(_) => self.run("DROP TRIGGER no_deletion ON users").await,
            Self::Sqlite(_) => self.run("DROP TRIGGER no_deletion").await,
        }
    }
}

async fn code_of(client: &Client, path: &str) -> Option<String> {
    client.get(path).await.reason().map(str::to_owned)
}

async fn until_refused(client: &Client) {
    eventually("the token to be refused", async || code_of(client, "/protected").await.map(drop)).await;
}

fn cli(gw: &Gateway, arguments: &[&str]) {
    let output = gw.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// All of them wait for the one thread that compares passwords.
#[tokio::test]
async fn no_login_that_waits_in_the_password_queue_survives_an_operators_password() {
    let patient = "auth: { registration: open, limits: off, lockout: { failures: 100, for: 15m } }";
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from(patient).stores(&stores)).await;
        gw.register("alice").await;
        let devices: Vec<Client> = (0..12).map(|_| gw.client("alice")).collect();
        let login = json!({ "username": "alice", "password": PASSWORD });
        let logins =
            futures::future::join_all(devices.iter().map(|device| device.post("/auth/login", &login)));
        let change = async {
            let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
            command.env("PORTCULLIS_PASSWORD", OTHER).args(["user", "set-password", "alice"]);
            tokio::task::spawn_blocking(move || command.output().expect("it was built"))
                .await
                .expect("it ends")
        };

        let (answers, changed) = futures::join!(logins, change);

        assert!(changed.status.success(), "{changed:?}");
        for (device, answer) in devices.iter().zip(answers) {
            match answer.status().as_u16() {
                200 => {
                    let tokens: Value = answer.json().await.expect("tokens");
                    device.set_token(tokens["access_token"].as_str().map(str::to_owned));
                    until_refused(device).await;
                    let refresh = device.request_without_token(Method::POST, "/auth/refresh");
                    assert_eq!(device.send(refresh).await.reason(), Some("refresh_invalid"));
                }
                409 => assert_eq!(answer.reason(), Some("account_changed")),
                _ => assert_eq!(answer.reason(), Some("bad_credentials")),
            }
        }
        let login = json!({ "username": "alice", "password": OTHER });
        assert_eq!(gw.anonymous().post("/auth/login", &login).await.status(), 200);
    }
}

/// Another gateway has disabled the account, and hasn't committed that yet.
#[tokio::test]
async fn what_waits_for_an_account_that_is_being_disabled_changes_nothing() {
    for gw in both_editions().await {
        for (method, path, body) in [
            (Method::POST, "/auth/password", json!({ "old_password": PASSWORD, "new_password": OTHER })),
            (Method::PATCH, "/auth/me", json!({ "username": "mallory", "password": PASSWORD })),
            (Method::POST, "/auth/keys", json!({ "name": "kept", "password": PASSWORD })),
            (Method::DELETE, "/auth/me", json!({ "password": PASSWORD })),
        ] {
            let name = format!("of-{}-{}", method.as_str().to_lowercase(), path.replace('/', ""));
            let alice = gw.register(&name).await;
            let mut database = Database::of(&gw).await;
            database.lock().await;
            let ask = alice.request(method.clone(), path).json(&body);
            let meanwhile = async {
                database.until_somebody_waits(&gw).await;
                database
                    .run(
                        "UPDATE users SET disabled = NOT disabled, version = version + 1, \
                                          credentials_version = credentials_version + 1 \
                         WHERE username LIKE 'of-%'",
                    )
                    .await;
                database.run("COMMIT").await;
            };

            let (answer, ()) = futures::join!(alice.send(ask), meanwhile);

            let codes = ["account_changed", "token_invalid", "token_stale"];
            let code = answer.reason().expect("it is refused").to_owned();
            assert!(codes.contains(&code.as_str()), "{method} {path}: {code}");
            if gw.stores().urls().is_some() {
                assert_eq!(
                    (answer.status().as_u16(), code.as_str()),
                    (409, "account_changed"),
                    "{method} {path}"
                );
            }
            cli(&gw, &["user", "disable", "--undo", &name]);
            let again = gw.client(&name);
            again.login().await;
            let keys: Value = again.get("/auth/keys").await.json().await.expect("keys");
            assert_eq!(keys["keys"], json!([]), "{method} {path}");
        }
    }
}

/// A thief who knows the password binds the account to an app of theirs while its owner changes the password.
#[tokio::test]
async fn a_factor_that_waits_for_a_new_password_to_be_written_is_not_turned_on() {
    for gw in both_editions().await {
        let thief = gw.register("alice").await;
        let begun = thief.post("/auth/mfa/totp", &json!({ "password": PASSWORD })).await;
        let begun: Value = begun.json().await.expect("a secret");
        let mut app = crate::second_factor::App::new(begun["secret"].as_str().expect("a secret"));
        let mut database = Database::of(&gw).await;
        database.lock().await;
        let code = json!({ "code": app.code() });
        let meanwhile = async {
            database.until_somebody_waits(&gw).await;
            database
                .run("UPDATE users SET version = version + 1, credentials_version = credentials_version + 1")
                .await;
            database.run("COMMIT").await;
        };

        let (answer, ()) = futures::join!(thief.post("/auth/mfa/totp/confirm", &code), meanwhile);

        assert!(["account_changed", "token_stale"].contains(&answer.reason().expect("it is refused")));
        let owner = gw.client("alice");
        owner.login().await;
        let factor: Value = owner.get("/auth/mfa").await.json().await.expect("whether there is one");
        assert_eq!(factor["enabled"], false);
        let refresh = thief.request_without_token(Method::POST, "/auth/refresh");
        assert_eq!(thief.send(refresh).await.reason(), Some("refresh_invalid"), "begun before");
    }
}

/// Revoked in the state store, and then the account store refuses.
#[tokio::test]
async fn an_account_whose_deletion_failed_half_way_is_none_the_worse() {
    for gw in both_editions().await {
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let mut database = Database::of(&gw).await;
        database.refuse_deletions().await;
        let delete = || alice.request(Method::DELETE, "/auth/me").json(&json!({ "password": PASSWORD }));
        let failed = alice.send(delete()).await;
        assert_eq!((failed.status().as_u16(), failed.reason()), (503, Some("store_unavailable")));
        assert!(!gw.cli(&["user", "delete", "bob"]).status.success());
        database.allow_deletions().await;

        for client in [&alice, &bob] {
            until_refused(client).await;
            client.login().await;
            assert_eq!(code_of(client, "/protected").await, None, "{}", client.username());
        }
        assert_eq!(alice.send(delete()).await.status(), 204);
        cli(&gw, &["user", "delete", "bob"]);
        for client in [&alice, &bob] {
            until_refused(client).await;
            let login = json!({ "username": client.username(), "password": PASSWORD });
            assert_eq!(client.post("/auth/login", &login).await.reason(), Some("bad_credentials"));
        }
    }
}

/// What docs/operations.md says about a restore.
#[tokio::test]
async fn after_an_older_dump_is_restored_everybody_logs_in_as_they_were_then() {
    for gw in both_editions().await {
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let mut database = Database::of(&gw).await;
        database.run("CREATE TABLE dump AS SELECT * FROM users").await;
        for client in [&alice, &bob] {
            let change = json!({ "old_password": PASSWORD, "new_password": OTHER });
            let changed: Value = client.post("/auth/password", &change).await.json().await.expect("tokens");
            client.set_token(changed["access_token"].as_str().map(str::to_owned));
            assert_eq!(code_of(client, "/protected").await, None);
        }
        database.run("DELETE FROM users").await;
        // All but the column that the store computes.
        database
            .run(
                "INSERT INTO users (id, username, username_key, email, email_verified, pending_email, \
                                    must_confirm_email, has_second_factor, password_hash, roles, version, \
                                    credentials_version, disabled, created_at, updated_at) \
                 SELECT id, username, username_key, email, email_verified, pending_email, must_confirm_email, \
                        has_second_factor, password_hash, roles, version, credentials_version, disabled, \
                        created_at, updated_at FROM dump",
            )
            .await;

        cli(&gw, &["user", "mend", "bob"]);
        for client in [&alice, &bob] {
            let again = gw.client(client.username());
            again.login().await;
            assert_eq!(code_of(&again, "/protected").await, None, "{}", client.username());
            again.refresh().await;
            assert_eq!(code_of(&again, "/auth/me").await, None, "{}", client.username());
            until_refused(client).await;
            let refresh = client.request_without_token(Method::POST, "/auth/refresh");
            assert_eq!(client.send(refresh).await.reason(), Some("refresh_invalid"), "{}", client.username());
        }
    }
}

/// What was begun without the factor may not go on beside it.
#[tokio::test]
async fn a_second_factor_that_is_turned_on_ends_every_session_but_its_own() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let before = gw.client("alice");
        before.login().await;

        enrol(&alice).await;

        assert_eq!(code_of(&alice, "/protected").await, None);
        assert_eq!(code_of(&before, "/protected").await.as_deref(), Some("token_revoked"));
        let refresh = before.request_without_token(Method::POST, "/auth/refresh");
        assert_eq!(before.send(refresh).await.reason(), Some("refresh_invalid"));
        let change = json!({ "old_password": PASSWORD, "new_password": OTHER });
        assert_eq!(before.post("/auth/password", &change).await.status(), 401);
        alice.refresh().await;
        let sessions: Value = alice.get("/auth/sessions").await.json().await.expect("sessions");
        assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1));
    }
}
