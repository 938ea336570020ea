//! What a user may do to their own account, password and sessions; on either edition.

use http::Method;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Setup, Stores};

const NEW_PASSWORD: &str = "a horse of another colour";

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

async fn json_of(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.expect("a whole body");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).expect("it answers in JSON")
}

async fn sends(client: &Client, method: Method, path: &str, body: &Value) -> Response {
    client.send(client.request(method, path).json(body)).await
}

async fn login_with(client: &Client, username: &str, password: &str) -> Response {
    let credentials = json!({ "username": username, "password": password });
    client.send(client.request_without_token(Method::POST, "/auth/login").json(&credentials)).await
}

async fn code_of(client: &Client) -> Option<String> {
    client.get("/protected").await.reason().map(str::to_owned)
}

/// The events of an account as the operator sees them, oldest first.
fn audited(gw: &Gateway, user: &str) -> Vec<String> {
    let output =
        gw.cli(&["audit", "tail", "--no-follow", "--lines", "100", "--output", "json", "--user", user]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let events = lines.lines().map(|line| {
        let record: Value = serde_json::from_str(line).expect("one document on a line");
        record["event"].as_str().expect("every record has one").to_owned()
    });
    events.collect()
}

#[tokio::test]
async fn a_changed_profile_is_everywhere_after_a_refresh() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let bob = gw.register("bob").await;

        let email = json!({ "email": "a@example.org", "password": PASSWORD });
        let changed = json_of(sends(&alice, Method::PATCH, "/auth/me", &email).await).await;
        assert_eq!((&changed["username"], &changed["email"]), (&json!("alice"), &json!("a@example.org")));
        assert_eq!(code_of(&alice).await.as_deref(), Some("token_stale"));
        alice.refresh().await;
        let whole = json!({ "username": "Alicia", "password": PASSWORD });
        let changed = json_of(sends(&alice, Method::PUT, "/auth/me", &whole).await).await;
        assert_eq!((&changed["username"], &changed["email"]), (&json!("Alicia"), &Value::Null));
        alice.refresh().await;
        let echo: Value = alice.get("/echo").await.json().await.expect("JSON");
        assert!(echo.to_string().contains("\"Alicia\""), "{echo}");

        let taken =
            sends(&bob, Method::PATCH, "/auth/me", &json!({ "username": "ALICIA", "password": PASSWORD }))
                .await;
        assert_eq!((taken.status().as_u16(), taken.reason()), (409, Some("username_taken")));
        for bad in [
            json!({ "username": "two words" }),
            json!({ "email": "nowhere" }),
            json!({ "roles": ["admin"] }),
            json!({ "username": null, "id": "x" }),
        ] {
            let refused = sends(&bob, Method::PATCH, "/auth/me", &bad).await;
            assert_eq!((refused.status().as_u16(), refused.reason()), (400, Some("bad_request")), "{bad}");
        }
        assert_eq!(code_of(&bob).await, None, "refused changes change nothing");
        let same = json_of(sends(&bob, Method::PUT, "/auth/me", &json!({ "username": "bob" })).await).await;
        assert_eq!((&same["username"], code_of(&bob).await), (&json!("bob"), None));
        assert_eq!(login_with(&alice, "alice", PASSWORD).await.reason(), Some("bad_credentials"));
        assert_eq!(login_with(&alice, "alicia", PASSWORD).await.status(), 200);
        // Mail to confirm the address goes out when it goes out.
        let events = audited(&gw, "alicia").into_iter().filter(|event| event != "verification_sent");
        assert_eq!(
            events.collect::<Vec<_>>(),
            ["registered", "logged_in", "profile_changed", "profile_changed", "logged_in"]
        );
    }
}

#[tokio::test]
async fn a_new_password_ends_every_session_but_the_one_it_starts() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let elsewhere = gw.client("alice");
        elsewhere.login().await;
        let old_token = alice.token();

        let change = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
        let answer = json_of(alice.post("/auth/password", &change).await).await;

        assert_eq!(code_of(&alice).await.as_deref(), Some("token_revoked"), "{old_token}");
        assert_eq!(code_of(&elsewhere).await.as_deref(), Some("token_revoked"));
        let request = elsewhere.request_without_token(Method::POST, "/auth/refresh");
        assert_eq!(elsewhere.send(request).await.reason(), Some("refresh_invalid"));
        alice.set_token(answer["access_token"].as_str().map(str::to_owned));
        assert_eq!(code_of(&alice).await, None);
        alice.refresh().await;
        assert_eq!(code_of(&alice).await, None, "the cookie of the new session came with it");
        assert_eq!(login_with(&gw.anonymous(), "alice", PASSWORD).await.reason(), Some("bad_credentials"));
        assert_eq!(login_with(&gw.anonymous(), "alice", NEW_PASSWORD).await.status(), 200);
        let events = audited(&gw, "alice");
        assert!(events.contains(&"password_changed".to_owned()), "{events:?}");
    }
}

#[tokio::test]
async fn a_wrong_old_password_counts_towards_the_lockout() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let change = |old: &str, new: &str| json!({ "old_password": old, "new_password": new });

        let weak = alice.post("/auth/password", &change(PASSWORD, "short")).await;
        assert_eq!((weak.status().as_u16(), weak.reason()), (400, Some("weak_password")));
        for _ in 0..5 {
            let wrong = alice.post("/auth/password", &change("not the password", NEW_PASSWORD)).await;
            assert_eq!((wrong.status().as_u16(), wrong.reason()), (401, Some("bad_credentials")));
        }
        let locked = alice.post("/auth/password", &change(PASSWORD, NEW_PASSWORD)).await;

        assert_eq!((locked.status().as_u16(), locked.reason()), (403, Some("account_locked")));
        assert!(locked.headers().contains_key("retry-after"));
        assert_eq!(login_with(&alice, "alice", PASSWORD).await.reason(), Some("account_locked"));
        assert_eq!(code_of(&alice).await, None, "the session goes on");
        let anonymous = gw.anonymous().post("/auth/password", &change(PASSWORD, NEW_PASSWORD)).await;
        assert_eq!(anonymous.reason(), Some("no_credentials"));
    }
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let bob = gw.register("bob").await;
        let phone = gw.client("alice");
        let login = phone
            .request_without_token(Method::POST, "/auth/login")
            .header("user-agent", "phone/1.0")
            .json(&json!({ "username": "alice", "password": PASSWORD }));
        let token = json_of(phone.send(login).await).await["access_token"].as_str().map(str::to_owned);
        phone.set_token(token);

        let listed = json_of(alice.get("/auth/sessions").await).await;
        let sessions = listed["sessions"].as_array().expect("a list");
        let [newest, oldest] = sessions.as_slice() else { panic!("{listed}") };
        assert_eq!((&newest["user_agent"], &newest["current"]), (&json!("phone/1.0"), &json!(false)));
        assert_eq!((&oldest["current"], &newest["address"]), (&json!(true), &json!("127.0.0.1")));
        for time in ["created_at", "last_used_at", "expires_at"] {
            assert!(newest[time].as_str().is_some_and(|time| time.ends_with('Z')), "{newest}");
        }

        let path = format!("/auth/sessions/{}", newest["id"].as_str().expect("an id"));
        let foreign = bob.send(bob.request(Method::DELETE, &path)).await;
        assert_eq!((foreign.status().as_u16(), foreign.reason()), (404, Some("not_found")));
        assert_eq!(code_of(&phone).await, None, "bob ended nothing");
        let anonymous = gw.anonymous();
        let refused = anonymous.send(anonymous.request(Method::DELETE, &path)).await;
        assert_eq!(refused.reason(), Some("no_credentials"));
        assert_eq!(
            sends(&alice, Method::DELETE, &path, &json!({ "password": PASSWORD })).await.status(),
            204
        );

        assert_eq!(code_of(&phone).await.as_deref(), Some("token_revoked"));
        assert_eq!(code_of(&alice).await, None);
        for gone in [path.as_str(), "/auth/sessions/7"] {
            let answer = alice.send(alice.request(Method::DELETE, gone)).await;
            assert_eq!((answer.status().as_u16(), answer.reason()), (404, Some("not_found")), "{gone}");
        }
        let left = json_of(alice.get("/auth/sessions").await).await;
        assert_eq!(left["sessions"].as_array().map(Vec::len), Some(1));
        assert!(audited(&gw, "alice").contains(&"session_ended".to_owned()));
    }
}

#[tokio::test]
async fn a_deleted_account_is_gone_at_once_and_stays_on_record() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let elsewhere = gw.client("alice");
        elsewhere.login().await;
        let id = alice.id().await;

        let deleted = sends(&alice, Method::DELETE, "/auth/me", &json!({ "password": PASSWORD })).await;

        assert_eq!(deleted.status(), 204);
        let cookie = deleted.headers()["set-cookie"].to_str().expect("ASCII");
        assert!(cookie.contains("Max-Age=0"), "{cookie}");
        for client in [&alice, &elsewhere] {
            assert_eq!(code_of(client).await.as_deref(), Some("token_revoked"));
        }
        let request = elsewhere.request_without_token(Method::POST, "/auth/refresh");
        assert_eq!(elsewhere.send(request).await.reason(), Some("refresh_invalid"));
        assert_eq!(login_with(&elsewhere, "alice", PASSWORD).await.reason(), Some("bad_credentials"));
        assert_eq!(audited(&gw, &id), ["registered", "logged_in", "logged_in", "deleted"]);
        let wanted = json!({ "username": "alice", "password": PASSWORD });
        let refused = gw.anonymous().post("/auth/register", &wanted).await;
        assert_eq!(refused.reason(), Some("username_taken"), "backends may still know her by it");
        assert!(gw.cli(&["user", "free-name", "alice"]).status.success());
        let successor = gw.register("alice").await;
        assert_ne!(successor.id().await, id);
        assert_eq!(code_of(&alice).await.as_deref(), Some("token_revoked"), "the name proves nothing");
    }
}

#[tokio::test]
async fn what_one_gateway_takes_away_counts_at_the_other() {
    let stores = Stores::servers().await;
    let one = harness::gateway(Setup::default().stores(&stores)).await;
    let other = harness::gateway(Setup::default().stores(&stores)).await;
    let alice = one.register("alice").await;
    let at_other = other.client("alice");
    at_other.set_token(Some(alice.token()));
    assert_eq!(code_of(&at_other).await, None);

    let change = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
    assert_eq!(alice.post("/auth/password", &change).await.status(), 200);

    harness::eventually("the revocation at the other gateway", async || {
        (code_of(&at_other).await.as_deref() == Some("token_revoked")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_a_hundred_who_want_one_name_one_gets_it() {
    // All of them may wait for a hashing thread, so that none is refused before it asks for the name.
    let roomy = "auth:\n  registration: open\n  limits: off\n  password: { queue: 100 }\n";
    let servers = Setup::default().stores(&Stores::servers().await);
    for setup in [Setup::default(), servers] {
        let gw = harness::gateway(setup.with(roomy)).await;
        let wanted = json!({ "username": "alice", "password": PASSWORD });
        let clients: Vec<Client> = (0..100).map(|_| gw.anonymous()).collect();
        let asked = clients.iter().map(|client| client.post("/auth/register", &wanted));

        let answers = futures::future::join_all(asked).await;

        let count = |status: u16, code: Option<&str>| {
            answers.iter().filter(|answer| answer.status() == status && answer.reason() == code).count()
        };
        assert_eq!((count(201, None), count(409, Some("username_taken"))), (1, 99));
    }
}

/// RFC 8265 §3.3: a capital sigma stands for either small one.
#[tokio::test]
async fn a_final_sigma_makes_no_other_name() {
    for gw in both_editions().await {
        let markos = gw.register("Μάρκος").await;
        let id = markos.id().await;
        for twin in ["ΜΆΡΚΟΣ", "μάρκοσ", "ΜΑ\u{301}ΡΚΟΣ"] {
            let wanted = json!({ "username": twin, "password": PASSWORD });
            let refused = gw.anonymous().post("/auth/register", &wanted).await;
            assert_eq!(
                (refused.status().as_u16(), refused.reason()),
                (409, Some("username_taken")),
                "{twin}"
            );
        }

        // As accounts from before have it.
        as_before(&gw, "UPDATE users SET username_key = 'μάρκος'").await;
        for spelt in ["Μάρκος", "ΜΆΡΚΟΣ", "μάρκος", "μάρκοσ"] {
            let answer = json_of(login_with(&markos, spelt, PASSWORD).await).await;
            markos.set_token(answer["access_token"].as_str().map(str::to_owned));
            assert_eq!(markos.id().await, id, "{spelt}");
        }
        let wanted = json!({ "username": "ΜΆΡΚΟΣ", "password": PASSWORD });
        assert_eq!(gw.anonymous().post("/auth/register", &wanted).await.reason(), Some("username_taken"));
        let bob = gw.register("bob").await;
        let rename = json!({ "username": "ΜΆΡΚΟΣ", "password": PASSWORD });
        let refused = sends(&bob, Method::PATCH, "/auth/me", &rename).await;
        assert_eq!(refused.reason(), Some("username_taken"));
        let listed = gw.cli(&["user", "list", "--search", "ΜΆΡΚΟΣ"]);
        assert!(String::from_utf8_lossy(&listed.stdout).contains(&id), "{listed:?}");
    }
}

/// In the gateway's own database, whichever that is.
async fn as_before(gw: &Gateway, statement: &'static str) {
    match gw.stores().urls() {
        Some((database_url, _)) => {
            let mut database = PgConnection::connect(&database_url).await.expect("it runs");
            database.execute(statement).await.expect("it can be written");
        }
        None => {
            let url = format!("sqlite://{}", gw.home().join("data/portcullis.db").display());
            let mut database = SqliteConnection::connect(&url).await.expect("it is there");
            database.execute(statement).await.expect("it can be written");
        }
    }
}
