//! `POST /auth/login`.

use futures::future::join_all;
use http::StatusCode;
use portcullis::config::policy::Argon2Params;
use portcullis::identity::password;
use portcullis::store::AuditEvent;
use serde_json::json;

use super::policy::LOCKING_FAILURES;
use super::wing::{Answer, PASSWORD, Wing, wing};

async fn lock(wing: &Wing, username: &str) {
    for _ in 0..LOCKING_FAILURES {
        assert_eq!(wing.login(username, "wrong password").await.code(), "bad_credentials");
    }
}

#[tokio::test]
async fn a_browser_gets_the_refresh_token_as_a_cookie_only() {
    let wing = wing().await;
    let alice = wing.register("alice").await;

    let answer = wing.login("Alice", PASSWORD).await;

    let identity = wing.read(answer.access_token());
    assert_eq!((identity.user_id, identity.username.as_str()), (alice.id, "alice"));
    assert_eq!((&identity.roles, identity.version), (&alice.roles, 1));
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 900);
    assert_eq!(answer.body["refresh_token"], serde_json::Value::Null);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let expected = format!(
        "__Secure-portcullis_refresh={}; HttpOnly; SameSite=Strict; Secure; Path=/auth; Max-Age=1209600",
        wing.settings.refresh_keys.mint(identity.session_id, 1)
    );
    assert_eq!(answer.set_cookie(), Some(expected.as_str()));
    assert_eq!(wing.audited().await[0], (AuditEvent::LoggedIn, Some(alice.id), "alice".to_owned()));
    assert!(wing.metric(r#"portcullis_login_attempts_total{outcome="success"} 1"#));
}

#[tokio::test]
async fn only_plain_http_on_this_machine_gets_an_insecure_cookie() {
    let wing = wing().await;
    wing.register("alice").await;

    for (scheme, host, is_secure) in [
        ("http", "localhost:8080", false),
        ("http", "127.0.0.1", false),
        ("http", "[::1]:8080", false),
        ("http", "localhost.evil.example", true),
        ("http", "gate.example", true),
        ("https", "localhost", true),
    ] {
        let body = json!({ "username": "alice", "password": PASSWORD });
        let answer = wing.post("/login").json(body).at(scheme, host).send().await;
        let cookie = answer.set_cookie().unwrap();

        assert_eq!(cookie.contains("; Secure"), is_secure, "{scheme}://{host}");
        assert_eq!(cookie.starts_with("__Secure-"), is_secure, "{scheme}://{host}");
    }
}

#[tokio::test]
async fn a_native_client_gets_the_refresh_token_in_the_body_only() {
    let wing = wing().await;
    wing.register("alice").await;
    let body = json!({ "username": "alice", "password": PASSWORD, "refresh_token": "body" });

    let answer = wing.post("/login").json(body).send().await;

    let pair = answer.tokens();
    let session = wing.read(&pair.access).session_id;
    assert_eq!(wing.settings.refresh_keys.open(&pair.refresh), Some((session, 1)));
    assert_eq!(answer.set_cookie(), None);
}

#[tokio::test]
async fn the_oauth2_password_form_logs_in() {
    let wing = wing().await;
    wing.register("alice").await;
    let credentials = "username=alice&password=correct+horse%20battery";

    for form in [
        format!("grant_type=password&{credentials}&scope=&client_id=x&client_secret=y"),
        credentials.to_owned(),
    ] {
        let answer = wing.post("/login").form(&form).send().await;

        assert_eq!(wing.read(&answer.tokens().access).username, "alice");
        assert_eq!(answer.set_cookie(), None);
    }
}

#[tokio::test]
async fn who_asks_for_scopes_is_told_that_there_are_none() {
    let wing = wing().await;
    wing.register("alice").await;

    for (asked, told) in [("&scope=openid+profile", json!("")), ("&scope=", json!(null)), ("", json!(null))] {
        let form = format!("grant_type=password&username=alice&password=correct+horse%20battery{asked}");
        let answer = wing.post("/login").form(&form).send().await;

        assert_eq!((answer.status, &answer.body["scope"]), (StatusCode::OK, &told), "{asked}");
    }
}

#[tokio::test]
async fn oauth2_clients_are_told_in_their_words_too() {
    let wing = wing().await;
    wing.register("alice").await;

    for (form, code, error) in [
        ("grant_type=password&username=alice&password=wrong", "bad_credentials", "invalid_grant"),
        ("grant_type=client_credentials&username=a&password=b", "bad_request", "unsupported_grant_type"),
        ("grant_type=password&username=alice", "bad_request", "invalid_request"),
        ("grant_type=password&username=a&username=b&password=c", "bad_request", "invalid_request"),
        ("%", "bad_request", "invalid_request"),
    ] {
        let answer = wing.post("/login").form(form).send().await;

        assert_eq!(answer.code(), code, "{form}");
        assert_eq!(answer.body["error"], error, "{form}");
    }
    assert_eq!(wing.login("alice", "wrong").await.body.get("error"), None);
}

#[tokio::test]
async fn whoever_does_not_know_the_password_learns_nothing() {
    let wing = wing().await;
    for name in ["alice", "locked", "disabled"] {
        wing.register(name).await;
    }
    lock(&wing, "locked").await;
    let disabled = wing.account("disabled").await;
    wing.set_disabled(disabled.id, true).await;
    wing.stores.take_calls();

    let mut seen: Vec<(Answer, Vec<&str>)> = Vec::new();
    for name in ["alice", "nobody", "locked", "disabled"] {
        let answer = wing.login(name, "wrong password").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "bad_credentials"));
        seen.push((answer, wing.stores.take_calls()));
    }

    assert_eq!(seen[0].1, ["accounts.find_by_username", "state.begin", "state.settle", "audit.append"]);
    for (name, other) in ["nobody", "locked", "disabled"].iter().zip(&seen[1..]) {
        assert_eq!(other, &seen[0], "{name}");
    }
}

#[tokio::test]
async fn a_right_password_that_is_refused_takes_what_a_wrong_one_takes() {
    let mut wing = wing().await;
    let disabled = wing.register("disabled").await;
    wing.reload(|policy| policy.auth.email.is_required = true);
    wing.register("unconfirmed").await;
    wing.set_disabled(disabled.id, true).await;
    wing.login("unconfirmed", "wrong password").await;
    wing.stores.take_calls();
    wing.login("unconfirmed", "wrong password").await;
    let of_a_wrong_one = wing.stores.take_calls();

    // More than lock a name.
    for _ in 0..2 * LOCKING_FAILURES {
        for (name, code) in [("disabled", "account_disabled"), ("unconfirmed", "email_not_verified")] {
            assert_eq!(wing.login(name, PASSWORD).await.code(), code);
            assert_eq!(wing.stores.take_calls(), of_a_wrong_one, "{name}");
        }
    }

    wing.set_disabled(disabled.id, false).await;
    wing.reload(|_| ());
    for name in ["disabled", "unconfirmed"] {
        assert_eq!(wing.login(name, PASSWORD).await.status, StatusCode::OK, "{name} isn't locked");
    }
}

#[tokio::test]
async fn unknown_names_are_locked_like_known_ones() {
    let wing = wing().await;
    wing.register("alice").await;

    for name in ["alice", "nobody"] {
        lock(&wing, name).await;
        let (event, _, whom) = wing.audited().await.remove(0);
        assert_eq!((event, whom.as_str()), (AuditEvent::LockedOut, name));
    }
}

#[tokio::test]
async fn the_owner_of_a_locked_account_is_told_and_keeps_the_sessions() {
    let wing = wing().await;
    wing.register("alice").await;
    let session = wing.native_login("alice").await;
    lock(&wing, "ALICE").await;

    let answer = wing.login("alice", PASSWORD).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "account_locked"));
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert_eq!(answer.set_cookie(), None);
    assert_eq!(wing.refresh(&session.refresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn parallel_guesses_all_count() {
    let wing = wing().await;
    wing.register("alice").await;

    let guesses = join_all((0..100).map(|_| wing.login("alice", "wrong password"))).await;
    let right = wing.login("alice", PASSWORD).await;

    assert!(guesses.iter().all(|answer| answer.code() == "bad_credentials"));
    assert_eq!(right.code(), "bad_credentials", "a stranger, whose password isn't looked at");
    let lockouts = wing.audited().await.iter().filter(|record| record.0 == AuditEvent::LockedOut).count();
    assert_eq!(lockouts, 1);
}

#[tokio::test]
async fn a_right_password_starts_the_count_anew() {
    let wing = wing().await;
    wing.register("alice").await;

    for _ in 0..3 {
        for _ in 1..LOCKING_FAILURES {
            wing.login("alice", "wrong password").await;
        }
        assert_eq!(wing.login("alice", PASSWORD).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn only_the_owner_learns_that_an_account_is_disabled() {
    let wing = wing().await;
    let alice = wing.register("alice").await;
    wing.set_disabled(alice.id, true).await;

    assert_eq!(wing.login("alice", "wrong password").await.code(), "bad_credentials");
    let answer = wing.login("alice", PASSWORD).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "account_disabled"));
    assert_eq!(answer.set_cookie(), None);
}

#[tokio::test]
async fn every_login_is_a_session_of_its_own() {
    let wing = wing().await;
    wing.register("alice").await;
    let planted = wing.native_login("alice").await;

    let body = json!({ "username": "alice", "password": PASSWORD });
    let answer = wing.post("/login").json(body).cookie(&planted.refresh).send().await;

    assert_ne!(wing.read(answer.access_token()).session_id, wing.read(&planted.access).session_id);
    assert_ne!(answer.refresh_cookie(), planted.refresh);
}

#[tokio::test]
async fn without_a_store_there_is_no_token() {
    let wing = wing().await;
    wing.register("alice").await;

    for broken in ["accounts", "state", "state.start", "state.begin", "state.settle"] {
        wing.stores.break_down(&[broken]);
        let answer = wing.login("alice", PASSWORD).await;

        assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable"), "{broken}");
        assert_eq!(answer.headers["retry-after"], "2");
        assert_eq!(answer.set_cookie(), None);
    }
    wing.stores.break_down(&["state"]);
    assert_eq!(wing.login("alice", "wrong password").await.code(), "store_unavailable");
}

#[tokio::test]
async fn a_login_brings_an_old_hash_up_to_date() {
    let mut wing = wing().await;
    let before = wing.register("alice").await;
    let stronger = Argon2Params { memory_kib: 128, iterations: 2, parallelism: 1 };
    wing.reload(|policy| policy.auth.password.argon2 = stronger);

    wing.stores.break_down(&["accounts.upgrade_hash"]);
    assert_eq!(wing.login("alice", PASSWORD).await.status, StatusCode::OK);
    wing.stores.break_down(&[]);
    assert_eq!(wing.account("alice").await.password_hash, before.password_hash);

    assert_eq!(wing.login("alice", PASSWORD).await.status, StatusCode::OK);
    let after = wing.account("alice").await;

    assert!(!password::needs_upgrade(&after.password_hash, stronger));
    assert_eq!(after.version, before.version);
    assert_eq!(wing.login("alice", PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_never_outlives_its_session() {
    let minute = std::time::Duration::from_secs(60);
    let wing = Wing::with(|policy| policy.tokens.session_ttl = minute).await;
    wing.register("alice").await;

    let answer = wing.login("alice", PASSWORD).await;

    assert_eq!(answer.body["expires_in"], 60);
}

#[tokio::test]
async fn an_audit_record_that_cannot_be_stored_is_counted_and_undoes_no_login() {
    let wing = wing().await;
    wing.register("alice").await;
    wing.stores.break_down(&["audit"]);

    assert_eq!(wing.login("alice", PASSWORD).await.status, StatusCode::OK);

    assert!(wing.metric("portcullis_audit_records_lost_total 1"));
    assert!(wing.metric(r#"portcullis_store_errors_total{store="sqlite"} 1"#));
}
