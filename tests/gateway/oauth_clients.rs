//! Clients of OAuth2: the token endpoint (RFC 6749), revocation (RFC 7009), the claims of RFC 9068, and spellings
//! that RFC 9110 allows; on both kinds of stores.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};

async fn both() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

async fn form(client: &Client, path: &str, fields: &[(&str, &str)]) -> Response {
    client.send(client.request_without_token(Method::POST, path).form(fields)).await
}

/// Status, `error`, `code`; panics when it is no error of RFC 6749 §5.2.
async fn error(response: Response) -> (u16, String, String) {
    let field = |name| response.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    let (kind, stored, challenge) =
        (field("content-type"), field("cache-control"), field("www-authenticate"));
    let (status, reason) = (response.status().as_u16(), response.reason().map(str::to_owned));
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((kind.as_deref(), stored.as_deref()), (Some("application/json"), Some("no-store")), "{body}");
    assert_eq!(challenge, None, "{body}");
    let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
    let is_plain = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    assert!(
        !text("error_description").is_empty() && text("error_description").chars().all(is_plain),
        "{body}"
    );
    assert_eq!(reason, Some(text("code")));
    assert!(!text("request_id").is_empty(), "{body}");
    (status, text("error"), text("code"))
}

fn owned((status, error, code): (u16, &str, &str)) -> (u16, String, String) {
    (status, error.to_owned(), code.to_owned())
}

async fn tokens(response: Response) -> (String, String) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(!response.headers().contains_key("set-cookie"));
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)), "{body}");
    let text = |member: &str| body[member].as_str().expect("a token").to_owned();
    (text("access_token"), text("refresh_token"))
}

#[tokio::test]
async fn the_token_endpoint_takes_the_refresh_grant() {
    for gw in both().await {
        gw.register("alice").await;
        let client = gw.anonymous();
        let login = [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)];
        let (_, first) = tokens(form(&client, "/auth/token", &login).await).await;

        let renew = async |token: &str| {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "app")];
            form(&client, "/auth/token", &fields).await
        };
        let (access, second) = tokens(renew(&first).await).await;
        assert_ne!(second, first);
        assert_eq!(client.present(&access, "/protected").await.status, 200);
        let (_, third) = tokens(renew(&second).await).await;

        // Presented again after its successor was used: the session ends.
        assert_eq!(error(renew(&first).await).await, owned((400, "invalid_grant", "refresh_reused")));
        assert_eq!(error(renew(&third).await).await, owned((400, "invalid_grant", "refresh_invalid")));
        assert_eq!(client.present(&access, "/protected").await, (401, "token_revoked"));
    }
}

#[tokio::test]
async fn the_token_endpoint_refuses_in_the_words_of_oauth2() {
    for gw in both().await {
        gw.register("alice").await;
        let client = gw.anonymous();
        let cases = [
            ("grant_type=password&username=alice&password=wrong", "invalid_grant", "bad_credentials"),
            ("grant_type=refresh_token&refresh_token=x", "invalid_grant", "refresh_invalid"),
            ("grant_type=refresh_token", "invalid_request", "bad_request"),
            ("grant_type=client_credentials", "unsupported_grant_type", "bad_request"),
            ("grant_type=authorization_code&code=x", "unsupported_grant_type", "bad_request"),
            ("grant_type=password&username=alice", "invalid_request", "bad_request"),
            ("grant_type=password&username=a&username=b&password=c", "invalid_request", "bad_request"),
            ("grant_type=password&grant_type=refresh_token", "invalid_request", "bad_request"),
        ];

        for (body, wanted, code) in cases {
            let request = client.request(Method::POST, "/auth/token");
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
            let refused = error(client.send(request).await).await;
            assert_eq!(refused, owned((400, wanted, code)), "{body}");
        }
        // By JSON it is the login.
        let wrong = client.post("/auth/token", &json!({ "username": "alice", "password": "wrong" })).await;
        assert_eq!((wrong.status().as_u16(), wrong.reason()), (401, Some("bad_credentials")));
    }
}

#[tokio::test]
async fn a_token_is_revoked_by_the_form_of_rfc_7009() {
    for gw in both().await {
        gw.register("alice").await;
        let client = gw.anonymous();
        let login = [("username", "alice"), ("password", PASSWORD)];
        let revoke = async |token: &str, hint: &str| {
            let fields = [("token", token), ("token_type_hint", hint)];
            form(&client, "/auth/revoke", &fields).await
        };

        for hint in ["access_token", "refresh_token", "nonsense"] {
            let (access, refresh) = tokens(form(&client, "/auth/token", &login).await).await;
            let (token, other) =
                if hint == "access_token" { (&access, &refresh) } else { (&refresh, &access) };
            let answer = revoke(token, hint).await;
            assert_eq!((answer.status().as_u16(), answer.reason()), (200, None), "{hint}");
            // simple-oauth2 takes no answer without JSON.
            assert_eq!(answer.json::<Value>().await.expect("JSON"), json!({}), "{hint}");
            assert_eq!(client.present(&access, "/protected").await, (401, "token_revoked"), "{hint}");
            let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
            let refused = error(form(&client, "/auth/token", &fields).await).await;
            assert_eq!(refused, owned((400, "invalid_grant", "refresh_invalid")), "{hint}");
            for over in [token.as_str(), other, "unknown", ""] {
                assert_eq!(revoke(over, hint).await.status(), 200, "{over}");
            }
        }
        assert_eq!(
            error(form(&client, "/auth/revoke", &[("token_type_hint", "access_token")]).await).await,
            owned((400, "invalid_request", "bad_request"))
        );
        assert_eq!(
            error(revoke("pk_0123456789", "access_token").await).await,
            owned((400, "unsupported_token_type", "bad_request"))
        );
        let (access, _) = tokens(form(&client, "/auth/token", &login).await).await;
        assert_eq!(client.post("/auth/revoke", &json!({ "token": access })).await.status(), 200);
        assert_eq!(client.present(&access, "/protected").await, (401, "token_revoked"));
    }
}

#[tokio::test]
async fn access_tokens_name_a_client_id() {
    for (yaml, expected) in [
        ("version: 1", "portcullis"),
        (
            r#"tokens: { client_id: shop, keys: [{ id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }] }"#,
            "shop",
        ),
    ] {
        let gw = harness::gateway(yaml).await;
        let alice = gw.register("alice").await;
        let token = alice.token();

        let payload = token.split('.').nth(1).expect("a JWT");
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON");
        let seen = alice.post("/auth/introspect", &json!({ "token": token })).await;
        let seen: Value = seen.json().await.expect("JSON");

        assert_eq!((&claims["client_id"], &seen["client_id"]), (&json!(expected), &json!(expected)));
        assert_eq!(alice.get("/protected").await.status(), 200);
    }
}

#[tokio::test]
async fn several_spaces_may_stand_before_a_bearer_token() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;

    for spaces in [" ", "  ", "     "] {
        let request = alice.request_without_token(Method::GET, "/protected");
        let request = request.header("authorization", format!("Bearer{spaces}{}", alice.token()));
        assert_eq!(alice.send(request).await.status(), 200, "{spaces:?}");
    }
}
