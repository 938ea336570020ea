//! The auth API as clients and operators set it up: introspection, /auth/me, the OAuth2 password
//! form, and where the endpoints lie.

use reqwest::Method;
use serde_json::{Value, json};

use crate::forge::{self, claiming};
use crate::harness::{self, Client, PASSWORD, Reason as _, Setup};
use crate::refusal::Refusal;

async fn introspect(client: &Client, token: &str) -> Value {
    let response = client.post("/auth/introspect", &json!({ "token": token })).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["cache-control"]),
        (200, &"no-store".parse().expect("a value"))
    );
    response.json().await.expect("introspection answers in JSON")
}

#[tokio::test]
async fn introspection_tells_of_good_tokens_what_they_say_and_of_others_nothing() {
    let gw = harness::gateway("").await;
    let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
    let token_of_bob = bob.token();

    let told = introspect(&alice, &token_of_bob).await;

    let claims = forge::decode(&token_of_bob, 1);
    for member in ["sub", "exp", "iat", "iss", "aud", "jti", "sid", "roles"] {
        assert_eq!(told[member], claims[member], "{member}");
    }
    assert_eq!((&told["active"], &told["username"]), (&json!(true), &json!("bob")));
    bob.logout().await;
    let others = [
        token_of_bob,
        "garbage".to_owned(),
        String::new(),
        claiming("exp", 1),
        claiming("aud", "another-service"),
        "prt_AAAA".to_owned(),
    ];
    for token in others {
        assert_eq!(introspect(&alice, &token).await, json!({ "active": false }), "{token}");
    }
}

#[tokio::test]
async fn introspection_takes_a_form_and_needs_a_caller() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let token = alice.token();
    let form = [("token", token.as_str()), ("token_type_hint", "access_token")];

    let by_form = alice.send(alice.request(Method::POST, "/auth/introspect").form(&form)).await;
    let anonymous = gw.anonymous();
    let unasked = anonymous.send(anonymous.request(Method::POST, "/auth/introspect").form(&form)).await;

    assert_eq!(by_form.json::<Value>().await.expect("JSON")["active"], true);
    assert_eq!(Refusal::read(unasked).await, (401, "no_credentials"));
    let stranger = Refusal::read(alice.post("/auth/introspect", &json!({ "tokens": [] })).await).await;
    assert_eq!(stranger, (400, "bad_request"));
}

#[tokio::test]
async fn me_is_the_account_of_the_bearer() {
    let gw = harness::gateway("").await;
    let anonymous = gw.anonymous();
    let account = json!({ "username": "Alice", "password": PASSWORD, "email": "alice@example.org" });
    let registered = anonymous.post("/auth/register", &account).await;
    assert_eq!(registered.status(), 201);
    let registered: Value = registered.json().await.expect("JSON");
    let alice = gw.client("alice");
    alice.login().await;

    let me: Value = alice.get("/auth/me").await.json().await.expect("JSON");

    assert_eq!(
        (&me["id"], &me["username"], &me["email"]),
        (&registered["id"], &json!("Alice"), &json!("alice@example.org"))
    );
    assert_eq!(me["roles"], json!(["user"]));
    assert!(!me.to_string().contains("argon2"), "{me}");
    assert_eq!(Refusal::read(anonymous.get("/auth/me").await).await, (401, "no_credentials"));
    assert_eq!(anonymous.present("garbage", "/auth/me").await, (401, "token_malformed"));
    let unknown = forge::token(&forge::header(), &forge::claims());
    assert_eq!(anonymous.present(&unknown, "/auth/me").await, (401, "token_invalid"));
}

#[tokio::test]
async fn an_oauth2_client_logs_in_by_the_password_form() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;
    let client = gw.anonymous();
    // As FastAPI's OAuth2PasswordRequestForm and Swagger UI send it.
    let form = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", PASSWORD),
        ("scope", ""),
        ("client_id", ""),
        ("client_secret", ""),
    ];

    for path in ["/auth/token", "/auth/login"] {
        let response = client.send(client.request(Method::POST, path).form(&form)).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("set-cookie"));
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
        let access = answer["access_token"].as_str().expect("an access token");
        assert_eq!(client.present(access, "/protected").await.status, 200);
        let refresh =
            client.post("/auth/refresh", &json!({ "refresh_token": answer["refresh_token"] })).await;
        assert_eq!(refresh.status(), 200);
    }
}

/// Beside our own members; the token endpoint has those of OAuth2 alone.
#[tokio::test]
async fn a_login_by_form_is_refused_in_the_words_of_oauth2_too() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;
    let client = gw.anonymous();
    let cases = [
        ("grant_type=password&username=alice&password=wrong", 401, "bad_credentials", "invalid_grant"),
        ("grant_type=client_credentials&username=a&password=b", 400, "bad_request", "unsupported_grant_type"),
        ("grant_type=refresh_token&refresh_token=x", 400, "bad_request", "unsupported_grant_type"),
        ("grant_type=password&username=alice", 400, "bad_request", "invalid_request"),
        ("grant_type=password&username=a&username=b&password=c", 400, "bad_request", "invalid_request"),
    ];

    for (form, status, code, error) in cases {
        let request = client.request(Method::POST, "/auth/login");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let refusal = Refusal::read(client.send(request).await).await;
        assert_eq!(refusal, (status, code), "{form}");
        assert_eq!(refusal.body["error"], error, "{form}");
    }
}

#[tokio::test]
async fn aliases_are_further_paths_of_the_same_endpoints() {
    let gw = harness::gateway(
        "
        auth:
          limits: off
          aliases: { /login: login, /api/v1/register: register, /token/refresh: refresh, /users/me: me }
        ",
    )
    .await;
    let alice = gw.client("alice");
    let account = json!({ "username": "alice", "password": PASSWORD });

    assert_eq!(alice.post("/api/v1/register", &account).await.status(), 201);
    let native = json!({ "username": "alice", "password": PASSWORD, "refresh_token": "body" });
    let answer: Value = alice.post("/login", &native).await.json().await.expect("JSON");
    let refreshed = alice.post("/token/refresh", &json!({ "refresh_token": answer["refresh_token"] })).await;
    let answer: Value = refreshed.json().await.expect("JSON");
    let access = answer["access_token"].as_str().expect("an access token");

    assert_eq!(alice.present(access, "/users/me").await.body["username"], "alice");
    assert_eq!(Refusal::read(alice.get("/users/me").await).await, (401, "no_credentials"));
    assert_eq!(Refusal::read(alice.get("/login").await).await, (405, "method_not_allowed"));
    alice.login().await;
    assert!(gw.upstream().all_calls().await.keys().all(|path| !path.contains("login")), "sent on");
}

#[tokio::test]
async fn with_registration_closed_only_operators_add_accounts() {
    let gw = harness::gateway("auth: { registration: closed, limits: off }").await;
    let client = gw.anonymous();
    let account = json!({ "username": "alice", "password": PASSWORD });

    let refusal = Refusal::read(client.post("/auth/register", &account).await).await;
    let root = gw.admin("root").await;

    assert_eq!(refusal, (403, "registration_closed"));
    assert_eq!(root.get("/admin/dashboard").await.status(), 200);
    assert_eq!(client.post("/auth/login", &account).await.reason(), Some("bad_credentials"));
}

#[tokio::test]
async fn the_endpoints_lie_where_the_prefix_says_and_nowhere_else() {
    let setup = Setup::from(
        r#"
        auth: { prefix: /api/identity, limits: off }
        routes:
          - { path: "/{*rest}", upstream: example, access: public }
        "#,
    );
    let gw = harness::gateway(setup).await;
    let client = gw.anonymous();
    let account = json!({ "username": "alice", "password": PASSWORD });

    assert_eq!(client.post("/api/identity/register", &account).await.status(), 201);
    let login = client.post("/api/identity/login", &account).await;
    assert_eq!(login.status(), 200);
    let cookie = login.headers()["set-cookie"].to_str().expect("ASCII").to_owned();
    assert!(cookie.contains("Path=/api/identity;") || cookie.ends_with("Path=/api/identity"), "{cookie}");
    assert_eq!(client.post("/api/identity/refresh", &Value::Null).await.reason(), Some("bad_request"));
    let refresh = client.send(client.request(Method::POST, "/api/identity/refresh")).await;
    assert_eq!(refresh.status(), 200);
    for path in ["/API/identity/login", "/api/Identity/login", "/api/identity/nothing", "/api/identity"] {
        let refusal = Refusal::read(client.post(path, &account).await).await;
        assert_eq!(refusal, (404, "route_not_found"), "{path}");
    }
    assert!(gw.upstream().all_calls().await.is_empty(), "credentials were sent on");
    let elsewhere = client.get("/.well-known/jwks.json").await;
    assert_eq!(elsewhere.json::<Value>().await.expect("JSON"), json!({ "keys": [] }));
}
