//! What clients of five kinds of backends send to the gateway that stands in for their authentication, by the
//! files of `examples/replaced`, on both kinds of stores.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::forge;
use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};
use crate::readme;

const NEW_PASSWORD: &str = "a horse of another colour";

/// One gateway with embedded stores, and one on servers.
async fn gateways(file: &str, more: &str) -> [Gateway; 2] {
    let yaml = readme::on_test_ports(&readme::read(&format!("examples/replaced/{file}.yaml")));
    let setup = || Setup::file(&yaml).with(more);
    let servers = Stores::servers().await;
    [harness::gateway(setup()).await, harness::gateway(setup().stores(&servers)).await]
}

struct Answer {
    status: u16,
    body: Value,
    cookie: Option<String>,
    reason: Option<String>,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let cookie = response.headers().get("set-cookie");
        Self {
            status: response.status().as_u16(),
            cookie: cookie.map(|cookie| cookie.to_str().expect("ASCII").to_owned()),
            reason: response.reason().map(str::to_owned),
            body: serde_json::from_str(&response.text().await.expect("a whole body")).unwrap_or_default(),
        }
    }

    fn members(&self) -> BTreeSet<&str> {
        self.body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    fn text(&self, member: &str) -> String {
        let text = self.body[member].as_str();
        text.unwrap_or_else(|| panic!("no {member} in {}", self.body)).to_owned()
    }
}

/// Sends with this bearer, and with the cookies of before.
struct Program(Client);

impl Program {
    fn of(gw: &Gateway) -> Self {
        Self(gw.anonymous())
    }

    fn request(&self, method: Method, path: &str, bearer: Option<&str>) -> RequestBuilder {
        let request = self.0.request_without_token(method, path);
        match bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn post(&self, path: &str, bearer: Option<&str>, body: &Value) -> Answer {
        self.json(Method::POST, path, bearer, body).await
    }

    async fn json(&self, method: Method, path: &str, bearer: Option<&str>, body: &Value) -> Answer {
        Answer::of(self.0.send(self.request(method, path, bearer).json(body)).await).await
    }

    /// Without a body.
    async fn send(&self, method: Method, path: &str, bearer: Option<&str>) -> Answer {
        Answer::of(self.0.send(self.request(method, path, bearer)).await).await
    }

    async fn get(&self, path: &str, bearer: &str) -> Answer {
        self.send(Method::GET, path, Some(bearer)).await
    }
}

fn account(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password })
}

fn names<'n>(members: &[&'n str]) -> BTreeSet<&'n str> {
    members.iter().copied().collect()
}

#[tokio::test]
async fn clients_of_flask_with_a_limiter_go_on_unchanged() {
    for gw in gateways("flask-limiter", "").await {
        let program = Program::of(&gw);

        let registered = program.post("/register", None, &account("ada", PASSWORD)).await;
        assert_eq!(registered.status, 201);
        assert_eq!(registered.body, json!({ "message": "User registered successfully" }));
        let login = program.post("/login", None, &account("ada", PASSWORD)).await;
        assert_eq!((login.status, login.members()), (200, names(&["access_token", "refresh_token"])));
        assert_eq!(login.cookie, None);
        let wrong = program.post("/login", None, &account("ada", "wrong")).await;
        assert_eq!((wrong.status, wrong.body["msg"].as_str()), (401, Some("Wrong username or password")));
        assert_eq!(program.get("/protected", &login.text("access_token")).await.status, 200);
        assert_eq!(program.send(Method::GET, "/protected", None).await.status, 401);

        let refresh = login.text("refresh_token");
        let renewed = program.send(Method::POST, "/refresh", Some(&refresh)).await;
        assert_eq!((renewed.status, renewed.members()), (200, names(&["access_token"])));
        let access = renewed.text("access_token");
        assert_eq!(program.get("/expensive", &access).await.status, 200);
        assert_eq!(program.get("/expensive", &access).await.status, 200);
        assert_eq!(gw.upstream_calls("/expensive").await, 1, "cached");
        let mut refused = None;
        for _ in 0..40 {
            let answer = program.get("/expensive", &access).await;
            if answer.status != 200 {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.expect("ten a minute");
        assert_eq!((refused.status, refused.reason.as_deref()), (429, Some("rate_limited")));

        let logout = program.send(Method::DELETE, "/logout", Some(&access)).await;
        assert_eq!((logout.status, logout.body), (200, json!({ "msg": "Logged out" })));
        assert_eq!(program.get("/protected", &access).await.reason.as_deref(), Some("token_revoked"));
    }
}

#[tokio::test]
async fn clients_of_fastapi_with_redis_go_on_unchanged() {
    let keys = r#"tokens: { keys: [{ id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }] }"#;
    for gw in gateways("fastapi-redis", keys).await {
        let program = Program::of(&gw);

        let registered = program.post("/auth/register", None, &account("grace", PASSWORD)).await;
        assert_eq!((registered.status, registered.text("username")), (201, "grace".to_owned()));
        let form = [("username", "grace"), ("password", PASSWORD)];
        let request = program.request(Method::POST, "/auth/login", None).form(&form);
        let by_form = Answer::of(program.0.send(request).await).await;
        let by_json = program.post("/auth/login", None, &account("grace", PASSWORD)).await;
        for login in [&by_form, &by_json] {
            assert_eq!((login.status, login.members()), (200, names(&["access_token", "token_type"])));
            let cookie = login.cookie.as_deref().expect("the refresh token is in a cookie");
            assert!(cookie.contains("HttpOnly") && cookie.contains("Path=/auth;"), "{cookie}");
            let topics = program.get("/questions/topics", &login.text("access_token")).await;
            assert_eq!(topics.status, 200);
        }
        let wrong = program.post("/auth/login", None, &account("grace", "wrong")).await;
        assert_eq!(wrong.status, 401);

        let expired = forge::claiming("exp", forge::now() - 3600);
        let expired = program.get("/questions/topics", &expired).await;
        assert_eq!((expired.status, expired.text("detail")), (401, "Access token expired".to_owned()));
        let renewed = program.send(Method::POST, "/auth/refresh", None).await;
        assert_eq!((renewed.status, renewed.members()), (200, names(&["access_token", "token_type"])));
        let access = renewed.text("access_token");
        assert_eq!(program.get("/questions/topics", &access).await.status, 200);

        let logout = program.send(Method::POST, "/auth/logout", Some(&access)).await;
        assert_eq!((logout.status, logout.body), (200, json!({ "message": "Logged out" })));
        assert_eq!(program.get("/questions/topics", &access).await.reason.as_deref(), Some("token_revoked"));
        assert_eq!(program.send(Method::POST, "/auth/refresh", None).await.status, 401);
        shows_docs(&gw, &["/docs"]).await;
    }
}

/// The page, and what it loads.
async fn shows_docs(gw: &Gateway, paths: &[&str]) {
    let client = gw.anonymous();
    for path in paths {
        let page = client.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        let page = page.text().await.expect("HTML");
        let scripts: Vec<&str> =
            page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(scripts.len(), 2, "{page}");
        for script in scripts {
            assert_eq!(client.get(script).await.status(), 200, "{script}");
        }
        let description = page.split("data-description=\"").nth(1).and_then(|rest| rest.split('"').next());
        let description = client.get(description.expect("the page names it")).await;
        assert_eq!(description.json::<Value>().await.expect("JSON")["openapi"], "3.1.0");
    }
}

#[tokio::test]
async fn clients_of_fastapi_with_a_blacklist_go_on_unchanged() {
    for gw in gateways("fastapi-blacklist", "").await {
        let program = Program::of(&gw);

        assert_eq!(program.post("/auth/register", None, &account("alan", PASSWORD)).await.status, 201);
        let login = program.post("/auth/token", None, &account("alan", PASSWORD)).await;
        assert_eq!((login.status, login.members()), (200, names(&["access_token"])));
        let first = login.cookie.clone().expect("a cookie");
        assert_eq!(program.post("/auth/token", None, &account("alan", "wrong")).await.status, 401);
        let renewed = program.send(Method::POST, "/auth/refresh", None).await;
        assert_eq!((renewed.status, renewed.members()), (200, names(&["access_token"])));
        assert_ne!(renewed.cookie.clone().expect("the next one"), first, "it rotates");

        let access = renewed.text("access_token");
        assert_eq!(program.get("/secure/data", &access).await.status, 200);
        for target in ["/secure/heavy-task?n=20", "/secure/heavy-task?n=20", "/secure/heavy-task?n=19"] {
            assert_eq!(program.get(target, &access).await.status, 200);
        }
        assert_eq!(gw.upstream_calls("/secure/heavy-task").await, 2, "cached by n");
        let cookie = renewed.cookie.as_deref().and_then(|cookie| cookie.split(';').next()).expect("a cookie");
        let logout = program.send(Method::POST, "/auth/logout", Some(&access)).await;
        assert_eq!((logout.status, logout.body), (200, json!({ "message": "Logged out" })));
        assert_eq!(program.get("/secure/data", &access).await.status, 401);
        let request = gw.anonymous().request(Method::POST, "/auth/refresh").header("cookie", cookie);
        let reused = Answer::of(request.send().await.expect("an answer")).await;
        assert_eq!((reused.status, reused.reason.as_deref()), (401, Some("refresh_invalid")));
        shows_docs(&gw, &["/docs", "/redoc"]).await;
    }
}

#[tokio::test]
async fn clients_of_flask_with_a_user_resource_go_on_unchanged() {
    for gw in gateways("flask-user-resource", "").await {
        let program = Program::of(&gw);

        let created = program.post("/user", None, &account("edsger", PASSWORD)).await;
        assert_eq!(created.status, 201);
        assert_eq!(created.body, json!({ "message": "User created successfully" }));
        let again = program.post("/user", None, &account("edsger", PASSWORD)).await;
        assert_eq!((again.status, again.text("message")), (409, again.text("detail")));
        let login = program.post("/authenticate_user", None, &account("edsger", PASSWORD)).await;
        assert_eq!((login.status, login.members()), (200, names(&["token"])));
        let token = login.text("token");
        assert_eq!(lifetime(&token), 35 * 60);

        let seen = program.get("/user", &token).await;
        assert_eq!((seen.status, seen.members()), (200, names(&["token", "user"])));
        assert_eq!(seen.body["user"]["username"], "edsger");
        assert!(
            seen.body["user"]["id"].is_string()
                && seen.body["user"].as_object().is_some_and(|user| user.len() == 2)
        );
        let renewed = seen.text("token");
        assert_ne!(renewed, token);
        assert_eq!((program.get("/protected", &renewed).await.status, lifetime(&renewed)), (200, 35 * 60));
        let bodies = [(Some(&renewed), Value::Null), (None, json!({ "token": renewed }))];
        for (bearer, body) in bodies {
            let bearer = bearer.map(String::as_str);
            let answer = match body {
                Value::Null => program.send(Method::POST, "/validate_token", bearer).await,
                body => program.post("/validate_token", bearer, &body).await,
            };
            assert_eq!((answer.status, answer.members()), (200, names(&["message", "token"])));
            assert_eq!(answer.text("message"), "Token is valid");
            assert_eq!(program.get("/protected", &answer.text("token")).await.status, 200);
        }
        assert_eq!(program.post("/validate_token", None, &json!({ "token": "x.y.z" })).await.status, 401);

        let put = account("dijkstra", NEW_PASSWORD);
        let changed = program.json(Method::PUT, "/user", Some(&renewed), &put).await;
        assert_eq!((changed.status, changed.members()), (200, names(&["message", "token"])));
        assert_eq!(changed.text("message"), "User updated successfully");
        let token = changed.text("token");
        assert_eq!(program.get("/user", &token).await.body["user"]["username"], "dijkstra");
        assert_eq!(
            program.get("/protected", &renewed).await.status,
            401,
            "the old password's session is over"
        );
        for (name, password, status) in
            [("edsger", PASSWORD, 401), ("dijkstra", PASSWORD, 401), ("dijkstra", NEW_PASSWORD, 200)]
        {
            let login = program.post("/authenticate_user", None, &account(name, password)).await;
            assert_eq!(login.status, status, "{name} {password}");
        }

        let logout = program.post("/logout", None, &json!({ "token": token })).await;
        assert_eq!((logout.status, logout.body), (200, json!({ "message": "Logged out successfully" })));
        assert_eq!(program.get("/user", &token).await.status, 401);
        assert_eq!(program.post("/logout", None, &json!({ "token": token })).await.status, 401);
        assert_eq!(program.post("/logout", None, &json!({ "tokn": token })).await.status, 400);

        let login = program.post("/authenticate_user", None, &account("dijkstra", NEW_PASSWORD)).await;
        let token = login.text("token");
        let deleted = program.send(Method::DELETE, "/user", Some(&token)).await;
        assert_eq!((deleted.status, deleted.members()), (200, names(&["message", "token"])));
        assert_eq!(deleted.text("message"), "User deleted successfully");
        assert_eq!(program.get("/user", &deleted.text("token")).await.status, 401);
    }
}

/// In seconds.
fn lifetime(token: &str) -> u64 {
    let payload = token.split('.').nth(1).expect("a JWT");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let claims: Value = serde_json::from_slice(&payload).expect("JSON");
    claims["exp"].as_u64().expect("seconds") - claims["iat"].as_u64().expect("seconds")
}

#[tokio::test]
async fn clients_of_flask_with_roles_and_a_lockout_go_on_unchanged() {
    for gw in gateways("flask-rbac", "trusted_proxies: [127.0.0.1]").await {
        let program = Program::of(&gw);

        let mut with_role = account("barbara", PASSWORD);
        with_role["role"] = "admin".into();
        let refused = program.post("/auth/register", None, &with_role).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text("message").contains("an administrator grants them"), "{}", refused.body);
        let registered = program.post("/auth/register", None, &account("barbara", PASSWORD)).await;
        assert_eq!(registered.status, 201);
        assert_eq!(registered.body, json!({ "message": "User registered successfully" }));
        let login = program.post("/auth/login", None, &account("barbara", PASSWORD)).await;
        assert_eq!((login.status, login.members()), (200, names(&["token"])));
        let token = login.text("token");
        assert_eq!(program.get("/auth/protected", &token).await.status, 200);
        assert_eq!(gw.upstream_calls("/auth/protected").await, 1);
        assert_eq!(program.send(Method::GET, "/auth/protected", None).await.status, 401);
        assert_eq!(program.get("/admin/dashboard", &token).await.status, 403);
        let output = gw.cli(&["user", "set-role", "barbara", "admin", "--config", "gateway.yaml"]);
        assert!(output.status.success(), "{output:?}");
        let login = program.post("/auth/login", None, &account("barbara", PASSWORD)).await;
        assert_eq!(program.get("/admin/dashboard", &login.text("token")).await.status, 200);

        assert_eq!(program.post("/auth/register", None, &account("eve", PASSWORD)).await.status, 201);
        let from = async |address: &str, password: &str| {
            let request = program.request(Method::POST, "/auth/login", None).json(&account("eve", password));
            Answer::of(program.0.send(request.header("x-forwarded-for", address)).await).await
        };
        for _ in 0..5 {
            assert_eq!(from("192.0.2.1", "wrong").await.reason.as_deref(), Some("bad_credentials"));
        }
        let sixth = from("192.0.2.1", "wrong").await;
        assert_eq!((sixth.status, sixth.reason.as_deref()), (429, Some("rate_limited")));
        assert_ne!(from("192.0.2.2", PASSWORD).await.status, 200, "locked, whatever the address");
        let audit = ["audit", "tail", "--no-follow", "--lines", "100", "--output", "json", "--user", "eve"];
        let output = gw.cli(&audit);
        let records = String::from_utf8(output.stdout).expect("UTF-8");
        let locked = records.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let locked: Vec<Value> = locked.filter(|record| record["event"] == "locked_out").collect();
        assert_eq!(locked.len(), 1, "{records}");
        assert_eq!(locked[0]["address"], "192.0.2.1");
        assert!(locked[0]["at"].is_string());
    }
}
