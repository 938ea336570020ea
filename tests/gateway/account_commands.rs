//! What operators do to accounts by command, where it was impossible or went wrong without a word.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{self, Gateway, PASSWORD, Reason as _, Setup, Stores};

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

/// Exit status, standard output and standard error.
fn run(gw: &Gateway, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = gw.cli(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn roles(gw: &Gateway, name: &str) -> Value {
    let (_, shown, _) = run(gw, &["user", "show", name, "--output", "json"]);
    serde_json::from_str::<Value>(&shown).unwrap_or_default()["roles"].clone()
}

#[tokio::test]
async fn a_disabled_account_is_enabled_again_by_command() {
    for gw in both_editions().await {
        gw.register("alice").await;
        let credentials = json!({ "username": "alice", "password": PASSWORD });
        let login = async || gw.anonymous().post("/auth/login", &credentials).await;

        assert_eq!(run(&gw, &["user", "disable", "alice"]).0, Some(0));
        assert_eq!(login().await.reason(), Some("account_disabled"));
        let (status, shown, _) = run(&gw, &["user", "enable", "alice"]);
        assert_eq!((status, shown.ends_with("  enabled")), (Some(0), true), "{shown}");
        assert_eq!(login().await.status(), 200);
        assert_eq!(run(&gw, &["user", "enable", "nobody"]).0, Some(1));
        let (_, audited, _) = run(&gw, &["audit", "list", "--event", "enabled", "--output", "json"]);
        assert!(audited.contains("\"alice\"") && audited.contains("cli:"), "{audited}");
    }
}

/// Who fails to log in chooses the text.
#[tokio::test]
async fn a_name_in_the_audit_log_can_not_pass_for_other_fields_on_a_terminal() {
    let gw = harness::gateway("").await;
    for name in ["alice  by root  from 10.0.0.1", "ecila\u{202e}", "o'brien"] {
        let login = json!({ "username": name, "password": PASSWORD });
        assert_eq!(gw.anonymous().post("/auth/login", &login).await.status(), 401);
    }

    let (status, shown, _) = run(&gw, &["audit", "list", "--event", "login_failed"]);

    assert_eq!(status, Some(0));
    assert!(shown.contains("login_failed  \"alice  by root  from 10.0.0.1\"  by -"), "{shown}");
    assert!(shown.contains("\"ecila\\u{202e}\"") && !shown.contains('\u{202e}'), "{shown}");
    assert!(shown.contains("login_failed  o'brien  by -"), "{shown}");
}

#[tokio::test]
async fn a_misspelled_role_is_refused_unless_it_is_said_to_be_new() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;

    for misspelled in ["admn", "adminn", "opertor"] {
        let (status, printed, said) = run(&gw, &["user", "set-role", "alice", misspelled]);
        assert_eq!((status, printed.as_str()), (Some(1), ""), "{misspelled}");
        assert!(said.contains("did you mean") && said.contains("--new-role"), "{said}");
        let (status, _, said) = run(&gw, &["user", "add", "bob", "--role", misspelled]);
        assert_eq!(status, Some(1));
        assert!(said.contains("--new-role"), "{said}");
    }
    assert_eq!((roles(&gw, "alice"), roles(&gw, "bob")), (json!(["user"]), Value::Null));
    let (status, _, said) = run(&gw, &["user", "set-role", "alice", "admn", "--new-role"]);
    assert_eq!((status, roles(&gw, "alice")), (Some(0), json!(["admn"])), "{said}");
    let (status, _, said) = run(&gw, &["user", "set-role", "alice", "user", "librarian"]);
    assert_eq!((status, roles(&gw, "alice")), (Some(0), json!(["user", "librarian"])));
    assert!(said.contains("librarian"), "a word about it: {said}");
    // The log tells of the file's warnings and of the change.
    let (status, _, said) = run(&gw, &["user", "set-role", "alice", "admin"]);
    let is_word = |line: &&str| !line.starts_with('{');
    assert_eq!((status, said.lines().find(is_word)), (Some(0), None), "a route names it");
}

#[tokio::test]
async fn a_role_that_needs_a_second_factor_shuts_no_operator_out_at_the_command_line() {
    let yaml = "auth: { registration: open, limits: off, mfa: { required_roles: [operator] } }";
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from(yaml).stores(&stores)).await;
        assert_eq!(run(&gw, &["user", "add", "root", "--operator"]).0, Some(0));
        let api = async |token: &str| {
            let request = gw.admin_request(Method::GET, "/api/users").bearer_auth(token);
            let answer = request.send().await.expect("the admin port answers");
            (answer.status().as_u16(), answer.reason().map(str::to_owned))
        };

        let (_, token, said) = run(&gw, &["token", "mint", "root"]);
        assert!(said.contains("--mfa"), "{said}");
        assert_eq!(api(&token).await, (403, Some("mfa_required".to_owned())));
        let (_, token, said) = run(&gw, &["token", "mint", "root", "--mfa"]);
        assert_eq!(api(&token).await, (200, None));
        assert!(!said.contains("--mfa"), "{said}");
        let audited = run(&gw, &["audit", "list", "--event", "token_minted", "--output", "json"]).1;
        let audited: Vec<Value> =
            audited.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        assert_eq!(audited[0]["reason"], json!("with a second factor"));
        assert_eq!(audited[1]["reason"], Value::Null);
    }
}

const CONFIRMED_ONLY: &str = "
    auth: { registration: open, limits: off, require_verified_email: true }
    mail: { folder: mails }
";

/// What the upstream hears of who asks, after a new login.
async fn told(gw: &Gateway, name: &str) -> String {
    let client = gw.client(name);
    client.login().await;
    client.get("/echo").await.text().await.expect("a body")
}

#[tokio::test]
async fn operators_set_and_confirm_the_address_of_somebody_who_gets_no_mail() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from(CONFIRMED_ONLY).stores(&stores)).await;
        assert_eq!(run(&gw, &["user", "add", "root", "--operator"]).0, Some(0));
        let root = gw.client("root");
        root.login().await;
        let account = json!({ "username": "alice", "password": PASSWORD, "email": "alice@example.org" });
        assert_eq!(gw.anonymous().post("/auth/register", &account).await.status(), 201);
        let credentials = json!({ "username": "alice", "password": PASSWORD });
        let login = async || gw.anonymous().post("/auth/login", &credentials).await;
        let order = async |method: Method, path: &str, body: Value| {
            let request = gw.admin_request(method, path).bearer_auth(root.token()).json(&body);
            let answer = request.send().await.expect("the admin port answers");
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
        };

        assert_eq!(login().await.reason(), Some("email_not_verified"));
        let (status, shown, _) = run(&gw, &["user", "confirm-email", "alice"]);
        assert_eq!((status, shown.as_str()), (Some(0), "alice  alice@example.org  confirmed"));
        assert!(told(&gw, "alice").await.contains("alice@example.org"));

        let (status, shown, _) = run(&gw, &["user", "set-email", "alice", "new@example.org"]);
        assert_eq!((status, shown.as_str()), (Some(0), "alice  new@example.org  not confirmed"));
        let seen = told(&gw, "alice").await;
        assert!(!seen.contains("@example.org"), "nobody confirmed it: {seen}");
        let confirm = order(Method::POST, "/api/users/alice/confirm-email", json!({})).await;
        assert_eq!((confirm.0, &confirm.1["email_verified"]), (200, &json!(true)), "{confirm:?}");
        assert!(told(&gw, "alice").await.contains("new@example.org"));

        let body = json!({ "email": "third@example.org", "email_verified": true });
        let (status, shown) = order(Method::PUT, "/api/users/alice/email", body).await;
        assert_eq!((status, &shown["email"]), (200, &json!("third@example.org")));
        assert!(told(&gw, "alice").await.contains("third@example.org"));
        let wrong = order(Method::PUT, "/api/users/alice/email", json!({ "email": "a..b@x" })).await;
        assert_eq!((wrong.0, &wrong.1["code"]), (400, &json!("bad_request")));
        assert_eq!(run(&gw, &["user", "set-email", "alice", "no address"]).0, Some(1));
        assert_eq!(run(&gw, &["user", "confirm-email", "root"]).0, Some(1), "it has none");
        assert_eq!(run(&gw, &["user", "set-email", "root", "root@example.org", "--confirmed"]).0, Some(0));
        let audited = run(&gw, &["audit", "list", "--event", "email_verified", "--output", "json"]).1;
        assert_eq!(audited.lines().count(), 2, "{audited}");
        assert!(audited.contains("cli:") && audited.contains("\"root\""), "{audited}");
    }
}
