//! The admin API on the admin port: who may call it, and what it does; on either edition.

use http::Method;
use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Setup, Stores};

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

/// An operator at work.
struct Operator<'g> {
    gateway: &'g Gateway,
    client: Client,
}

impl<'g> Operator<'g> {
    async fn of(gateway: &'g Gateway) -> Self {
        Self { gateway, client: gateway.admin("root").await }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.gateway.admin_request(method, path).bearer_auth(self.client.token());
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("the admin port answers")
    }

    /// The answer's body, when all is well.
    async fn get(&self, path: &str) -> Value {
        let response = self.call(Method::GET, path, None).await;
        assert_eq!(response.status(), 200, "{path}: {}", response.text().await.unwrap_or_default());
        response.json().await.expect("it answers in JSON")
    }

    async fn status(&self, method: Method, path: &str, body: Option<Value>) -> u16 {
        self.call(method, path, body).await.status().as_u16()
    }
}

fn names(users: &Value) -> Vec<&str> {
    let users = users["users"].as_array().expect("a list");
    users.iter().filter_map(|user| user["username"].as_str()).collect()
}

async fn code_of(client: &Client) -> Option<String> {
    client.get("/protected").await.reason().map(str::to_owned)
}

#[tokio::test]
async fn nobody_gets_in_without_an_admins_good_token() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let former = gw.admin("former").await;
        let gone = gw.admin("gone").await;
        gone.logout().await;
        assert!(gw.cli(&["user", "set-role", "former", "user"]).status.success());
        let endpoints = [
            (Method::GET, "/api/users"),
            (Method::POST, "/api/users"),
            (Method::DELETE, "/api/users/alice"),
            (Method::GET, "/api/audit"),
            (Method::GET, "/api/nothing"),
        ];

        for (method, path) in endpoints {
            for (token, status, code) in [
                (None, 401, "no_credentials"),
                (Some("garbage".to_owned()), 401, "token_malformed"),
                (Some(alice.token()), 403, "role_missing"),
                (Some(gone.token()), 401, "token_revoked"),
            ] {
                let mut request = gw.admin_request(method.clone(), path);
                if let Some(token) = &token {
                    request = request.bearer_auth(token);
                }
                let answer = request.send().await.expect("the admin port answers");
                assert_eq!(
                    (answer.status(), answer.reason()),
                    (status.try_into().unwrap(), Some(code)),
                    "{path}"
                );
                assert_eq!(answer.headers()["cache-control"], "no-store");
            }
        }
        let refused = harness::eventually("the role's end", async || {
            let request = gw.admin_request(Method::GET, "/api/users").bearer_auth(former.token());
            let answer = request.send().await.expect("the admin port answers");
            (answer.status() != 200).then(|| answer.reason().map(str::to_owned))
        });
        assert_eq!(refused.await.as_deref(), Some("token_stale"));
        let basic = gw.admin_request(Method::GET, "/api/users").basic_auth("root", Some(PASSWORD));
        assert_eq!(basic.send().await.expect("it answers").reason(), Some("token_malformed"));
        let root = gw.admin("root").await;
        assert_eq!(root.get("/api/users").await.reason(), Some("route_not_found"), "not on the proxy's port");
    }
}

#[tokio::test]
async fn users_are_listed_page_by_page_and_found_by_the_start_of_their_names() {
    for gw in both_editions().await {
        let root = Operator::of(&gw).await;
        for name in ["alan", "Alice", "bob"] {
            let new =
                json!({ "username": name, "password": PASSWORD, "email": format!("{name}@example.org") });
            assert_eq!(root.status(Method::POST, "/api/users", Some(new)).await, 201);
        }

        let first = root.get("/api/users?limit=2").await;
        assert_eq!((names(&first), &first["next"]), (vec!["alan", "Alice"], &json!("Alice")));
        let second = root.get("/api/users?limit=2&after=Alice").await;
        assert_eq!((names(&second), &second["next"]), (vec!["bob", "root"], &Value::Null));
        assert_eq!(names(&root.get("/api/users?search=AL").await), ["alan", "Alice"]);
        let alice = root.get("/api/users/alice").await;
        assert_eq!((&alice["roles"], &alice["disabled"]), (&json!(["user"]), &json!(false)));
        assert!(alice.get("password_hash").is_none());
        let by_id = root.get(&format!("/api/users/{}", alice["id"].as_str().expect("an id"))).await;
        assert_eq!(by_id, alice);

        for (path, status, code) in [
            ("/api/users/nobody", 404, "not_found"),
            ("/api/users?limit=0", 400, "bad_request"),
            ("/api/users?limit=501", 400, "bad_request"),
            ("/api/users?offset=1", 400, "bad_request"),
            ("/api/users/%ff", 400, "bad_path"),
            ("/api/users/a%00b", 404, "not_found"),
            ("/api/nothing", 404, "route_not_found"),
        ] {
            let answer = root.call(Method::GET, path, None).await;
            assert_eq!((answer.status().as_u16(), answer.reason()), (status, Some(code)), "{path}");
        }
        for (body, code) in [
            (json!({ "username": "ALICE", "password": PASSWORD }), "username_taken"),
            (json!({ "username": "carol", "password": "short" }), "weak_password"),
            (json!({ "username": "carol", "password": PASSWORD, "roles": ["Admin"] }), "bad_request"),
            (json!({ "username": "carol", "password": PASSWORD, "email": "none" }), "bad_request"),
            (json!({ "username": "carol" }), "bad_request"),
        ] {
            assert_eq!(root.call(Method::POST, "/api/users", Some(body)).await.reason(), Some(code));
        }
        let wrong = root.call(Method::PATCH, "/api/users", None).await;
        assert_eq!((wrong.status().as_u16(), wrong.reason()), (405, Some("method_not_allowed")));
    }
}

#[tokio::test]
async fn what_an_operator_takes_away_is_gone_at_once() {
    for gw in both_editions().await {
        let root = Operator::of(&gw).await;
        let alice = gw.register("alice").await;

        let roles = Some(json!({ "roles": ["editor"] }));
        assert_eq!(root.status(Method::PUT, "/api/users/alice/roles", roles).await, 200);
        assert_eq!(code_of(&alice).await.as_deref(), Some("token_stale"));
        alice.login().await;
        assert_eq!(root.status(Method::POST, "/api/users/alice/disable", None).await, 200);
        assert_eq!(code_of(&alice).await.as_deref(), Some("token_revoked"));
        let credentials = json!({ "username": "alice", "password": PASSWORD });
        assert_eq!(alice.post("/auth/login", &credentials).await.reason(), Some("account_disabled"));
        assert_eq!(root.status(Method::POST, "/api/users/alice/enable", None).await, 200);
        alice.login().await;

        let password = Some(json!({ "password": "given out by an operator" }));
        assert_eq!(root.status(Method::PUT, "/api/users/alice/password", password).await, 204);
        assert_eq!(code_of(&alice).await.as_deref(), Some("token_revoked"));
        assert_eq!(alice.post("/auth/login", &credentials).await.reason(), Some("bad_credentials"));
        let unlocked = root.call(Method::POST, "/api/users/alice/unlock", None).await;
        assert_eq!(unlocked.json::<Value>().await.expect("JSON"), json!({ "was_locked": true }));

        let bob = gw.register("bob").await;
        assert_eq!(root.status(Method::DELETE, "/api/users/bob", None).await, 204);
        assert_eq!(code_of(&bob).await.as_deref(), Some("token_revoked"));
        assert_eq!(root.status(Method::DELETE, "/api/users/bob", None).await, 404);
    }
}

#[tokio::test]
async fn sessions_are_seen_and_ended() {
    for gw in both_editions().await {
        let root = Operator::of(&gw).await;
        let alice = gw.register("alice").await;
        let elsewhere = gw.client("alice");
        elsewhere.login().await;

        let listed = root.get("/api/users/alice/sessions").await;
        let sessions = listed["sessions"].as_array().expect("a list");
        assert_eq!((sessions.len(), &sessions[0]["username"]), (2, &json!("alice")));
        let newest = format!("/api/sessions/{}", sessions[0]["id"].as_str().expect("an id"));
        assert_eq!(root.status(Method::DELETE, &newest, None).await, 204);
        assert_eq!(code_of(&elsewhere).await.as_deref(), Some("token_revoked"));
        assert_eq!(code_of(&alice).await, None);
        for path in [newest.as_str(), "/api/sessions/7"] {
            assert_eq!(root.call(Method::DELETE, path, None).await.reason(), Some("not_found"), "{path}");
        }

        let ended = root.call(Method::DELETE, "/api/users/alice/sessions", None).await;
        assert_eq!(ended.json::<Value>().await.expect("JSON"), json!({ "ended": 1 }));
        assert_eq!(code_of(&alice).await.as_deref(), Some("token_revoked"));
    }
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_to_whom() {
    for gw in both_editions().await {
        let root = Operator::of(&gw).await;
        let alice = gw.register("alice").await;
        let wrong = json!({ "username": "alice", "password": "not the password" });
        alice.post("/auth/login", &wrong).await;
        let roles = Some(json!({ "roles": ["editor"] }));
        let change = root.gateway.admin_request(Method::PUT, "/api/users/alice/roles");
        let change = change.bearer_auth(root.client.token()).header("user-agent", "console/1").json(&roles);
        assert_eq!(change.send().await.expect("it answers").status(), 200);

        let log = root.get("/api/audit?user=alice").await;
        let records = log["records"].as_array().expect("a list");
        let [roles, failed, login, registered] = records.as_slice() else { panic!("{log}") };
        assert_eq!((&roles["event"], &roles["actor"]), (&json!("roles_changed"), &json!("root")));
        assert_eq!((&roles["reason"], &roles["user_agent"]), (&json!("editor"), &json!("console/1")));
        assert_eq!((&roles["username"], &roles["address"]), (&json!("alice"), &json!("127.0.0.1")));
        assert_eq!((&failed["event"], &failed["outcome"]), (&json!("login_failed"), &json!("failure")));
        assert_eq!((&login["event"], &login["outcome"]), (&json!("logged_in"), &json!("success")));
        assert_eq!(registered["event"], json!("registered"));

        let page = root.get("/api/audit?user=alice&limit=1").await;
        let next = page["next"].as_i64().expect("there is more");
        let rest = root.get(&format!("/api/audit?user=alice&before={next}")).await;
        assert_eq!(rest["records"].as_array(), Some(&records[1..].to_vec()));
        let failures = root.get("/api/audit?event=login_failed").await;
        assert_eq!(failures["records"], json!([failed]));
        let since = failed["at"].as_str().expect("a time");
        let later = root.get(&format!("/api/audit?user=alice&since={since}")).await;
        assert_eq!(later["records"], json!([roles, failed]));
        let earlier = root.get(&format!("/api/audit?user=alice&until={since}")).await;
        assert_eq!(earlier["records"], json!([login, registered]));
        for query in ["event=nothing", "since=yesterday", "page=2", "user=%ff&limit=x"] {
            let answer = root.call(Method::GET, &format!("/api/audit?{query}"), None).await;
            assert_eq!((answer.status().as_u16(), answer.reason()), (400, Some("bad_request")), "{query}");
        }
    }
}

#[tokio::test]
async fn a_state_store_that_is_away_lets_nobody_in() {
    let stores = Stores::servers().await;
    let Stores::Servers { redis, .. } = &stores else { unreachable!("asked for") };
    let strict = "revocation: { mode: strict }\n";
    let gw = harness::gateway(Setup::from(strict).stores(&stores)).await;
    let root = Operator::of(&gw).await;
    assert_eq!(root.status(Method::GET, "/api/users", None).await, 200);

    redis.kill();

    let refused = root.call(Method::GET, "/api/users", None).await;
    assert_eq!((refused.status().as_u16(), refused.reason()), (503, Some("store_unavailable")));
}

/// As `portcullis user mend` does, for who has no shell on the gateway's machine.
#[tokio::test]
async fn an_account_is_mended_and_everything_from_before_ends() {
    for gw in both_editions().await {
        let root = Operator::of(&gw).await;
        let alice = gw.register("alice").await;
        let before = root.get("/api/users/alice").await["version"].as_u64().expect("a number");

        let mended = root.call(Method::POST, "/api/users/alice/mend", None).await;

        assert_eq!(mended.status(), 200);
        let mended: Value = mended.json().await.expect("it answers in JSON");
        assert!(mended["version"].as_u64().is_some_and(|version| version > before), "{mended}");
        let refused = async || code_of(&alice).await;
        let refused = harness::eventually("the end of the old token", refused).await;
        assert!(["token_revoked", "token_stale"].contains(&refused.as_str()), "{refused}");
        let refresh = alice.request_without_token(Method::POST, "/auth/refresh");
        assert_eq!(alice.send(refresh).await.reason(), Some("refresh_invalid"));
        alice.login().await;
        assert_eq!(alice.get("/protected").await.status(), 200);
        let records = root.get("/api/audit?event=mended").await;
        assert_eq!(records["records"][0]["actor"], "root");
        assert_eq!(root.status(Method::POST, "/api/users/nobody/mend", None).await, 404);
    }
}
