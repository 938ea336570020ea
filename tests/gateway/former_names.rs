//! Names that accounts had: nobody else gets them until an operator frees them.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};

const OPEN: &str = r#"
    auth:
      registration: open
      limits: off
      aliases:
        /signup: register
        /user: [{ endpoint: register, methods: [POST] }, { endpoint: me, methods: [PUT, DELETE], reauthentication: waived }]
"#;

async fn both_editions() -> [Gateway; 2] {
    let servers = Setup::from(OPEN).stores(&Stores::servers().await);
    [harness::gateway(OPEN).await, harness::gateway(servers).await]
}

async fn register(gw: &Gateway, path: &str, name: &str) -> (u16, Option<String>) {
    let account = json!({ "username": name, "password": PASSWORD });
    let answer = gw.anonymous().post(path, &account).await;
    (answer.status().as_u16(), answer.reason().map(str::to_owned))
}

async fn rename(client: &Client, name: &str) -> (u16, Option<String>) {
    let change = json!({ "username": name, "password": PASSWORD });
    let answer = client.send(client.request(Method::PATCH, "/auth/me").json(&change)).await;
    let outcome = (answer.status().as_u16(), answer.reason().map(str::to_owned));
    if outcome.0 == 200 {
        client.refresh().await;
    }
    outcome
}

fn taken() -> (u16, Option<String>) {
    (409, Some("username_taken".to_owned()))
}

/// Exit status, standard output and standard error.
fn user(gw: &Gateway, args: &[&str]) -> (Option<i32>, String, String) {
    let output = gw.cli(&[&["user"], args].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn nobody_gets_the_name_that_a_renamed_account_had() {
    for gw in both_editions().await {
        let (alice, bob) = (gw.register("Alice").await, gw.register("bob").await);
        let id = alice.id().await;

        assert_eq!(rename(&alice, "alicia").await, (200, None));
        for name in ["alice", "ALICE"] {
            for path in ["/auth/register", "/signup", "/user"] {
                assert_eq!(register(&gw, path, name).await, taken(), "{path} {name}");
            }
            assert_eq!(rename(&bob, name).await, taken(), "{name}");
            let (status, _, told) = user(&gw, &["add", name]);
            assert_eq!(status, Some(1), "{told}");
            assert!(told.contains("was another account's; `portcullis user free-name"), "{told}");
        }
        std::fs::write(gw.home().join("users.jsonl"), imported("alice")).expect("a writable folder");
        let (status, out, told) = user(&gw, &["import", "users.jsonl"]);
        assert_eq!(status, Some(1), "{out}{told}");
        assert!(format!("{out}{told}").contains("taken"), "{out}{told}");

        assert_eq!(rename(&alice, "ALICE").await, (200, None), "its own former name");
        assert_eq!(alice.id().await, id);
        assert_eq!(rename(&bob, "alicia").await, taken(), "the other one is former now");
        let (_, listed, _) = user(&gw, &["former-names"]);
        assert!(listed.starts_with(&format!("alicia  {id}  ")) && listed.lines().count() == 1, "{listed}");
    }
}

fn imported(name: &str) -> String {
    let hash =
        "$argon2id$v=19$m=64,t=1,p=1$YoMYWyibmUlq974iIclUbw$t/K7BZ6is/ECPSctv8YLLVCdM3l+NQ0qtE1StrZngqc";
    format!("{}\n", json!({ "username": name, "password_hash": hash }))
}

#[tokio::test]
async fn nobody_gets_the_name_of_a_deleted_account_before_an_operator_frees_it() {
    for gw in both_editions().await {
        let root = gw.admin("root").await;
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let delete = alice.request(Method::DELETE, "/auth/me").json(&json!({ "password": PASSWORD }));
        assert_eq!(alice.send(delete).await.status(), 204);
        assert_eq!(user(&gw, &["delete", "bob"]).0, Some(0));
        let carol = gw.register("carol").await;
        assert_eq!(carol.send(carol.request(Method::DELETE, "/user")).await.status(), 204);
        drop(bob);

        for name in ["alice", "bob", "carol"] {
            assert_eq!(register(&gw, "/auth/register", name).await, taken(), "{name}");
        }
        let (status, freed, _) = user(&gw, &["free-name", "Alice"]);
        assert_eq!((status, freed.as_str()), (Some(0), "freed\n"));
        assert_eq!(user(&gw, &["free-name", "alice"]).0, Some(1), "it is free already");
        assert_eq!(register(&gw, "/auth/register", "alice").await, (201, None));

        let call = async |method: Method, path: &str| {
            let request = gw.admin_request(method, path).bearer_auth(root.token());
            request.send().await.expect("the admin port answers")
        };
        let page: Value = call(Method::GET, "/api/former-names?limit=1").await.json().await.expect("JSON");
        assert_eq!((&page["former_names"][0]["username"], &page["next"]), (&json!("bob"), &json!("bob")));
        let page: Value = call(Method::GET, "/api/former-names?after=bob").await.json().await.expect("JSON");
        assert_eq!((&page["former_names"][0]["username"], &page["next"]), (&json!("carol"), &Value::Null));
        assert_eq!(call(Method::DELETE, "/api/former-names/bob").await.status(), 204);
        assert_eq!(call(Method::DELETE, "/api/former-names/bob").await.reason(), Some("not_found"));
        assert_eq!(register(&gw, "/auth/register", "bob").await, (201, None));
        gw.logged(|line| {
            line["event"] == "name_freed" && line["username"] == "bob" && line["actor"] == "root"
        })
        .await;
    }
}
