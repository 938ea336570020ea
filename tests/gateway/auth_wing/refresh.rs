//! `POST /auth/refresh`.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use portcullis::clock;
use portcullis::store::{AuditEvent, Revocation, Revocations, Standing};
use serde_json::json;

use super::wing::{PASSWORD, Wing, wing};

/// Where whoever stole a token comes from.
const ELSEWHERE: [u8; 4] = [198, 51, 100, 9];

#[tokio::test]
async fn a_cookie_is_answered_by_a_cookie_and_a_body_by_a_body() {
    let wing = wing().await;
    wing.register("alice").await;
    let browser = wing.login("alice", PASSWORD).await;
    let native = wing.native_login("alice").await;

    let to_browser = wing.post("/refresh").cookie(browser.refresh_cookie()).send().await;
    let to_native = wing.refresh(&native.refresh).await;

    assert_ne!(to_browser.refresh_cookie(), browser.refresh_cookie());
    assert_eq!(to_browser.body.get("refresh_token"), None);
    assert_ne!(to_native.tokens().refresh, native.refresh);
    assert_eq!(to_native.set_cookie(), None);
    assert!(wing.metric(r#"portcullis_refresh_total{outcome="rotated"} 2"#));
    let (old, new) = (wing.read(&native.access), wing.read(&to_native.tokens().access));
    assert_eq!(old.session_id, new.session_id);
    assert_ne!(old.token_id, new.token_id);
}

#[tokio::test]
async fn fifty_parallel_refreshes_get_the_same_successor() {
    let wing = wing().await;
    wing.register("alice").await;
    let cookie = wing.login("alice", PASSWORD).await.refresh_cookie().to_owned();

    let answers = join_all((0..50).map(|_| wing.post("/refresh").cookie(&cookie).send())).await;

    let successors: HashSet<&str> = answers.iter().map(|answer| answer.refresh_cookie()).collect();
    let token_ids: HashSet<_> = answers.iter().map(|one| wing.read(one.access_token()).token_id).collect();
    assert_eq!((successors.len(), token_ids.len()), (1, 50));
    assert!(!successors.contains(cookie.as_str()));
    assert!(wing.metric(r#"portcullis_refresh_total{outcome="rotated"} 1"#));
    assert!(wing.metric(r#"portcullis_refresh_total{outcome="repeated"} 49"#));
}

#[tokio::test]
async fn a_replayed_token_ends_the_family() {
    let wing = Wing::with(|policy| policy.tokens.refresh_window = Duration::ZERO).await;
    let alice = wing.register("alice").await;
    let stolen = wing.login("alice", PASSWORD).await.refresh_cookie().to_owned();
    let fresh = wing.post("/refresh").cookie(&stolen).send().await;

    let replay = wing.post("/refresh").cookie(&stolen).from(ELSEWHERE).send().await;

    assert_eq!((replay.status, replay.code()), (StatusCode::UNAUTHORIZED, "refresh_reused"));
    assert!(replay.clears_cookie());
    assert_eq!(wing.audited().await[0], (AuditEvent::RefreshReused, Some(alice.id), "alice".to_owned()));
    assert_eq!(wing.standing(fresh.access_token()).await, Standing::Revoked);
    let after = wing.post("/refresh").cookie(fresh.refresh_cookie()).send().await;
    assert_eq!(after.code(), "refresh_invalid");
    assert!(wing.metric(r#"portcullis_refresh_total{outcome="refresh_reused"} 1"#));
}

#[tokio::test]
async fn garbage_is_refused_without_a_store() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    wing.stores.take_calls();

    for garbage in ["x", "prt_", pair.access.as_str(), &pair.refresh[..60], &format!("{}A", pair.refresh)] {
        let by_body = wing.refresh(garbage).await;
        let by_cookie = wing.post("/refresh").cookie(garbage).send().await;

        assert_eq!((by_body.code(), by_body.set_cookie()), ("refresh_invalid", None));
        assert_eq!(by_cookie.code(), "refresh_invalid");
        assert!(by_cookie.clears_cookie());
    }
    let nothing = wing.post("/refresh").send().await;
    assert_eq!((nothing.code(), nothing.set_cookie()), ("refresh_invalid", None));
    assert_eq!(wing.stores.take_calls(), [""; 0]);
}

#[tokio::test]
async fn two_different_tokens_are_not_chosen_from() {
    let wing = wing().await;
    wing.register("alice").await;
    let (one, other) = (wing.native_login("alice").await, wing.native_login("alice").await);

    let body = json!({ "refresh_token": other.refresh });
    let cookie_and_body = wing.post("/refresh").json(body).cookie(&one.refresh).send().await;
    let body = json!({ "refresh_token": one.refresh });
    let same = wing.post("/refresh").json(body).cookie(&one.refresh).send().await;

    assert_eq!((cookie_and_body.code(), cookie_and_body.set_cookie()), ("bad_request", None));
    assert_eq!(same.tokens().refresh, same.refresh_cookie());
}

#[tokio::test]
async fn a_foreign_page_cannot_refresh_by_cookie() {
    let wing = wing().await;
    wing.register("alice").await;
    let mut cookie = wing.login("alice", PASSWORD).await.refresh_cookie().to_owned();

    for (field, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "https://gate.example.evil.example"),
        ("origin", "http://gate.example"),
        ("origin", "https://gate.example:8443"),
        ("origin", "null"),
    ] {
        let answer = wing.post("/refresh").cookie(&cookie).header(field, value).send().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "cross_origin"), "{field}: {value}");
        assert_eq!(answer.set_cookie(), None);
    }
    for (field, value) in [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("origin", "https://gate.example"),
        ("origin", "https://gate.example:443"),
    ] {
        let answer = wing.post("/refresh").cookie(&cookie).header(field, value).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{field}: {value}");
        cookie = answer.refresh_cookie().to_owned();
    }
}

/// A browser keeps both of ours and a neighbouring subdomain's, and sends them under one name.
#[tokio::test]
async fn of_two_refresh_cookies_the_one_that_is_good_counts() {
    let wing = wing().await;
    wing.register("alice").await;
    let ended = wing.native_login("alice").await.refresh;
    wing.post("/logout").cookie(&ended).send().await;
    for planted in ["x", "prt_AAAA", &ended] {
        let ours = wing.native_login("alice").await.refresh;

        let first = wing.post("/refresh").cookie(planted).cookie(&ours).send().await;
        assert_eq!(first.status, StatusCode::OK, "{planted}: {:?}", first.body);
        let next = first.refresh_cookie();
        let last = wing.post("/refresh").cookie(next).cookie(planted).send().await;
        assert_eq!(last.status, StatusCode::OK, "{planted}: {:?}", last.body);

        let logout = wing.post("/logout").cookie(planted).cookie(last.refresh_cookie()).send().await;
        assert_eq!((logout.status, logout.clears_cookie()), (StatusCode::NO_CONTENT, true), "{planted}");
        let after = wing.post("/refresh").cookie(last.refresh_cookie()).cookie(planted).send().await;
        assert_eq!((after.code(), after.clears_cookie()), ("refresh_invalid", true), "{planted}");
    }
}

#[tokio::test]
async fn of_two_cookies_of_one_session_the_newer_counts() {
    let wing = wing().await;
    wing.register("alice").await;
    let old = wing.native_login("alice").await.refresh;
    let new = wing.refresh(&old).await.tokens().refresh;

    let answer = wing.post("/refresh").cookie(&old).cookie(&new).send().await;

    assert_ne!(answer.refresh_cookie(), new, "it was used");
}

/// Guessing would let whoever planted one choose whose session it is.
#[tokio::test]
async fn cookies_of_two_people_are_not_chosen_from_but_cleared() {
    let wing = wing().await;
    wing.register("alice").await;
    wing.register("mallory").await;
    let (ours, planted) = (wing.native_login("alice").await, wing.native_login("mallory").await);

    for path in ["/refresh", "/logout?all=true"] {
        let answer = wing.post(path).cookie(&planted.refresh).cookie(&ours.refresh).send().await;
        assert_eq!((answer.code(), answer.clears_cookie()), ("bad_request", true), "{path}");
    }
    assert_eq!(wing.refresh(&ours.refresh).await.status, StatusCode::OK);
}

/// Its answer was lost, and nobody has used the successor.
#[tokio::test]
async fn a_lost_answer_is_given_again_however_late_to_who_lost_it() {
    let wing = Wing::with(|policy| policy.tokens.refresh_window = Duration::ZERO).await;
    wing.register("alice").await;
    let token = wing.login("alice", PASSWORD).await.refresh_cookie().to_owned();
    let ask = || wing.post("/refresh").cookie(&token).header("user-agent", "Firefox");
    let lost = ask().send().await.refresh_cookie().to_owned();

    let same_address = wing.post("/refresh").cookie(&token).send().await;
    let same_browser = ask().from(ELSEWHERE).send().await;
    assert_eq!(same_address.refresh_cookie(), lost);
    assert_eq!(same_browser.refresh_cookie(), lost);
    assert!(wing.metric(r#"portcullis_refresh_total{outcome="repeated"} 2"#));

    let other =
        wing.post("/refresh").cookie(&token).header("user-agent", "curl").from(ELSEWHERE).send().await;
    assert_eq!((other.code(), other.clears_cookie()), ("refresh_reused", true));
    assert_eq!(wing.post("/refresh").cookie(&lost).send().await.code(), "refresh_invalid");
}

/// What a program calls itself is no secret: without the cookie it says nothing.
#[tokio::test]
async fn the_name_of_a_program_alone_tells_no_device() {
    let wing = Wing::with(|policy| policy.tokens.refresh_window = Duration::ZERO).await;
    wing.register("alice").await;
    let token = wing.native_login("alice").await.refresh;
    let ask = || {
        let body = json!({ "refresh_token": token });
        wing.post("/refresh").json(body).header("user-agent", "app/1")
    };
    let lost = ask().send().await.tokens().refresh;

    assert_eq!(ask().send().await.tokens().refresh, lost);
    assert_eq!(ask().from(ELSEWHERE).send().await.code(), "refresh_reused");
}

/// Cookies don't tell ports apart.
#[tokio::test]
async fn two_gateways_on_one_machine_leave_each_others_cookie_alone() {
    let (one, other) = (wing().await, wing().await);
    let mut cookies = Vec::new();
    for (wing, host) in [(&one, "localhost:8080"), (&other, "localhost:8081"), (&other, "127.0.0.1")] {
        wing.post("/register").json(json!({ "username": "alice", "password": PASSWORD })).send().await;
        let login = json!({ "username": "alice", "password": PASSWORD });
        let answer = wing.post("/login").at("http", host).json(login).send().await;
        let (name, _) = answer.set_cookie().unwrap().split_once('=').unwrap();
        cookies.push((name.to_owned(), answer.refresh_cookie().to_owned()));
    }
    let names: Vec<&str> = cookies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["portcullis_refresh_8080", "portcullis_refresh_8081", "portcullis_refresh_80"]);

    let sent: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let answer = one.post("/refresh").at("http", "localhost:8080").header("cookie", &sent.join("; "));
    let answer = answer.send().await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert!(answer.set_cookie().unwrap().starts_with("portcullis_refresh_8080="));
}

#[tokio::test]
async fn a_local_cookie_does_not_count_elsewhere() {
    let wing = wing().await;
    wing.register("alice").await;
    let token = wing.native_login("alice").await.refresh;

    let field = format!("portcullis_refresh={token}");
    let answer = wing.post("/refresh").header("cookie", &field).send().await;
    let local = wing.post("/refresh").at("http", "localhost:8080").cookie(&token).send().await;

    assert_eq!(answer.code(), "refresh_invalid");
    assert_eq!(local.status, StatusCode::OK);
}

#[tokio::test]
async fn a_disabled_or_deleted_account_refreshes_nothing() {
    let wing = wing().await;
    let (alice, bob) = (wing.register("alice").await, wing.register("bob").await);
    let (of_alice, of_bob) = (wing.native_login("alice").await, wing.native_login("bob").await);
    wing.set_disabled(alice.id, true).await;
    wing.delete_account(bob.id).await;

    for pair in [of_alice, of_bob] {
        assert_eq!(wing.refresh(&pair.refresh).await.code(), "refresh_invalid");
        assert_eq!(wing.standing(&pair.access).await, Standing::Revoked);
    }
    wing.set_disabled(alice.id, false).await;
    assert_eq!(wing.login("alice", PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn new_roles_are_in_the_next_token() {
    let wing = wing().await;
    let alice = wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    wing.set_roles(alice.id, &["admin"]).await;

    let refreshed = wing.refresh(&pair.refresh).await.tokens();

    let identity = wing.read(&refreshed.access);
    assert_eq!((identity.roles, identity.version), (vec!["admin".to_owned()], 2));
    wing.stores.break_down(&["accounts"]);
    let from_copy = wing.refresh(&refreshed.refresh).await.tokens();
    assert_eq!(wing.read(&from_copy.access).roles, ["admin"]);
}

#[tokio::test]
async fn without_the_account_store_the_copy_counts_until_it_is_stale() {
    let wing = Wing::with(|policy| policy.tokens.refresh_window = Duration::ZERO).await;
    let alice = wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    wing.stores.break_down(&["accounts", "audit"]);

    let from_copy = wing.refresh(&pair.refresh).await.tokens();
    assert!(wing.metric(r#"portcullis_store_errors_total{store="sqlite"} 1"#));

    let until = clock::now() + Duration::from_secs(900);
    wing.stores.revoke(Revocation::UserBelow(alice.id, alice.version + 1), until).await.unwrap();
    let stale = wing.refresh(&from_copy.refresh).await;
    assert_eq!((stale.status.as_u16(), stale.code()), (503, "store_unavailable"));

    wing.stores.break_down(&[]);
    assert_eq!(wing.refresh(&from_copy.refresh).await.status, StatusCode::OK, "a 503 uses no token up");
}

#[tokio::test]
async fn without_the_state_store_the_cookie_is_kept() {
    let wing = wing().await;
    wing.register("alice").await;
    let cookie = wing.login("alice", PASSWORD).await.refresh_cookie().to_owned();

    for broken in ["state", "state.rotate"] {
        wing.stores.break_down(&[broken]);
        let answer = wing.post("/refresh").cookie(&cookie).send().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable"), "{broken}");
        assert_eq!(answer.set_cookie(), None);
    }
    wing.stores.break_down(&[]);

    assert_eq!(wing.post("/refresh").cookie(&cookie).send().await.status, StatusCode::OK);
}
