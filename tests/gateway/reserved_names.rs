//! Names that nobody gives themselves: those of people in charge, and addresses of others.

use http::Method;
use serde_json::{Value, json};

use crate::email::{Post, member, post};
use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};

const OPEN: &str = r#"
    auth:
      registration: open
      limits: off
      reserved_names: [ceo]
      aliases: { /signup: register, /profile: me }
"#;

async fn both_editions() -> [Gateway; 2] {
    let servers = Setup::from(OPEN).stores(&Stores::servers().await);
    [harness::gateway(OPEN).await, harness::gateway(servers).await]
}

async fn outcome(answer: reqwest::Response) -> (u16, Option<String>) {
    (answer.status().as_u16(), answer.reason().map(str::to_owned))
}

async fn register(gw: &Gateway, path: &str, account: Value) -> (u16, Option<String>) {
    outcome(gw.anonymous().post(path, &account).await).await
}

async fn rename(client: &Client, path: &str, name: &str) -> (u16, Option<String>) {
    let change = json!({ "username": name, "password": PASSWORD });
    outcome(client.send(client.request(Method::PATCH, path).json(&change)).await).await
}

fn reserved() -> (u16, Option<String>) {
    (409, Some("username_reserved".to_owned()))
}

#[tokio::test]
async fn nobody_makes_themselves_somebody_in_charge() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        for name in ["admin", "ROOT", "Adm1n", "a.d-m_i+n", "\u{e1}dmin", "post.master", "C.E.O", "ceo"] {
            for path in ["/auth/register", "/signup"] {
                let account = json!({ "username": name, "password": PASSWORD });
                assert_eq!(register(&gw, path, account).await, reserved(), "{path}: {name}");
            }
            for path in ["/auth/me", "/profile"] {
                assert_eq!(rename(&alice, path, name).await, reserved(), "{path}: {name}");
            }
        }
        let me: Value = alice.get("/auth/me").await.json().await.expect("JSON");
        assert_eq!(me["username"], "alice");

        // Operators know whom they call so.
        assert!(gw.cli(&["user", "add", "root"]).status.success());
        let root = gw.client("root");
        root.login().await;
        assert_eq!(rename(&root, "/auth/me", "Root").await, (200, None), "it is that name already");
    }
}

#[tokio::test]
async fn no_name_is_reserved_where_the_file_says_so() {
    let gw = harness::gateway("auth: { registration: open, limits: off, reserved_names: [] }").await;

    gw.register("admin").await;
}

#[tokio::test]
async fn an_address_is_the_name_of_the_account_that_has_confirmed_it_only() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        for (name, email) in [
            ("ceo@bigcorp.example", "mallory@example.org"),
            ("ceo@bigcorp.example", "ceo@bigcorp.example"),
            ("\u{ff41}@b", "a@b"),
        ] {
            let account = json!({ "username": name, "password": PASSWORD, "email": email });
            assert_eq!(register(gw, "/auth/register", account).await, reserved(), "{name} {email}");
        }
        let alice = member(gw, "alice", "alice@example.org").await;
        assert_eq!(rename(&alice, "/auth/me", "alice@example.org").await, reserved(), "not confirmed yet");
        let token = json!({ "token": post_office.token(0).await });
        assert_eq!(post(gw, "/auth/email/verify", token).await.status(), 204);

        assert_eq!(rename(&alice, "/auth/me", "ceo@bigcorp.example").await, reserved());
        assert_eq!(rename(&alice, "/auth/me", "Alice@example.org").await, (200, None));
    }
}
