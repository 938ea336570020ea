//! Attack classes 86 to 88: logout that logs out, sessions that nobody else has chosen, and pages
//! of other origins.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::harness::{self, Client, Gateway, PASSWORD, Setup, Stores, eventually};
use crate::refusal::Refusal;

async fn refresh_by_cookie(client: &Client) -> Refusal {
    let request = client.request_without_token(Method::POST, "/auth/refresh");
    Refusal::read(client.send(request).await).await
}

#[tokio::test]
async fn class_86_a_logout_ends_the_session_at_once_and_is_idempotent() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::default().stores(&stores)).await;
        let (phone, laptop) = (gw.register("alice").await, gw.client("alice"));
        laptop.login().await;

        phone.logout().await;

        assert_eq!(Refusal::read(phone.get("/secure/data").await).await, (401, "token_revoked"));
        assert_eq!(refresh_by_cookie(&phone).await, (401, "refresh_invalid"));
        assert_eq!(gw.upstream_calls("/secure/data").await, 0);
        assert_eq!(laptop.get("/protected").await.status(), 200, "another session goes on");
        for _ in 0..2 {
            let request = phone.request_without_token(Method::POST, "/auth/logout");
            assert_eq!(phone.send(request).await.status(), 204, "logging out twice is no error");
        }
    }
}

/// The page was open for longer than its token was good.
#[tokio::test]
async fn class_86_the_cookie_is_enough_to_log_out_whatever_came_of_the_access_token() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    assert!(gw.cli(&["user", "set-role", "alice", "editor"]).status.success());
    eventually("the token to be stale", async || {
        (Refusal::read(alice.get("/protected").await).await == (401, "token_stale")).then_some(())
    })
    .await;
    let without_cookie = gw.anonymous();
    without_cookie.set_token(Some(alice.token()));
    let logout = async |client: &Client| client.send(client.request(Method::POST, "/auth/logout")).await;

    assert_eq!(Refusal::read(logout(&without_cookie).await).await, (401, "token_stale"));
    alice.refresh().await;
    alice.set_token(Some(without_cookie.token()));
    assert_eq!(logout(&alice).await.status(), 204);

    assert_eq!(refresh_by_cookie(&alice).await, (401, "refresh_invalid"));
}

#[tokio::test]
async fn class_86_logout_everywhere_ends_every_session_of_this_user_only() {
    let gw = harness::gateway("").await;
    let (phone, laptop, bob) = (gw.register("alice").await, gw.client("alice"), gw.register("bob").await);
    laptop.login().await;

    let response = phone.send(phone.request(Method::POST, "/auth/logout?all=true")).await;

    assert_eq!(response.status(), 204);
    for device in [&phone, &laptop] {
        assert_eq!(Refusal::read(device.get("/secure/data").await).await, (401, "token_revoked"));
        assert_eq!(refresh_by_cookie(device).await, (401, "refresh_invalid"));
    }
    assert_eq!(bob.get("/protected").await.status(), 200);
    let odd = bob.send(bob.request(Method::POST, "/auth/logout?all=perhaps")).await;
    assert_eq!(Refusal::read(odd).await, (400, "bad_request"));
}

#[tokio::test]
async fn class_86_a_logout_counts_on_connections_that_are_open_already() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let request = format!(
        "GET /protected HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        alice.token()
    );
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut connection = gw.raw_connection().await;
        connection.send(request.as_bytes()).await;
        assert_eq!(connection.answer().await.expect("an answer").status, 200);
        connections.push(connection);
    }

    alice.logout().await;

    for mut connection in connections {
        assert!(connection.send(request.as_bytes()).await);
        let answer = connection.answer().await.expect("an answer");
        let code = answer.fields("portcullis-reason").next();
        assert_eq!((answer.status, code), (401, Some("token_revoked")));
    }
    assert_eq!(gw.upstream_calls("/protected").await, 5);
}

#[tokio::test]
async fn class_86_a_logout_on_one_gateway_counts_on_the_other() {
    let stores = Stores::servers().await;
    let here = harness::gateway(Setup::default().stores(&stores)).await;
    let there = harness::gateway(Setup::default().stores(&stores)).await;
    let alice = here.register("alice").await;
    let elsewhere = there.anonymous();
    assert_eq!(elsewhere.present(&alice.token(), "/protected").await.status, 200);

    alice.logout().await;

    // The one that logged her out knows at once; the other may take a moment, but only that.
    let logged_out = Instant::now();
    assert_eq!(Refusal::read(alice.get("/secure/data").await).await, (401, "token_revoked"));
    let refusal = eventually("the logout over there", async || {
        let refusal = elsewhere.present(&alice.token(), "/protected").await;
        (refusal.status != 200).then_some(refusal)
    })
    .await;
    assert_eq!(refusal, (401, "token_revoked"));
    assert!(logged_out.elapsed() < Duration::from_secs(1), "{:?}", logged_out.elapsed());
}

#[tokio::test]
async fn class_86_a_logout_survives_a_restart() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let bob = gw.register("bob").await;
    alice.logout().await;

    gw.restart().await;

    assert_eq!(Refusal::read(alice.get("/secure/data").await).await, (401, "token_revoked"));
    assert_eq!(refresh_by_cookie(&alice).await, (401, "refresh_invalid"));
    assert_eq!(bob.get("/protected").await.status(), 200);
    bob.refresh().await;
}

#[tokio::test]
async fn class_87_every_login_is_a_new_session_whatever_the_client_brings() {
    let gw = harness::gateway("").await;
    let mallory = gw.register("mallory").await;
    let planted = mallory.token();
    let credentials = json!({ "username": "alice", "password": PASSWORD });
    let alice = gw.register("alice").await;
    let first = alice.token();

    // The attacker's cookie and token come along with the victim's login.
    let victim = mallory.send(mallory.request(Method::POST, "/auth/login").json(&credentials)).await;
    assert_eq!(victim.status(), 200);
    let body: serde_json::Value = victim.json().await.expect("JSON");
    let fresh = body["access_token"].as_str().expect("a token").to_owned();
    alice.login().await;

    let session = |token: &str| crate::forge::decode(token, 1)["sid"].clone();
    let user = |token: &str| crate::forge::decode(token, 1)["sub"].clone();
    assert_ne!(session(&fresh), session(&planted));
    assert_ne!(session(&fresh), session(&first));
    assert_ne!(session(&alice.token()), session(&first));
    assert_eq!(user(&fresh), user(&first));
    assert_ne!(user(&fresh), user(&planted));
    let me = Refusal::read(mallory.get("/auth/me").await).await;
    assert_eq!(me.body["username"], "mallory", "the planted token still is the attacker's own");
}

#[tokio::test]
async fn class_88_a_foreign_page_can_neither_refresh_nor_log_out_by_cookie() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let foreign = [
        ("origin", "https://attacker.example"),
        ("origin", "null"),
        ("origin", "http://localhost.attacker.example"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "nonsense"),
    ];

    for path in ["/auth/refresh", "/auth/logout", "/auth/logout?all=true"] {
        for (name, value) in foreign {
            let request = alice.request_without_token(Method::POST, path).header(name, value);
            let refusal = Refusal::read(alice.send(request).await).await;
            assert_eq!(refusal, (403, "cross_origin"), "{path} {name}: {value}");
        }
    }

    assert_eq!(alice.get("/protected").await.status(), 200, "nobody was logged out");
    for (name, value) in [("origin", own_origin(&gw)), ("sec-fetch-site", "same-origin".to_owned())] {
        let request = alice.request_without_token(Method::POST, "/auth/refresh").header(name, &value);
        assert_eq!(alice.send(request).await.status(), 200, "{name}: {value}");
    }
}

fn own_origin(gw: &Gateway) -> String {
    format!("http://{}", gw.address())
}

#[tokio::test]
async fn class_88_what_a_form_can_send_without_asking_is_not_taken_for_json() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let simple = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"];

    for content_type in simple {
        for path in ["/auth/refresh", "/auth/logout", "/auth/register"] {
            let request =
                alice.request_without_token(Method::POST, path).header("content-type", content_type);
            let refusal = Refusal::read(alice.send(request.body(r#"{"refresh_token":"x"}"#)).await).await;
            assert_eq!(refusal, (415, "unsupported_media_type"), "{path} {content_type}");
        }
    }
    for path in ["/auth/refresh", "/auth/logout", "/auth/login"] {
        let refusal = Refusal::read(alice.get(path).await).await;
        assert_eq!(refusal, (405, "method_not_allowed"), "{path}");
    }
    assert_eq!(alice.get("/protected").await.status(), 200);
}

#[tokio::test]
async fn class_88_the_cookie_is_kept_from_scripts_other_sites_and_backends() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;
    let credentials = json!({ "username": "alice", "password": PASSWORD });
    let alice = gw.client("alice");

    let local = alice.post("/auth/login", &credentials).await;
    let named =
        alice.request(Method::POST, "/auth/login").header("host", "gateway.example").json(&credentials);
    let named = alice.send(named).await;

    let attributes = |response: &reqwest::Response| -> Vec<String> {
        let cookie = response.headers()["set-cookie"].to_str().expect("cookies are ASCII");
        cookie.split("; ").map(str::to_owned).collect()
    };
    let local_name = format!("portcullis_refresh_{}=prt_", gw.address().port());
    for (answer, name) in [(&local, local_name.as_str()), (&named, "__Secure-portcullis_refresh=prt_")] {
        let attributes = attributes(answer);
        assert!(attributes[0].starts_with(name), "{attributes:?}");
        for wanted in ["HttpOnly", "SameSite=Strict", "Path=/auth"] {
            assert!(attributes.iter().any(|attribute| attribute == wanted), "{wanted}: {attributes:?}");
        }
        assert!(!attributes.iter().any(|attribute| attribute.starts_with("Domain")), "{attributes:?}");
    }
    assert!(attributes(&named).contains(&"Secure".to_owned()), "off only for plain http on this machine");
}
