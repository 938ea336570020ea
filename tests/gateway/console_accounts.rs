//! What the operator console shows of users, sessions and API keys, and does to them.

use reqwest::Method;
use serde_json::json;

use crate::api_keys::{made, reason, text as key_text};
use crate::console::{Browser, both_editions, leads_to, text};
use crate::harness::{self, PASSWORD, eventually};

#[tokio::test]
async fn users_are_found_unlocked_disabled_and_thrown_out() {
    for gw in both_editions().await {
        let browser = Browser::of_operator(&gw).await;
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let id = alice.id().await;

        let page = browser.page("/console/users?search=AL").await;
        assert!(page.contains(">alice<") && !page.contains(">bob<"), "{page}");
        let user = format!("/console/users/{id}");
        let page = browser.page(&user).await;
        let session = page.split("/console/sessions/").nth(1).and_then(|rest| rest.split("/end").next());
        let session = session.expect("a session with its button").to_owned();
        let ended = browser.act(&format!("/console/sessions/{session}/end")).await;
        assert_eq!(leads_to(&ended), Some(format!("{user}?done=session").as_str()));
        eventually("the end of the session", async || {
            (alice.get("/protected").await.status() == 401).then_some(())
        })
        .await;

        alice.login().await;
        let disabled = browser.act(&format!("{user}/disable")).await;
        assert_eq!(leads_to(&disabled), Some(format!("{user}?done=disable").as_str()));
        assert!(browser.page(&format!("{user}?done=disable")).await.contains("Disabled: "));
        eventually("the end of all", async || (alice.get("/protected").await.status() == 401).then_some(()))
            .await;
        browser.act(&format!("{user}/enable")).await;
        for _ in 0..5 {
            let wrong = json!({ "username": "alice", "password": "wrong" });
            gw.anonymous().post("/auth/login", &wrong).await;
        }
        for page in [user.as_str(), "/console/users"] {
            assert!(browser.page(page).await.contains("locked for owner until "), "{page}");
        }
        browser.act(&format!("{user}/unlock")).await;
        assert!(!browser.page(&user).await.contains("locked for"));
        alice.login().await;
        let mended = browser.act(&format!("{user}/mend")).await;
        assert_eq!(leads_to(&mended), Some(format!("{user}?done=mend").as_str()));
        assert!(browser.page(&format!("{user}?done=mend")).await.contains("Mended: "));
        eventually("the old token's end", async || {
            (alice.get("/protected").await.status() == 401).then_some(())
        })
        .await;
        alice.login().await;
        browser.act(&format!("{user}/end-sessions")).await;
        eventually("their end", async || (alice.get("/protected").await.status() == 401).then_some(())).await;
        assert_eq!(bob.get("/protected").await.status(), 200);

        let audit = browser.page(&format!("/console/audit?user={id}")).await;
        for event in ["session_ended", "disabled", "enabled", "unlocked", "mended"] {
            assert!(audit.contains(&format!(">{event}<")), "{event}");
        }
        assert!(audit.contains(">root<") && !audit.contains(">bob<"), "by whom, and about this user only");
        for (wrong, status) in [
            ("/console/users/nobody", 404),
            ("/console/audit?user=nobody", 404),
            ("/console/audit?event=x", 400),
            ("/console/users?colour=red", 400),
        ] {
            assert_eq!(browser.get(wrong).await.status(), status, "{wrong}");
        }
        assert_eq!(browser.act(&format!("{user}/explode")).await.status(), 404);
    }
}

#[tokio::test]
async fn a_deed_needs_the_form_of_this_session_and_this_origin() {
    let gw = harness::gateway("").await;
    let browser = Browser::of_operator(&gw).await;
    gw.admin("other").await;
    let other = Browser::of(&gw);
    other.sign_in("other", PASSWORD).await;
    let alice = gw.register("alice").await;
    let path = format!("/console/users/{}/disable", alice.id().await);
    let (own, foreign) = (browser.form_token().await, other.form_token().await);

    assert_eq!(browser.post(&path, &[]).await.status(), 400);
    for token in ["", "x", &foreign] {
        assert_eq!(browser.post(&path, &[("form_token", token)]).await.status(), 403, "{token}");
    }
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(browser.post_from(origin, &path, &[("form_token", &own)]).await.status(), 403, "{origin}");
        let fields = [("username", "root"), ("password", PASSWORD)];
        assert_eq!(
            Browser::of(&gw).post_from(origin, "/console/login", &fields).await.status(),
            403,
            "{origin}"
        );
    }
    assert_eq!(browser.get(&path).await.status(), 405);
    assert_eq!(alice.get("/protected").await.status(), 200, "nothing has happened");
    assert_eq!(browser.post(&path, &[("form_token", &own)]).await.status(), 303);
}

#[tokio::test]
async fn api_keys_are_seen_and_ended_here_too() {
    for gw in both_editions().await {
        let browser = Browser::of_operator(&gw).await;
        let alice = gw.register("alice").await;
        let user = format!("/console/users/{}", alice.id().await);
        let [first, second, third] = [
            made(&alice, json!({ "name": "<b>first</b>" })).await,
            made(&alice, json!({ "name": "second" })).await,
            made(&alice, json!({ "name": "third" })).await,
        ];

        let page = browser.page(&user).await;
        assert!(
            page.contains("&lt;b&gt;first") && page.contains("second") && !page.contains(key_text(&first)),
            "{page}"
        );
        let end =
            |key: &serde_json::Value| format!("/console/keys/{}/end", key["id"].as_str().expect("an id"));
        assert_eq!(browser.post(&end(&first), &[("form_token", "x")]).await.status(), 403);
        let ended = browser.act(&end(&first)).await;
        assert_eq!(leads_to(&ended), Some(format!("{user}?done=key").as_str()));
        assert!(reason(&gw, key_text(&first)).await.is_some());
        assert_eq!(browser.act(&end(&first)).await.status(), 404);

        browser.act(&format!("{user}/end-sessions-only")).await;
        assert_eq!(reason(&gw, key_text(&second)).await, None);
        browser.act(&format!("{user}/end-sessions")).await;
        for key in [&second, &third] {
            assert!(reason(&gw, key_text(key)).await.is_some());
        }
    }
}

#[tokio::test]
async fn an_operator_is_made_here_only_with_the_box_ticked() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let browser = Browser::of_operator(&gw).await;
        let path = format!("/console/users/{}/roles", alice.id().await);
        let token = browser.form_token().await;
        let roles = ("roles", "user  operator");

        let refused = browser.post(&path, &[("form_token", &token), roles]).await;
        assert_eq!(refused.status(), 400);
        assert!(text(refused).await.contains("makes an operator of the gateway"));
        let forged = browser.post(&path, &[("form_token", "x"), roles, ("allow_operators", "true")]).await;
        assert_eq!(forged.status(), 403);
        assert_eq!(Browser::of(&gw).sign_in("alice", PASSWORD).await.status(), 403);

        let fields = [("form_token", token.as_str()), roles, ("allow_operators", "true")];
        let done = browser.post(&path, &fields).await;
        assert!(leads_to(&done).expect("a page").ends_with("?done=roles"));
        assert_eq!(Browser::of(&gw).sign_in("alice", PASSWORD).await.status(), 303);
        let page = browser.page("/console/audit?event=operator_granted").await;
        assert!(page.contains("alice") && page.contains("root"), "{page}");
    }
}

#[tokio::test]
async fn hostile_names_and_programs_are_shown_as_text() {
    let gw = harness::gateway("").await;
    let browser = Browser::of_operator(&gw).await;
    let hostile = "\"><script>alert('x')</script>";
    let request = gw.anonymous().request(Method::POST, "/auth/login").header("user-agent", hostile);
    request.json(&json!({ "username": hostile, "password": "wrong" })).send().await.expect("an answer");
    let alice = gw.register("alice").await;
    let login = alice.request_without_token(Method::POST, "/auth/login").header("user-agent", hostile);
    login.json(&json!({ "username": "alice", "password": PASSWORD })).send().await.expect("an answer");

    let id = alice.id().await;
    let encoded = serde_urlencoded::to_string([("search", hostile)]).expect("a query");
    for path in [
        "/console/audit".to_owned(),
        format!("/console/users/{id}"),
        format!("/console/users?{encoded}"),
        format!("/console/users/{id}?{}", encoded.replace("search", "done")),
        format!("/console/explain?{}", encoded.replace("search", "url")),
        format!("/console/explain?url=/&{}", encoded.replace("search", "user")),
    ] {
        let page = text(browser.get(&path).await).await;
        assert!(!page.contains("<script>") && !page.contains("alert('x')</"), "{path}: {page}");
    }
    let audit = browser.page("/console/audit").await;
    assert!(audit.contains("&lt;script&gt;"), "{audit}");
}
