//! Aliases: what clients of other programs send, what they get, and what lies around an alias.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};
use crate::refusal::Refusal;

async fn both(yaml: &str) -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway(yaml).await, harness::gateway(Setup::from(yaml).stores(&servers)).await]
}

async fn sends(client: &Client, method: Method, path: &str, body: &Value) -> Response {
    client.send(client.request(method, path).json(body)).await
}

async fn json_of(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.expect("a whole body");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// It looked like a new password that was taken.
#[tokio::test]
async fn a_password_without_effect_is_refused() {
    for gw in both("auth: { limits: off, aliases: { /user: [register, me] } }").await {
        let alice = gw.register("alice").await;

        for (method, path) in [(Method::PUT, "/user"), (Method::PUT, "/auth/me"), (Method::PATCH, "/auth/me")]
        {
            let body = json!({ "username": "alice", "password": "a horse of another colour" });
            let refusal = Refusal::read(sends(&alice, method.clone(), path, &body).await).await;
            assert_eq!(refusal, (400, "bad_request"), "{method} {path}");
            assert!(refusal.detail().starts_with("`password` has no effect"), "{}", refusal.detail());
        }
        alice.login().await;
    }
}

#[tokio::test]
async fn an_alias_takes_members_by_the_names_of_its_clients() {
    let yaml = "
        auth:
          limits: off
          aliases:
            /signup: { endpoint: register, request: { login: username, secret: password } }
            /signin:
              endpoint: login
              request: { login: username, secret: password }
              answer: { data: { tokens: { access: access_token, refresh: refresh_token }, ok: { text: Welcome } } }
            /signout: { endpoint: logout, request: { token: access_token } }
        ";
    for gw in both(yaml).await {
        let client = gw.anonymous();
        let account = json!({ "login": "alice", "secret": PASSWORD });

        assert_eq!(client.post("/signup", &account).await.status(), 201);
        let answer = json_of(client.post("/signin", &account).await).await;
        let access = answer["data"]["tokens"]["access"].as_str().expect("an access token");
        assert!(
            answer["data"]["tokens"]["refresh"].is_string() && answer["data"]["ok"] == "Welcome",
            "{answer}"
        );
        assert_eq!(client.present(access, "/protected").await.status, 200);
        let form = client.request(Method::POST, "/signin").form(&[("login", "alice"), ("secret", PASSWORD)]);
        json_of(client.send(form).await).await;

        for (body, detail) in [
            (json!({ "login": "alice" }), "Not accepted: missing field `secret`"),
            (json!({ "login": 7, "secret": "x" }), "`login` has the wrong type or value"),
            (
                json!({ "login": "a", "username": "b", "secret": "x" }),
                "Not accepted: duplicate field `username`",
            ),
        ] {
            let refusal = Refusal::read(client.post("/signin", &body).await).await;
            assert_eq!((refusal.status, refusal.detail()), (400, detail), "{body}");
        }
        let unknown = Refusal::read(client.post("/signin", &json!({ "log_in": "a" })).await).await;
        assert!(unknown.detail().starts_with("Not accepted: unknown field `log_in`"), "{}", unknown.detail());

        assert_eq!(client.post("/signout", &json!({ "token": access })).await.status(), 204);
        assert_eq!(client.present(access, "/protected").await, (401, "token_revoked"));
        let over = Refusal::read(client.post("/signout", &json!({ "token": access })).await).await;
        assert_eq!(over, (401, "token_revoked"));
    }
}

/// It ends with the session, as the access tokens of refreshes do.
#[tokio::test]
async fn an_alias_renews_the_access_token_of_a_session_and_of_no_other() {
    let yaml = "
        auth:
          limits: off
          aliases:
            /me: { endpoint: me, answer: { name: username, token: access_token } }
            /check: { endpoint: validate, answer: { ok: valid, token: access_token } }
        ";
    for gw in both(yaml).await {
        let alice = gw.register("alice").await;
        let elsewhere = gw.client("alice");
        elsewhere.login().await;
        let first = alice.token();

        for path in ["/me", "/check"] {
            let answer = json_of(alice.get(path).await).await;
            let renewed = answer["token"].as_str().expect("a token");
            assert_ne!(renewed, first);
            assert_eq!(alice.present(renewed, "/protected").await.status, 200, "{path}");
        }
        let answer = json_of(alice.get("/me").await).await;
        let own = json_of(alice.get("/auth/me").await).await;
        assert_eq!(own.get("access_token"), None, "at the endpoint's own path there is none");
        alice.logout().await;
        let renewed = answer["token"].as_str().expect("a token");
        assert_eq!(alice.present(renewed, "/protected").await, (401, "token_revoked"));
        assert_eq!(Refusal::read(alice.get("/me").await).await, (401, "token_revoked"));
        assert_eq!(elsewhere.get("/me").await.status(), 200);
    }
}

/// A wildcard upstream would get the password.
#[tokio::test]
async fn class_98_what_is_spelled_like_an_alias_or_lies_beneath_it_is_no_upstreams() {
    let gw = harness::gateway(
        r#"
        auth: { limits: off, aliases: { /login: login, /api/user: [register, me] } }
        routes:
          - { path: "/{*rest}", upstream: example, access: public }
          - { path: "/login/photos/{id}", upstream: example, access: public }
        "#,
    )
    .await;
    let client = gw.anonymous();
    let account = json!({ "username": "alice", "password": PASSWORD });

    for path in
        ["/LOGIN", "/Login", "/login/", "/login/x", "/LOGIN/x/y", "/API/user", "/api/USER/", "/api/user/7/x"]
    {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let refusal = Refusal::read(sends(&client, method.clone(), path, &account).await).await;
            assert_eq!(refusal, (404, "route_not_found"), "{method} {path}");
        }
    }
    assert!(gw.upstream().all_calls().await.is_empty(), "credentials were sent on");
    let question = ["explain", "POST", "/LOGIN", "--output", "json", "--config", "gateway.yaml"];
    let explained = String::from_utf8(gw.cli(&question).stdout).expect("UTF-8");
    assert!(explained.contains("route_not_found"), "{explained}");
    // Pages have no password, other paths are others, and the file may name one.
    for path in ["/login/help", "/loginx", "/LOGIN"] {
        assert_eq!(client.get(path).await.reason(), None, "{path}");
    }
    for path in ["/logins", "/api/users", "/login/photos/7"] {
        assert_eq!(client.post(path, &account).await.reason(), None, "{path}");
    }
}

/// It was for `/auth` alone, where this alias never saw it.
#[tokio::test]
async fn the_refresh_cookie_reaches_an_alias_outside_the_prefix() {
    for gw in both("auth: { limits: off, aliases: { /token/refresh: refresh, /bye: logout } }").await {
        let alice = gw.register("alice").await;

        for path in ["/token/refresh", "/auth/refresh", "/token/refresh"] {
            let answer = json_of(alice.send(alice.request_without_token(Method::POST, path)).await).await;
            assert!(answer["access_token"].is_string(), "{path}: {answer}");
        }
        let bye = alice.send(alice.request_without_token(Method::POST, "/bye")).await;
        assert_eq!(bye.status(), 204);
        assert!(bye.headers()["set-cookie"].to_str().expect("ASCII").contains("Path=/;"));
        let again = alice.send(alice.request_without_token(Method::POST, "/token/refresh")).await;
        assert_eq!(again.reason(), Some("refresh_invalid"));
        assert_eq!(alice.get("/protected").await.reason(), Some("token_revoked"));
    }
}

/// A form needs no script, so that any page could sign a browser in to somebody else's account.
#[tokio::test]
async fn a_foreign_page_signs_nobody_in_by_a_form() {
    let yaml =
        "auth: { limits: off, aliases: { /login: { endpoint: login, answer: { token: access_token } } } }";
    let gw = harness::gateway(yaml).await;
    let alice = gw.register("alice").await;
    let form = || {
        let request = alice.request_without_token(Method::POST, "/login");
        request.form(&[("username", "alice"), ("password", PASSWORD)])
    };

    let own = alice.send(form()).await;
    let foreign = alice.send(form().header("sec-fetch-site", "cross-site")).await;

    assert!(own.status() == 200 && own.headers().contains_key("set-cookie"));
    assert_eq!(
        (foreign.reason(), foreign.headers().contains_key("set-cookie")),
        (Some("cross_origin"), false)
    );
}

#[tokio::test]
async fn an_alias_changes_name_and_password_in_one_call_under_the_rule_for_sensitive_actions() {
    let yaml = "
        auth:
          limits: off
          aliases:
            /profile:
              endpoint: me
              methods: [PUT]
              request: { name: username, password: new_password, current: password }
              answer: { name: username, token: access_token }
        ";
    let new = "a horse of another colour";
    for gw in both(yaml).await {
        let alice = gw.register("alice").await;
        let elsewhere = gw.client("alice");
        elsewhere.login().await;
        let put = async |body: Value| sends(&alice, Method::PUT, "/profile", &body).await;

        let bare = put(json!({ "name": "alicia", "password": new })).await;
        assert_eq!((bare.status().as_u16(), bare.reason()), (400, Some("reauthentication_required")));
        let weak = put(json!({ "password": "short", "current": PASSWORD })).await;
        assert_eq!((weak.status().as_u16(), weak.reason()), (400, Some("weak_password")));
        let wrong = put(json!({ "name": "alicia", "password": new, "current": new })).await;
        assert_eq!((wrong.status().as_u16(), wrong.reason()), (401, Some("bad_credentials")));
        let own = json!({ "username": "alicia", "new_password": new, "password": PASSWORD });
        let own = Refusal::read(sends(&alice, Method::PUT, "/auth/me", &own).await).await;
        assert!(own.status == 400 && own.detail().contains("`new_password`"), "{}", own.detail());
        assert_eq!(alice.get("/protected").await.status(), 200, "refused changes change nothing");

        let changed =
            json_of(put(json!({ "name": "alicia", "password": new, "current": PASSWORD })).await).await;
        assert_eq!(changed["name"], "alicia");
        let token = changed["token"].as_str().expect("a token");
        assert_eq!(alice.present(token, "/protected").await.status, 200);
        assert_ne!(elsewhere.get("/protected").await.status(), 200, "other sessions are over");
        let login = alice.post("/auth/login", &json!({ "username": "alicia", "password": new })).await;
        assert_eq!(login.status(), 200);
        let login = alice.post("/auth/login", &json!({ "username": "alicia", "password": PASSWORD })).await;
        assert_eq!(login.reason(), Some("bad_credentials"));
    }
}

/// An alias that asks for no password would leave it unread, while the name changes.
#[tokio::test]
async fn where_the_password_is_waived_one_is_refused() {
    let yaml = "auth: { limits: off, aliases: { /user: { endpoint: me, reauthentication: waived } } }";
    for gw in both(yaml).await {
        let alice = gw.register("alice").await;
        let body = json!({ "username": "alicia", "password": "a horse of another colour" });

        let refusal = Refusal::read(sends(&alice, Method::PUT, "/user", &body).await).await;

        assert_eq!(refusal, (400, "bad_request"));
        assert!(refusal.detail().starts_with("`password` has no effect"), "{}", refusal.detail());
        alice.login().await;
        let renamed = sends(&alice, Method::PUT, "/user", &json!({ "username": "alicia" })).await;
        assert_eq!(json_of(renamed).await["username"], "alicia");
    }
}
