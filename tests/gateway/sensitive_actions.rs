//! What needs more than an access token: the password, and a code where the account has a second factor.

use http::Method;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};
use crate::second_factor::{confirmation, enrol};

const NEW_PASSWORD: &str = "a horse of another colour";
/// Guesses are counted; here they mustn't end the test. `/account` lets an access token do all of it.
const PATIENT: &str = r#"
    auth:
      registration: open
      limits: off
      lockout: { failures: 100 }
      aliases:
        /profile: { endpoint: me, reauthentication: required }
        /account: { endpoint: me, reauthentication: waived }
"#;

async fn both_editions() -> [Gateway; 2] {
    let servers = Setup::from(PATIENT).stores(&Stores::servers().await);
    [harness::gateway(PATIENT).await, harness::gateway(servers).await]
}

/// With these members beside those of the action.
async fn act(client: &Client, action: &(Method, String, Value), proof: &Value) -> Response {
    let (method, path, body) = action;
    let mut body = body.clone();
    let members = proof.as_object().expect("members").clone();
    body.as_object_mut().expect("members").extend(members);
    client.send(client.request(method.clone(), path).json(&body)).await
}

async fn needs(answer: Response) -> (u16, Option<String>, Value) {
    let (status, reason) = (answer.status().as_u16(), answer.reason().map(str::to_owned));
    let problem: Value = answer.json().await.unwrap_or_default();
    (status, reason, problem["needs"].clone())
}

fn missing(names: Value) -> (u16, Option<String>, Value) {
    (400, Some("reauthentication_required".to_owned()), names)
}

async fn json_of(answer: Response) -> Value {
    let text = answer.text().await.expect("a whole body");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

/// All of them but for the password and the second factor, on an account with a key and another session.
async fn actions(gw: &Gateway, alice: &Client, proof: Value) -> Vec<(Method, String, Value)> {
    gw.client("alice").login().await;
    let mut wishes = proof;
    wishes["name"] = json!("report");
    let key = json_of(alice.post("/auth/keys", &wishes).await).await;
    let sessions = json_of(alice.get("/auth/sessions").await).await;
    let mut sessions = sessions["sessions"].as_array().expect("a list").iter();
    let other = sessions.find(|session| session["current"] == false).expect("another one");
    let path = |kind: &str, of: &Value| format!("/auth/{kind}/{}", of["id"].as_str().expect("an id"));
    let own = || "/auth/me".to_owned();
    vec![
        (Method::PATCH, own(), json!({ "username": "mallory" })),
        (Method::PATCH, own(), json!({ "email": "mallory@example.org" })),
        (Method::PUT, own(), json!({ "username": "mallory" })),
        (Method::PATCH, "/profile".to_owned(), json!({ "username": "mallory" })),
        (Method::POST, "/auth/keys".to_owned(), json!({ "name": "another" })),
        (Method::DELETE, path("keys", &key), json!({})),
        (Method::DELETE, path("sessions", other), json!({})),
        (Method::DELETE, own(), json!({})),
    ]
}

#[tokio::test]
async fn a_stolen_token_alone_does_nothing_that_is_up_to_the_owner() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let mut actions = actions(&gw, &alice, json!({ "password": PASSWORD })).await;
        actions.push((Method::POST, "/auth/password".to_owned(), json!({ "new_password": NEW_PASSWORD })));
        actions.push((Method::POST, "/auth/mfa/totp".to_owned(), json!({})));

        for action in &actions {
            let without = needs(act(&alice, action, &json!({})).await).await;
            assert_eq!(without, missing(json!(["password"])), "{action:?}");
            let member = if action.1 == "/auth/password" { "old_password" } else { "password" };
            let guessed = act(&alice, action, &json!({ member: "a guess" })).await;
            let outcome = (guessed.status().as_u16(), guessed.reason());
            assert_eq!(outcome, (401, Some("bad_credentials")), "{action:?}");
        }
        let bare = alice.send(alice.request(Method::DELETE, "/auth/me")).await;
        assert_eq!(needs(bare).await, missing(json!(["password"])), "no body at all");

        let me = json_of(alice.get("/auth/me").await).await;
        assert_eq!((&me["username"], &me["email"]), (&json!("alice"), &Value::Null));
        let keys = json_of(alice.get("/auth/keys").await).await;
        assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1), "{keys}");
        let sessions = json_of(alice.get("/auth/sessions").await).await;
        assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(2), "{sessions}");
        for action in actions.iter().filter(|(_, path, _)| path.contains("s/")) {
            assert_eq!(act(&alice, action, &json!({ "password": PASSWORD })).await.status(), 204);
        }
        let whole = (Method::DELETE, "/auth/me".to_owned(), json!({}));
        assert_eq!(act(&alice, &whole, &json!({ "password": PASSWORD })).await.status(), 204);
    }
}

#[tokio::test]
async fn with_a_factor_the_password_alone_does_nothing_either() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        // A session from before the factor, as a thief would have one.
        let (mut app, codes) = enrol(&alice).await;
        let password = json!({ "password": PASSWORD });
        let session = json_of(alice.get("/auth/sessions").await).await["sessions"][0]["id"].clone();
        assert!(session.is_string());
        let own = |method: Method, body: Value| (method, "/auth/me".to_owned(), body);
        let post = |path: &str, body: Value| (Method::POST, path.to_owned(), body);
        let change = json!({ "new_password": NEW_PASSWORD, "old_password": PASSWORD });
        let actions = [
            own(Method::PATCH, json!({ "username": "mallory", "password": PASSWORD })),
            own(Method::DELETE, password.clone()),
            post("/auth/keys", json!({ "name": "k", "password": PASSWORD })),
            post("/auth/password", change.clone()),
            post("/auth/mfa/recovery-codes", password.clone()),
            post("/auth/mfa/disable", password.clone()),
        ];

        for action in &actions {
            let without = needs(act(&alice, action, &json!({})).await).await;
            assert_eq!(without, missing(json!(["code"])), "{action:?}");
            let wrong = act(&alice, action, &json!({ "code": app.wrong_code() })).await;
            let outcome = (wrong.status().as_u16(), wrong.reason());
            assert_eq!(outcome, (401, Some("mfa_code_invalid")), "{action:?}");
        }
        let nothing = alice.send(alice.request(Method::DELETE, "/auth/me")).await;
        assert_eq!(needs(nothing).await, missing(json!(["password", "code"])));
        let code_alone = needs(alice.post("/auth/mfa/disable", &json!({ "code": codes[0] })).await).await;
        assert_eq!(code_alone, missing(json!(["password"])), "a code of an unlocked phone is one proof");

        let renamed = own(Method::PATCH, json!({ "username": "alicia" }));
        assert_eq!(act(&alice, &renamed, &confirmation(&app.code())).await.status(), 200);
        alice.refresh().await;
        let changed = post("/auth/password", change);
        assert_eq!(act(&alice, &changed, &json!({ "code": codes[1] })).await.status(), 200);
    }
}

#[tokio::test]
async fn an_api_key_does_none_of_it_with_the_password_beside_it() {
    let gw = harness::gateway(PATIENT).await;
    let alice = gw.register("alice").await;
    let wishes = json!({ "name": "k", "password": PASSWORD });
    let made = json_of(alice.post("/auth/keys", &wishes).await).await;
    let key = made["key"].as_str().expect("a key");

    for path in ["/auth/me", "/profile", "/account"] {
        let nobody = gw.anonymous();
        let request = nobody.request(Method::DELETE, path).bearer_auth(key);
        let refused = nobody.send(request.json(&json!({ "password": PASSWORD }))).await;
        assert_eq!((refused.status().as_u16(), refused.reason()), (401, Some("token_invalid")), "{path}");
    }
    assert_eq!(alice.get("/auth/me").await.status(), 200);
}

#[tokio::test]
async fn an_alias_waives_the_rule_only_where_the_file_says_so() {
    let gw = harness::gateway(PATIENT).await;
    let alice = gw.register("alice").await;
    let rename = |path: &str| (Method::PATCH, path.to_owned(), json!({ "username": "alicia" }));

    let refused = needs(act(&alice, &rename("/profile"), &json!({})).await).await;
    assert_eq!(refused, missing(json!(["password"])));
    assert_eq!(act(&alice, &rename("/account"), &json!({})).await.status(), 200);
    alice.refresh().await;
    assert_eq!(alice.send(alice.request(Method::DELETE, "/account")).await.status(), 204);
}

/// As another program may have left it behind.
#[tokio::test]
async fn an_account_without_a_password_needs_a_sign_in_of_the_last_five_minutes() {
    let gw = harness::gateway(PATIENT).await;
    let alice = gw.register("alice").await;
    let execute = async |file: &str, statement: &'static str| {
        let url = format!("sqlite://{}", gw.home().join(file).display());
        let mut database = SqliteConnection::connect(&url).await.expect("it is there");
        database.execute(statement).await.expect("it can be written");
    };
    execute("data/portcullis.db", "UPDATE users SET password_hash = ''").await;
    let rename = |name: &str| (Method::PATCH, "/auth/me".to_owned(), json!({ "username": name }));

    assert_eq!(act(&alice, &rename("alicia"), &json!({})).await.status(), 200);
    alice.refresh().await;
    execute("data/state.db", "UPDATE sessions SET created_at = created_at - 301 * 1000000").await;

    let refused = act(&alice, &rename("alison"), &json!({ "password": PASSWORD })).await;
    assert_eq!(needs(refused).await, missing(json!(["sign_in"])));
}

#[tokio::test]
async fn diff_calls_a_waived_rule_and_open_registration_looser() {
    let gw = harness::gateway(PATIENT).await;
    let open = std::fs::read_to_string(gw.home().join("gateway.yaml")).expect("it runs on it");
    let closed = open.replace("reauthentication: waived", "reauthentication: required");
    let closed = closed.replace("registration: open", "registration: closed");
    std::fs::write(gw.home().join("closed.yaml"), closed).expect("writable");
    let said = |arguments: &[&str]| {
        let output = gw.cli(&[&["diff"], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    };

    let looser = "looser          auth.registration: closed → open\n\
                  looser          /account: reauthentication required → reauthentication waived";
    assert_eq!(said(&["closed.yaml", "gateway.yaml", "--fail-on", "looser"]), (Some(1), looser.to_owned()));
    let stricter = "stricter        auth.registration: open → closed\n\
                    stricter        /account: reauthentication waived → reauthentication required";
    assert_eq!(said(&["--live", "closed.yaml", "--fail-on", "looser"]), (Some(0), stricter.to_owned()));
}
