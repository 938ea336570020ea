//! `POST /auth/register`.

use http::StatusCode;
use portcullis::store::AuditEvent;
use serde_json::{Value, json};

use super::wing::{Answer, PASSWORD, Wing, wing};

async fn register(wing: &Wing, body: Value) -> Answer {
    wing.post("/register").json(body).send().await
}

#[tokio::test]
async fn a_new_account_gets_the_role_user_and_is_audited() {
    let wing = wing().await;

    let answer =
        register(&wing, json!({ "username": "Alice", "password": PASSWORD, "email": "a@b.example" })).await;

    let alice = wing.account("alice").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.body, json!({ "id": alice.id, "username": "Alice", "roles": ["user"] }));
    assert_eq!((alice.email.as_deref(), alice.version), (Some("a@b.example"), 1));
    assert!(alice.password_hash.starts_with("$argon2id$"));
    assert_eq!(wing.audited().await, [(AuditEvent::Registered, Some(alice.id), "Alice".to_owned())]);
}

#[tokio::test]
async fn nobody_registers_with_a_role() {
    let wing = wing().await;

    for extra in [json!({ "role": "admin" }), json!({ "roles": ["admin"] }), json!({ "role": 7 })] {
        let mut body = json!({ "username": "mallory", "password": PASSWORD });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = register(&wing, body).await;

        assert_eq!(answer.code(), "bad_request");
        assert_eq!(answer.detail(), "Roles are not accepted here: an administrator grants them");
    }
    let answer =
        register(&wing, json!({ "username": "mallory", "password": PASSWORD, "is_admin": true })).await;

    assert_eq!(answer.code(), "bad_request");
    assert!(answer.detail().contains("`is_admin`"), "{}", answer.detail());
    assert_eq!(wing.stores.take_calls(), [""; 0]);
}

#[tokio::test]
async fn a_name_in_another_case_is_taken() {
    let wing = wing().await;
    wing.register("alice").await;

    let answer = register(&wing, json!({ "username": "ALICE", "password": PASSWORD })).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "username_taken"));
}

#[tokio::test]
async fn names_passwords_and_addresses_have_rules() {
    let wing = wing().await;
    let long = "x".repeat(1025);

    for (username, password, email, code) in [
        ("a\0b", PASSWORD, "a@b.example", "bad_request"),
        ("a b", PASSWORD, "a@b.example", "bad_request"),
        ("alice\u{200b}", PASSWORD, "a@b.example", "bad_request"),
        ("\u{0430}lice", PASSWORD, "a@b.example", "bad_request"),
        ("", PASSWORD, "a@b.example", "bad_request"),
        ("alice", "short", "a@b.example", "weak_password"),
        ("alice", "password", "a@b.example", "weak_password"),
        ("alice", long.as_str(), "a@b.example", "weak_password"),
        ("alice", PASSWORD, "nobody", "bad_request"),
        ("alice", PASSWORD, "a@b.example\r\nBcc: c@d.example", "bad_request"),
    ] {
        let body = json!({ "username": username, "password": password, "email": email });
        let answer = register(&wing, body).await;

        assert_eq!(answer.code(), code, "{username:?} {email:?}");
        assert!(answer.detail().len() > 20 && !answer.detail().contains(PASSWORD));
    }
    assert_eq!(wing.stores.take_calls(), [""; 0]);
}

#[tokio::test]
async fn registration_can_be_closed() {
    let wing = Wing::with(|policy| policy.auth.registration_open = false).await;

    let answer = register(&wing, json!({ "username": "alice", "password": PASSWORD })).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "registration_closed"));
}

#[tokio::test]
async fn without_the_account_store_registration_waits() {
    let wing = wing().await;
    wing.stores.break_down(&["accounts"]);

    let answer = register(&wing, json!({ "username": "alice", "password": PASSWORD })).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"));
    assert_eq!(answer.headers["retry-after"], "2");
    assert!(!answer.body.to_string().contains("out of order"));
    assert!(wing.metric(r#"portcullis_store_errors_total{store="sqlite"} 1"#));
}
