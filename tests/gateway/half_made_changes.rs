//! The state store fails after the account store has made a change: what the change ends is tried again, and the
//! change is logged and told in any case.

use reqwest::{Response, StatusCode};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::email::NEW_PASSWORD;
use crate::harness::{
    self, Cable, CableState, Client, Gateway, PASSWORD, Reason as _, Setup, Stores, eventually,
};
use crate::servers::redis::Redis;

const MAIL: &str = "mail: { from: no-reply@example.org, folder: data/mail }";

/// A gateway whose connection to Redis can be cut, and an account with an address that is told of changes.
struct Scene {
    gw: Gateway,
    cable: Cable,
    alice: Client,
    postgres: PgConnection,
    _redis: Redis,
}

impl Scene {
    async fn set() -> Self {
        let redis = Redis::start();
        let cable = Cable::to(redis.address()).await;
        let stores = Stores::on_redis(format!("redis://{}", cable.address())).await;
        let (url, _) = stores.urls().expect("it has one");
        let gw = harness::gateway(Setup::from(MAIL).stores(&stores)).await;
        let added = gw.cli(&["user", "add", "alice", "--email", "alice@example.org", "--confirmed"]);
        assert!(added.status.success(), "{added:?}");
        let alice = gw.client("alice");
        alice.login().await;
        let postgres = PgConnection::connect(&url).await.expect("it runs");
        Self { gw, cable, alice, postgres, _redis: redis }
    }

    /// Changes the password; the account store makes the change when Redis can't be reached any more. `meanwhile` runs
    /// once the change is made.
    async fn change_password(&mut self, meanwhile: impl FnOnce(&Cable)) -> Response {
        let (cable, postgres) = (&self.cable, &mut self.postgres);
        postgres.execute("BEGIN; SELECT 1 FROM users FOR UPDATE").await.expect("it runs");
        let passwords = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
        let change = self.alice.post("/auth/password", &passwords);
        let held = async {
            until_a_change_waits(postgres).await;
            cable.set(CableState::Cut);
            postgres.execute("COMMIT").await.expect("it runs");
            eventually("the change", async || {
                let version: i64 = sqlx::query_scalar("SELECT version FROM users")
                    .fetch_one(&mut *postgres)
                    .await
                    .expect("it runs");
                (version > 1).then_some(())
            })
            .await;
            meanwhile(cable);
        };
        futures::join!(change, held).0
    }
}

async fn login(gw: &Gateway, password: &str) -> StatusCode {
    let credentials = json!({ "username": "alice", "password": password });
    gw.anonymous().post("/auth/login", &credentials).await.status()
}

#[tokio::test]
async fn a_redis_that_is_away_for_a_moment_after_the_change_leaves_no_old_token() {
    let mut scene = Scene::set().await;
    let thief = scene.gw.client("alice");
    thief.login().await;

    let changed = scene.change_password(|cable| cable.set(CableState::Whole)).await;

    assert_eq!(changed.status(), 200, "{:?}", changed.reason());
    for client in [&scene.alice, &thief] {
        let refused = async || client.get("/protected").await.reason().map(str::to_owned);
        let refused = eventually("the end of the old token", refused).await;
        assert!(["token_revoked", "token_stale"].contains(&refused.as_str()), "{refused}");
    }
    assert_eq!(login(&scene.gw, NEW_PASSWORD).await, 200);
}

#[tokio::test]
async fn a_change_whose_end_is_not_told_to_redis_is_logged_and_told_to_its_owner_all_the_same() {
    let mut scene = Scene::set().await;

    let changed = scene.change_password(|_| ()).await;

    assert_eq!((changed.status().as_u16(), changed.reason()), (503, Some("store_unavailable")));
    scene.gw.logged(|line| line["target"] == "audit" && line["event"] == "password_changed").await;
    let told = async || {
        let mails = harness::mails_in_folder(&scene.gw);
        mails.into_iter().find(|mail| mail.contains("Your password was changed"))
    };
    eventually("the notice", told).await;
    scene.cable.set(CableState::Whole);
    let status = async || Some(login(&scene.gw, NEW_PASSWORD).await).filter(|status| *status == 200);
    eventually("a login with the new password", status).await;
    assert_eq!(login(&scene.gw, PASSWORD).await, 401);
}

/// The admin port drops nothing that a request has begun, as the proxy's port does.
#[tokio::test]
async fn an_operators_change_is_made_whole_though_the_client_leaves() {
    let gw = harness::gateway(Setup::default().stores(&Stores::servers().await)).await;
    let (root, alice) = (gw.admin("root").await, gw.register("alice").await);
    let (url, _) = gw.stores().urls().expect("it has one");
    let mut postgres = PgConnection::connect(&url).await.expect("it runs");
    postgres
        .execute("BEGIN; SELECT 1 FROM users WHERE username = 'alice' FOR UPDATE")
        .await
        .expect("it runs");
    let mut client = TcpStream::connect(gw.admin_address()).await.expect("it listens");
    let request = format!(
        "POST /api/users/alice/disable HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        root.token()
    );
    client.write_all(request.as_bytes()).await.expect("it reads");
    until_a_change_waits(&mut postgres).await;

    drop(client);

    // By the time that it answers another one it has noticed.
    assert_eq!(gw.readiness().await, Some(200));
    postgres.execute("COMMIT").await.expect("it runs");
    let refused = async || alice.get("/protected").await.reason().map(str::to_owned);
    let refused = eventually("the end of alice's token", refused).await;
    assert!(["token_revoked", "token_stale"].contains(&refused.as_str()), "{refused}");
    gw.logged(|line| line["target"] == "audit" && line["event"] == "disabled" && line["actor"] == "root")
        .await;
}

async fn until_a_change_waits(postgres: &mut PgConnection) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("the change to wait", async || {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *postgres).await.expect("it runs");
        (count > 0).then_some(())
    })
    .await;
}

/// The queue of notices is in the account store, so that it takes both or neither.
#[tokio::test]
async fn a_change_whose_notice_can_not_be_kept_is_not_made() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from(MAIL).stores(&stores)).await;
        let added = gw.cli(&["user", "add", "alice", "--email", "alice@example.org", "--confirmed"]);
        assert!(added.status.success(), "{added:?}");
        let alice = gw.client("alice");
        alice.login().await;
        refuse_notices(&gw, true).await;
        let passwords = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });

        let refused = alice.post("/auth/password", &passwords).await;

        assert_eq!((refused.status().as_u16(), refused.reason()), (503, Some("store_unavailable")));
        assert_eq!(login(&gw, PASSWORD).await, 200);
        refuse_notices(&gw, false).await;
        assert_eq!(alice.post("/auth/password", &passwords).await.status(), 200);
        let told = async || {
            let mails = harness::mails_in_folder(&gw);
            mails.into_iter().find(|mail| mail.contains("Your password was changed"))
        };
        eventually("the notice", told).await;
    }
}

/// From now on no notice is taken, or any is again.
async fn refuse_notices(gw: &Gateway, refuse: bool) {
    match gw.stores().urls() {
        Some((url, _)) => {
            let order = match refuse {
                true => {
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql \
                     AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
                     CREATE TRIGGER none BEFORE INSERT ON notices EXECUTE FUNCTION refuse()"
                }
                false => "DROP TRIGGER none ON notices",
            };
            let mut postgres = PgConnection::connect(&url).await.expect("it runs");
            postgres.execute(order).await.expect("it runs");
        }
        None => {
            let order = match refuse {
                true => "CREATE TRIGGER none BEFORE INSERT ON notices BEGIN SELECT RAISE(ABORT, 'no'); END",
                false => "DROP TRIGGER none",
            };
            let url = format!("sqlite://{}", gw.home().join("data/portcullis.db").display());
            let mut sqlite = SqliteConnection::connect(&url).await.expect("the file is there");
            sqlite.execute(order).await.expect("it runs");
        }
    }
}

/// On two gateways: one has compared the password and is about to start the session when the other changes it.
#[tokio::test]
async fn a_login_that_is_held_on_its_way_to_redis_does_not_survive_another_gateways_change() {
    let redis = Redis::start();
    let cable = Cable::to(redis.address()).await;
    let stores = Stores::on_redis(format!("redis://{}", cable.address())).await;
    let (database_url, _) = stores.urls().expect("it has one");
    let beside = Stores::Elsewhere { database_url, redis_url: redis.url() };
    let held = harness::gateway(Setup::default().stores(&stores)).await;
    let other = harness::gateway(Setup::default().stores(&beside)).await;
    let alice = other.register("alice").await;
    held.client("alice").login().await;
    let thief = held.client("alice");
    let credentials = json!({ "username": "alice", "password": PASSWORD });
    let passwords = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });

    // What only the start of a session says.
    cable.set(CableState::SilentAt("idle_until"));
    let login = thief.post("/auth/login", &credentials);
    let change = async {
        cable.until_held().await;
        let changed = alice.post("/auth/password", &passwords).await.status();
        cable.set(CableState::Whole);
        changed
    };
    let (login, changed) = futures::join!(login, change);

    assert_eq!(changed, 200);
    match login.status().as_u16() {
        200 => {
            let tokens: serde_json::Value = login.json().await.expect("tokens");
            thief.set_token(tokens["access_token"].as_str().map(str::to_owned));
            let refused = async || thief.get("/protected").await.reason().map(str::to_owned);
            eventually("the token to be refused", refused).await;
        }
        409 => assert_eq!(login.reason(), Some("account_changed")),
        // The held question took too long.
        status => assert_eq!((status, login.reason()), (503, Some("store_unavailable"))),
    }
    let listed = alice_sessions(&other).await;
    assert_eq!(listed, 1, "the session of the new password, and no other");
}

/// How many sessions operators see.
async fn alice_sessions(gw: &Gateway) -> usize {
    let listed = gw.cli(&["session", "list", "alice", "--output", "json"]);
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout).lines().count()
}
