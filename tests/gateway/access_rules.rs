//! `access:` of a route: who passes, who doesn't, and what the upstream is told.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::forge::{self, claiming, claims, header, with};
use crate::harness::{self, Client, Gateway, Reason as _};
use crate::refusal::Refusal;

const ROUTES: &str = r#"
    routes:
      - { path: /public/hello, upstream: example, access: public }
      - { path: /echo, upstream: example, access: optional }
      - { path: /protected, upstream: example }
      - { path: /expensive, upstream: example, access: authenticated }
      - { path: /admin/dashboard, upstream: example, access: { roles: [admin, editor] } }
      - { path: /secure/data, upstream: example, access: { all_roles: [staff, billing] } }
      - { path: /questions/topics, upstream: example, access: { scopes: [read, "topics:list"] } }
      - { path: "/users/{id}/{*rest}", upstream: example, access: { owner: id, or_roles: [admin] } }
"#;

async fn gateway() -> Gateway {
    harness::gateway(ROUTES).await
}

fn with_roles(roles: &[&str]) -> String {
    claiming("roles", json!(roles))
}

/// The identity headers that the upstream saw.
async fn identity_seen(client: &Client, authorization: Option<&str>) -> Vec<(String, String)> {
    let mut request = client.request_without_token(reqwest::Method::GET, "/echo");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let response =
        client.send(request.header("x-forwarded-user", "root").header("remote-user", "root")).await;
    assert_eq!(response.status(), 200);
    let echo: Value = response.json().await.expect("the echo is JSON");
    let pairs: Vec<(String, String)> =
        serde_json::from_value(echo["headers"].clone()).expect("a list of pairs");
    let is_identity = |name: &str| {
        ["x-forwarded-user", "x-forwarded-preferred-username", "x-forwarded-groups", "remote-user"]
            .contains(&name)
    };
    pairs.into_iter().filter(|(name, _)| is_identity(name)).collect()
}

#[tokio::test]
async fn a_public_route_takes_everybody_and_looks_at_no_token() {
    let gw = gateway().await;
    let client = gw.anonymous();

    assert_eq!(client.get("/public/hello").await.status(), 200);
    assert_eq!(client.present("garbage", "/public/hello").await.status, 200);
    assert_eq!(client.present(&claiming("exp", 1), "/public/hello").await.status, 200);
}

#[tokio::test]
async fn an_optional_route_takes_the_anonymous_without_identity_and_refuses_a_bad_token() {
    let gw = gateway().await;
    let client = gw.anonymous();
    let user = Uuid::now_v7().to_string();
    let token = forge::token(&header(), &with(claims(), "sub", user.clone()));

    assert_eq!(identity_seen(&client, None).await, []);
    let seen = identity_seen(&client, Some(&format!("Bearer {token}"))).await;
    assert!(seen.contains(&("x-forwarded-user".to_owned(), user)), "{seen:?}");
    assert!(seen.contains(&("x-forwarded-groups".to_owned(), "user".to_owned())), "{seen:?}");
    let calls = gw.upstream_calls("/echo").await;
    assert_eq!(client.present("garbage", "/echo").await, (401, "token_malformed"));
    assert_eq!(client.present(&claiming("exp", 1), "/echo").await, (401, "token_expired"));
    assert_eq!(client.present(&claiming("aud", "other"), "/echo").await, (401, "token_invalid"));
    assert_eq!(gw.upstream_calls("/echo").await, calls);
}

#[tokio::test]
async fn a_route_without_access_takes_a_valid_token_of_anybody() {
    let gw = gateway().await;
    let client = gw.anonymous();

    for path in ["/protected", "/expensive"] {
        assert_eq!(Refusal::read(client.get(path).await).await, (401, "no_credentials"), "{path}");
        assert_eq!(gw.upstream_calls(path).await, 0);
        assert_eq!(client.present(&with_roles(&[]), path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_404_for_everybody() {
    let gw = gateway().await;
    let client = gw.anonymous();

    for path in
        ["/", "/nowhere", "/secure", "/secure/data/x", "/admin", "/public", "/users", "/stats", "/healthz"]
    {
        assert_eq!(Refusal::read(client.get(path).await).await, (404, "route_not_found"), "{path}");
        assert_eq!(client.present(&with_roles(&["admin"]), path).await, (404, "route_not_found"), "{path}");
    }
    assert!(gw.upstream().all_calls().await.is_empty());
}

#[tokio::test]
async fn of_roles_one_is_enough() {
    let gw = gateway().await;
    let client = gw.anonymous();

    for roles in [&["admin"][..], &["editor"], &["user", "editor"], &["admin", "editor"]] {
        assert_eq!(client.present(&with_roles(roles), "/admin/dashboard").await.status, 200, "{roles:?}");
    }
    let calls = gw.upstream_calls("/admin/dashboard").await;
    for roles in [&[][..], &["user"], &["staff", "billing"], &["admins"]] {
        let refusal = client.present(&with_roles(roles), "/admin/dashboard").await;
        assert_eq!(refusal, (403, "role_missing"), "{roles:?}");
    }
    assert_eq!(gw.upstream_calls("/admin/dashboard").await, calls);
}

#[tokio::test]
async fn of_all_roles_none_may_be_missing() {
    let gw = gateway().await;
    let client = gw.anonymous();

    for roles in [&[][..], &["staff"], &["billing"], &["admin"], &["staff", "staff"], &["staff", "billings"]]
    {
        let refusal = client.present(&with_roles(roles), "/secure/data").await;
        assert_eq!(refusal, (403, "role_missing"), "{roles:?}");
    }
    assert_eq!(gw.upstream_calls("/secure/data").await, 0);
    assert_eq!(client.present(&with_roles(&["billing", "x", "staff"]), "/secure/data").await.status, 200);
}

#[tokio::test]
async fn scopes_are_whole_words_of_the_scope_claim() {
    let gw = gateway().await;
    let client = gw.anonymous();
    let lacking =
        ["read", "topics:list", "read topics", "READ topics:list", "reader topics:list", "readtopics:list"];

    for scope in lacking {
        let refusal = client.present(&claiming("scope", scope), "/questions/topics").await;
        assert_eq!(refusal, (403, "role_missing"), "{scope}");
    }
    let none = client.present(&forge::token(&header(), &claims()), "/questions/topics").await;
    assert_eq!(none, (403, "role_missing"));
    let roles_are_no_scopes = with_roles(&["read", "topics:list"]);
    assert_eq!(client.present(&roles_are_no_scopes, "/questions/topics").await, (403, "role_missing"));
    assert_eq!(gw.upstream_calls("/questions/topics").await, 0);
    for scope in ["read topics:list", "topics:list write read"] {
        assert_eq!(
            client.present(&claiming("scope", scope), "/questions/topics").await.status,
            200,
            "{scope}"
        );
    }
}

#[tokio::test]
async fn an_owner_reaches_the_own_and_nobody_elses() {
    let gw = gateway().await;
    let (alice, bob, admin) = (gw.register("alice").await, gw.register("bob").await, gw.admin("root").await);
    let (id_of_alice, id_of_bob) = (alice.id().await, bob.id().await);
    let of_bob = format!("/users/{id_of_bob}/notes");

    for client in [&bob, &admin] {
        assert_eq!(client.get(&of_bob).await.status(), 200, "{}", client.username());
    }
    assert_eq!(gw.upstream_calls(&of_bob).await, 2);
    assert_eq!(Refusal::read(alice.get(&of_bob).await).await, (403, "not_owner"));
    assert_eq!(Refusal::read(gw.anonymous().get(&of_bob).await).await, (401, "no_credentials"));
    assert_eq!(gw.upstream_calls(&of_bob).await, 2);
    assert_eq!(alice.get(&format!("/users/{id_of_alice}/notes")).await.status(), 200);
}

#[tokio::test]
async fn an_owner_is_named_in_one_spelling_only() {
    let gw = gateway().await;
    let alice = gw.register("alice").await;
    let id = alice.id().await;
    let before = gw.upstream().all_calls().await;
    let spellings = [
        (id.to_uppercase(), 403, "not_owner"),
        (id.replace('-', ""), 403, "not_owner"),
        (format!("{{{id}}}"), 403, "not_owner"),
        (format!("urn:uuid:{id}"), 403, "not_owner"),
        (format!("{id}@"), 403, "not_owner"),
        ("alice".to_owned(), 403, "not_owner"),
        ("me".to_owned(), 403, "not_owner"),
        ("*".to_owned(), 403, "not_owner"),
        (id.replacen('-', "%2d", 1), 400, "bad_path"),
        (id.replacen('-', "%2D", 1), 400, "bad_path"),
        (format!("{id}%00"), 400, "bad_path"),
        (format!("{id}%20"), 400, "bad_path"),
        (format!("{id};x"), 400, "bad_path"),
        (format!("x%2f..%2f{id}"), 400, "bad_path"),
    ];

    for (spelling, status, code) in spellings {
        let refusal = Refusal::read(alice.get(&format!("/users/{spelling}/notes")).await).await;
        assert_eq!(refusal, (status, code), "{spelling}");
    }

    assert_eq!(gw.upstream().all_calls().await, before);
}

#[tokio::test]
async fn the_rule_of_a_path_is_that_of_every_method() {
    let gw = gateway().await;
    let client = gw.anonymous();

    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let response = client.send(client.request(method.clone(), "/admin/dashboard")).await;
        assert_eq!(
            (response.status().as_u16(), response.reason()),
            (401, Some("no_credentials")),
            "{method}"
        );
    }
    assert_eq!(gw.upstream_calls("/admin/dashboard").await, 0);
}
