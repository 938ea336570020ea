//! `POST /auth/logout`.

use http::StatusCode;
use portcullis::rejection::Code;
use portcullis::store::{AuditEvent, Standing};
use serde_json::json;

use super::wing::{PASSWORD, Pair, Wing, wing};

async fn has_ended(wing: &Wing, pair: &Pair) -> bool {
    let refreshes = wing.refresh(&pair.refresh).await.status == StatusCode::OK;
    let is_revoked = wing.standing(&pair.access).await == Standing::Revoked;
    assert_ne!(refreshes, is_revoked, "both tokens live and die together");
    is_revoked
}

#[tokio::test]
async fn any_token_of_a_session_ends_it() {
    let wing = wing().await;
    let alice = wing.register("alice").await;
    let other = wing.native_login("alice").await;

    for way in ["bearer", "cookie", "body"] {
        let pair = wing.native_login("alice").await;
        let logout = match way {
            "bearer" => wing.post("/logout").bearer(&pair.access),
            "cookie" => wing.post("/logout").cookie(&pair.refresh),
            _ => wing.post("/logout").json(json!({ "refresh_token": pair.refresh })),
        };
        let answer = logout.send().await;

        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{way}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.clears_cookie());
        let record = (AuditEvent::LoggedOut, Some(alice.id), "alice".to_owned());
        assert_eq!(wing.audited().await[0], record, "{way}");
        assert!(has_ended(&wing, &pair).await, "{way}");
    }
    assert!(!has_ended(&wing, &other).await);
    assert!(wing.metric(r#"portcullis_revocations_total{scope="session"} 3"#));
}

#[tokio::test]
async fn logging_out_twice_or_from_nothing_is_no_error() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;

    for _ in 0..2 {
        let answer = wing.post("/logout").bearer(&pair.access).cookie(&pair.refresh).send().await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(wing.post("/logout").send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(wing.post("/logout").cookie("garbage").send().await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_bearer_that_is_over_matters_only_where_nothing_else_is_shown() {
    let wing = wing().await;
    wing.register("alice").await;

    for code in [Code::TokenExpired, Code::TokenStale, Code::TokenRevoked, Code::TokenInvalid] {
        let pair = wing.native_login("alice").await;
        assert_eq!(wing.post("/logout").bad_bearer(code).send().await.code(), code.as_str());
        let garbage = wing.post("/logout").bad_bearer(code).cookie("garbage").send().await;
        assert_eq!(garbage.code(), code.as_str());
        assert!(!has_ended(&wing, &pair).await);

        let pair = wing.native_login("alice").await;
        let answer = wing.post("/logout").bad_bearer(code).cookie(&pair.refresh).send().await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert!(answer.clears_cookie() && has_ended(&wing, &pair).await, "{}", code.as_str());
    }
    let (here, there) = (wing.native_login("alice").await, wing.native_login("alice").await);
    let everywhere = wing.post("/logout?all=true").bad_bearer(Code::TokenExpired);
    assert_eq!(everywhere.cookie(&here.refresh).send().await.status, StatusCode::NO_CONTENT);
    assert!(has_ended(&wing, &here).await && has_ended(&wing, &there).await);
}

#[tokio::test]
async fn everywhere_means_every_session_of_this_user() {
    let wing = wing().await;
    wing.register("alice").await;
    wing.register("bob").await;
    let of_bob = wing.native_login("bob").await;

    for way in ["bearer", "cookie"] {
        let (here, there) = (wing.native_login("alice").await, wing.native_login("alice").await);
        let logout = match way {
            "bearer" => wing.post("/logout?all=true").bearer(&here.access),
            _ => wing.post("/logout?all=true").cookie(&here.refresh),
        };

        assert_eq!(logout.send().await.status, StatusCode::NO_CONTENT, "{way}");
        assert!(has_ended(&wing, &here).await && has_ended(&wing, &there).await, "{way}");
    }
    assert!(!has_ended(&wing, &of_bob).await);
    assert!(wing.metric(r#"portcullis_revocations_total{scope="user"} 2"#));
}

#[tokio::test]
async fn everywhere_needs_a_good_token() {
    let wing = Wing::with(|policy| policy.tokens.refresh_window = std::time::Duration::ZERO).await;
    wing.register("alice").await;
    let (old, other) = (wing.native_login("alice").await, wing.native_login("alice").await);
    wing.refresh(&old.refresh).await.tokens();

    assert_eq!(wing.post("/logout?all=true").send().await.code(), "no_credentials");
    assert_eq!(wing.post("/logout?all=maybe").send().await.code(), "bad_request");
    for code in ["refresh_reused", "refresh_invalid"] {
        let stolen = wing.post("/logout?all=true").cookie(&old.refresh).from([198, 51, 100, 9]).send().await;
        assert_eq!(stolen.code(), code);
        assert!(stolen.clears_cookie());
    }
    assert!(!has_ended(&wing, &other).await);
}

#[tokio::test]
async fn a_foreign_page_logs_nobody_out() {
    let wing = wing().await;
    wing.register("alice").await;
    let cookie = wing.login("alice", PASSWORD).await.refresh_cookie().to_owned();

    let with_cookie = wing.post("/logout").cookie(&cookie).header("origin", "https://evil.example");
    assert_eq!(with_cookie.send().await.code(), "cross_origin");
    let without = wing.post("/logout").header("sec-fetch-site", "cross-site").send().await;

    assert_eq!((without.status, without.set_cookie()), (StatusCode::NO_CONTENT, None));
    assert_eq!(wing.post("/refresh").cookie(&cookie).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_the_state_store_nobody_is_told_to_be_logged_out() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    wing.stores.break_down(&["state"]);

    for path in ["/logout", "/logout?all=true"] {
        let answer = wing.post(path).bearer(&pair.access).cookie(&pair.refresh).send().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable"), "{path}");
        assert_eq!(answer.set_cookie(), None);
    }
}

#[tokio::test]
async fn logout_works_without_the_account_store() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    wing.stores.break_down(&["accounts", "audit"]);

    let answer = wing.post("/logout").bearer(&pair.access).send().await;

    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(wing.standing(&pair.access).await, Standing::Revoked);
}
