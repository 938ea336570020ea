//! What only a login with a second factor opens, wherever it is asked for.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{self, Client, PASSWORD, Reason as _, Setup, Stores, eventually};
use crate::second_factor::{ROUTES, code_of, enrol, json_of, login};

#[tokio::test]
async fn roles_that_need_a_second_factor_open_nothing_without_one() {
    let gw = harness::gateway(ROUTES).await;
    let root = gw.admin("root").await;
    let api = async |client: &Client| {
        let request = gw.admin_request(Method::GET, "/api/users").bearer_auth(client.token());
        request.send().await.expect("the admin port answers").reason().map(str::to_owned)
    };

    for path in ["/protected", "/echo", "/admin/dashboard"] {
        assert_eq!(code_of(&root, path).await.as_deref(), Some("mfa_required"), "{path}");
    }
    assert_eq!(api(&root).await.as_deref(), Some("mfa_required"));
    assert_eq!(gw.upstream_calls("/admin/dashboard").await, 0);
    assert_eq!(code_of(&root, "/auth/me").await, None, "or nobody could ever enrol");

    enrol(&root).await;
    for path in ["/protected", "/echo", "/admin/dashboard", "/secure/data"] {
        assert_eq!(code_of(&root, path).await, None, "{path}");
    }
    assert_eq!(api(&root).await, None);
    let user = gw.register("alice").await;
    assert_eq!(code_of(&user, "/protected").await, None);
    assert_eq!(code_of(&user, "/admin/dashboard").await.as_deref(), Some("role_missing"));
}

#[tokio::test]
async fn an_api_key_is_one_factor_whoever_made_it() {
    let gw = harness::gateway(ROUTES).await;
    let root = gw.admin("root").await;
    gw.cli(&["user", "set-role", "root", "admin", "user", "--config", "gateway.yaml"]);
    root.login().await;
    let (_, codes) = enrol(&root).await;
    let made = async |roles: Value, code: &str| {
        let wishes = json!({ "name": "k", "roles": roles, "password": PASSWORD, "code": code });
        let made = root.post("/auth/keys", &wishes).await;
        json_of(made).await["key"].as_str().expect("a key").to_owned()
    };
    let all = made(json!(["admin", "user"]), &codes[0]).await;
    let user = made(json!(["user"]), &codes[1]).await;
    let with_key = async |key: &str, path: &str| {
        let nobody = gw.anonymous();
        nobody.send(nobody.request(Method::GET, path).bearer_auth(key)).await.reason().map(str::to_owned)
    };

    assert_eq!(with_key(&all, "/protected").await.as_deref(), Some("mfa_required"), "it has the role admin");
    assert_eq!(with_key(&user, "/protected").await, None);
    assert_eq!(with_key(&user, "/secure/data").await.as_deref(), Some("mfa_required"));
}

#[tokio::test]
async fn an_operator_takes_a_lost_factor_away_at_every_gateway() {
    let stores = Stores::servers().await;
    let setup = || Setup::from(ROUTES).stores(&stores);
    let (one, other) = (harness::gateway(setup()).await, harness::gateway(setup()).await);
    let root = one.admin("root").await;
    enrol(&root).await;
    let alice = one.register("alice").await;
    enrol(&alice).await;
    let at_other = other.client("alice");
    at_other.set_token(Some(alice.token()));
    assert_eq!(code_of(&at_other, "/secure/data").await, None);

    let request = one.admin_request(Method::DELETE, "/api/users/alice/mfa").bearer_auth(root.token());
    let answer = request.send().await.expect("the admin port answers");
    assert_eq!(json_of(answer).await, json!({ "had_second_factor": true }));

    assert_eq!(code_of(&alice, "/protected").await.as_deref(), Some("token_revoked"));
    eventually("the revocation at the other gateway", async || {
        (code_of(&at_other, "/protected").await.as_deref() == Some("token_revoked")).then_some(())
    })
    .await;
    at_other.login().await;
    assert_eq!(code_of(&at_other, "/secure/data").await.as_deref(), Some("mfa_required"));
    let (_, _) = enrol(&at_other).await;
    let output = other.cli(&["user", "reset-mfa", "alice", "--config", "gateway.yaml"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "second factor removed", "{output:?}");
    let output = other.cli(&["user", "reset-mfa", "alice", "--config", "gateway.yaml"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "had no second factor");
    assert_eq!(login(&one, "alice").await.status(), 200);
    one.logged(|line| line["event"] == "second_factor_reset" && line["actor"] == "root").await;
}

#[tokio::test]
async fn explain_and_tests_know_of_second_factors() {
    let tests = r#"
        tests:
          - { request: GET /secure/data, role: user, expect: mfa_required }
          - { request: GET /secure/data, role: user, mfa: true, expect: allowed }
          - { request: GET /admin/dashboard, role: admin, expect: mfa_required }
          - { request: GET /admin/dashboard, role: admin, mfa: true, expect: allowed }
    "#;
    let gw = harness::gateway(Setup::from(ROUTES).with(tests)).await;
    let explain = |more: &[&str]| {
        let mut arguments =
            vec!["explain", "GET", "/secure/data", "--role", "user", "--config", "gateway.yaml"];
        arguments.extend(more);
        String::from_utf8(gw.cli(&arguments).stdout).expect("UTF-8")
    };

    assert!(explain(&[]).contains("refused: mfa_required (403)"), "{}", explain(&[]));
    assert!(explain(&[]).contains("a good token, a second factor"), "{}", explain(&[]));
    let allowed = explain(&["--mfa"]);
    assert!(allowed.contains("allowed") && allowed.contains("with a second factor"), "{allowed}");
    let wrong = "tests:\n  - { request: GET /secure/data, role: user, expect: allowed }\n";
    assert_eq!(gw.reload(Setup::from(ROUTES).with(wrong)).await, harness::Reload::Refused);
}

#[tokio::test]
async fn the_console_asks_operators_for_both_factors() {
    let gw = harness::gateway(ROUTES).await;
    let root = gw.admin("root").await;
    let sign_in = async |code: &str| {
        let fields = [("username", "root"), ("password", PASSWORD), ("code", code)];
        let request = gw.admin_request(Method::POST, "/console/login").form(&fields);
        let answer = request.header("sec-fetch-site", "same-origin").send().await.expect("the port answers");
        (answer.status().as_u16(), answer.headers().contains_key("set-cookie"))
    };

    assert_eq!(sign_in("").await, (403, false), "the role needs a factor");
    let (mut app, _) = enrol(&root).await;
    assert_eq!(sign_in("").await, (403, false));
    assert_eq!(sign_in(&app.wrong_code()).await, (403, false));
    assert_eq!(sign_in(&app.code()).await, (303, true));
}
