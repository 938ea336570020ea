//! `POST /auth/introspect` and `GET /auth/jwks`.

use http::StatusCode;
use serde_json::{Value, json};

use super::wing::{Pair, Wing, wing};

async fn introspect(wing: &Wing, asking: &Pair, token: &str) -> Value {
    let call = wing.post("/introspect").bearer(&asking.access).form(&format!("token={token}&x=y"));
    call.send().await.body
}

#[tokio::test]
async fn a_good_token_is_active() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    let identity = wing.read(&pair.access);

    let by_form = introspect(&wing, &pair, &pair.access).await;
    let body = json!({ "token": pair.access, "token_type_hint": "access_token" });
    let by_json = wing.post("/introspect").bearer(&pair.access).json(body).send().await;

    let expected = json!({
        "active": true, "sub": identity.user_id, "username": "alice", "scope": "", "roles": ["user"],
        "exp": identity.expires_at, "iat": identity.issued_at, "iss": "https://gate.example",
        "aud": "tests", "client_id": "portcullis", "jti": identity.token_id, "sid": identity.session_id, "token_type": "Bearer",
        "acr": "aal1", "amr": ["pwd"],
    });
    assert_eq!(by_form, expected);
    assert_eq!(by_json.body, expected);
}

#[tokio::test]
async fn of_any_other_token_only_that_it_is_inactive() {
    let wing = wing().await;
    wing.register("alice").await;
    let (asking, ended) = (wing.native_login("alice").await, wing.native_login("alice").await);
    wing.post("/logout").bearer(&ended.access).send().await;
    let tampered = format!("{}x", asking.access);

    for token in [ended.access.as_str(), &asking.refresh, &tampered, "garbage", ""] {
        assert_eq!(introspect(&wing, &asking, token).await, json!({ "active": false }), "{token}");
    }
}

#[tokio::test]
async fn introspection_needs_a_caller_and_the_state_store() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;

    let anonymous = wing.post("/introspect").form(&format!("token={}", pair.access)).send().await;
    assert_eq!(anonymous.code(), "no_credentials");
    let empty = wing.post("/introspect").bearer(&pair.access).form("").send().await;
    assert_eq!(empty.code(), "bad_request");
    wing.stores.break_down(&["state"]);
    assert_eq!(introspect(&wing, &pair, &pair.access).await["code"], "store_unavailable");
}

#[tokio::test]
async fn public_keys_may_be_cached() {
    let wing = wing().await;

    let answer = wing.get("/jwks").send().await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    assert_eq!(answer.body, json!({ "keys": [] }), "shared secrets are not published");
}
