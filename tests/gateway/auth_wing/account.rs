//! `GET /auth/me`.

use http::StatusCode;
use serde_json::json;

use super::wing::wing;

#[tokio::test]
async fn me_is_the_account_as_it_is_now() {
    let wing = wing().await;
    let alice = wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    wing.set_roles(alice.id, &["editor"]).await;

    let answer = wing.get("/me").bearer(&pair.access).send().await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let expected = json!({
        "id": alice.id, "username": "alice", "email": "a@example.org", "email_verified": false,
        "roles": ["editor"],
        "created_at": alice.created_at,
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn me_needs_a_token_an_account_and_its_store() {
    let wing = wing().await;
    let alice = wing.register("alice").await;
    let pair = wing.native_login("alice").await;

    assert_eq!(wing.get("/me").send().await.code(), "no_credentials");
    wing.stores.break_down(&["accounts"]);
    assert_eq!(wing.get("/me").bearer(&pair.access).send().await.code(), "store_unavailable");
    wing.stores.break_down(&[]);
    wing.delete_account(alice.id).await;
    assert_eq!(wing.get("/me").bearer(&pair.access).send().await.code(), "token_invalid");
}
