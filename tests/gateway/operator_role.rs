//! Who operates the gateway: a role of its own, which no role of an application gives.

use std::fs;

use http::Method;
use serde_json::{Value, json};

use crate::email::Post;
use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Reload, Setup, Stores, eventually};

const HASH: &str = "$2b$05$Kcst30rdEJZ4lKuuktTbc.VE8lw2iKwlbyJ7wlcwTXR.oKkyAgZBK";

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

/// What the admin API answers to the client's token: 200, or the code of the refusal.
async fn api(gw: &Gateway, client: &Client) -> String {
    let request = gw.admin_request(Method::GET, "/api/users").bearer_auth(client.token());
    let answer = request.send().await.expect("the admin port answers");
    answer.reason().map_or_else(|| answer.status().as_u16().to_string(), str::to_owned)
}

async fn added(gw: &Gateway, name: &str, arguments: &[&str]) -> Client {
    let output = gw.cli(&[&["user", "add", name], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    let client = gw.client(name);
    client.login().await;
    client
}

#[tokio::test]
async fn the_role_admin_of_an_application_makes_no_operator() {
    for gw in both_editions().await {
        let of_the_application = added(&gw, "eve", &["--role", "admin", "--role", "user"]).await;
        let operator = added(&gw, "root", &["--operator"]).await;

        assert_eq!(of_the_application.get("/admin/dashboard").await.status(), 200);
        assert_eq!(api(&gw, &of_the_application).await, "role_missing");
        assert_eq!(operator.get("/admin/dashboard").await.reason(), Some("role_missing"));
        assert_eq!(api(&gw, &operator).await, "200");
        let port = gw.admin_address().to_string();
        let tail = gw.cli(&["tail", "-n", "1", "--admin", &port, "--token", &of_the_application.token()]);
        assert!(String::from_utf8_lossy(&tail.stderr).contains("role_missing"), "{tail:?}");
    }
}

#[tokio::test]
async fn admin_roles_say_who_operates_from_a_reload_on() {
    let gw = harness::gateway("admin: { roles: [chief, night-shift] }").await;
    let (chief, operator) =
        (added(&gw, "chief", &["--operator"]).await, added(&gw, "root", &["--role", "operator"]).await);
    let night = added(&gw, "night", &["--role", "night-shift", "--operator"]).await;

    for (client, expected) in [(&chief, "200"), (&night, "200"), (&operator, "role_missing")] {
        assert_eq!(api(&gw, client).await, expected);
    }
    let shown = gw.cli(&["user", "show", "chief"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("  user,chief  "), "{shown:?}");
    assert_eq!(gw.reload("").await, Reload::InForce);
    for (client, expected) in [(&chief, "role_missing"), (&operator, "200")] {
        assert_eq!(api(&gw, client).await, expected);
    }
    let fields = [("username", "chief"), ("password", PASSWORD)];
    let request = gw.admin_request(Method::POST, "/console/login").form(&fields);
    let answer = request.header("origin", gw.admin_url("")).send().await.expect("the console answers");
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.expect("a page").contains("no operator"));
}

#[tokio::test]
async fn diff_calls_another_operator_role_looser() {
    let gw = harness::gateway("").await;
    let yaml = fs::read_to_string(gw.home().join("gateway.yaml")).expect("it runs on it");
    fs::write(gw.home().join("wider.yaml"), format!("{yaml}\nadmin: {{ roles: [operator, admin] }}\n"))
        .expect("writable");

    let said = |arguments: &[&str]| {
        let output = gw.cli(&[&["diff"], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    };
    let looser = "looser          admin.roles: operator → operator, admin";
    assert_eq!(said(&["gateway.yaml", "wider.yaml", "--fail-on", "looser"]), (Some(1), looser.to_owned()));
    assert_eq!(said(&["--live", "wider.yaml"]), (Some(0), looser.to_owned()));
    let stricter = "stricter        admin.roles: operator, admin → operator";
    assert_eq!(said(&["wider.yaml", "gateway.yaml", "--fail-on", "looser"]), (Some(0), stricter.to_owned()));
}

/// Status and code of what the admin API answers to a change.
async fn change(gw: &Gateway, by: &Client, method: Method, path: &str, body: Value) -> (u16, Option<String>) {
    let request = gw.admin_request(method, path).bearer_auth(by.token()).json(&body);
    let answer = request.send().await.expect("the admin port answers");
    (answer.status().as_u16(), answer.reason().map(str::to_owned))
}

fn import(gw: &Gateway, name: &str, options: &[&str]) -> (bool, String) {
    let rows = format!("username,password_hash,roles\n{name},\"{HASH}\",operator\n");
    fs::write(gw.home().join("users.csv"), rows).expect("writable");
    let output = gw.cli(&[&["user", "import", "users.csv"], options].concat());
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn roles(gw: &Gateway, name: &str) -> Value {
    let shown = gw.cli(&["user", "show", name, "--output", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
    shown["roles"].clone()
}

#[tokio::test]
async fn nobody_is_made_an_operator_unless_it_is_said() {
    for gw in both_editions().await {
        let root = added(&gw, "root", &["--operator"]).await;
        gw.register("alice").await;
        let unsaid = (400, Some("bad_request".to_owned()));

        let refused = gw.cli(&["user", "set-role", "alice", "user", "operator"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--allow-operators"), "{refused:?}");
        let body = json!({ "roles": ["user", "operator"] });
        assert_eq!(change(&gw, &root, Method::PUT, "/api/users/alice/roles", body).await, unsaid);
        let new = json!({ "username": "carol", "password": PASSWORD, "roles": ["operator"] });
        assert_eq!(change(&gw, &root, Method::POST, "/api/users", new).await, unsaid);
        assert_eq!(gw.cli(&["user", "add", "dave", "--role", "operator"]).status.code(), Some(1));
        let (is_done, said) = import(&gw, "frank", &[]);
        assert!(!is_done && said.contains("0 imported") && said.contains("--allow-operators"), "{said}");
        assert_eq!(roles(&gw, "alice"), json!(["user"]));
        for name in ["carol", "dave", "frank"] {
            assert_eq!(roles(&gw, name), Value::Null, "{name}");
        }

        let kept = json!({ "roles": ["operator", "editor"] });
        let own = format!("/api/users/{}/roles", root.username());
        assert_eq!(change(&gw, &root, Method::PUT, &own, kept).await, (200, None));
        root.login().await;
        let said = json!({ "roles": ["operator"], "allow_operators": true });
        assert_eq!(change(&gw, &root, Method::PUT, "/api/users/alice/roles", said).await, (200, None));
        let new = json!({ "username": "carol", "password": PASSWORD, "roles": ["operator"], "allow_operators": true });
        assert_eq!(change(&gw, &root, Method::POST, "/api/users", new).await, (201, None));
        let add = ["user", "add", "dave", "--role", "operator", "--allow-operators"];
        assert!(gw.cli(&add).status.success());
        assert!(import(&gw, "frank", &["--allow-operators"]).0);
        for name in ["alice", "carol", "dave", "frank"] {
            assert_eq!(roles(&gw, name), json!(["operator"]), "{name}");
        }
        let audited = gw.cli(&["audit", "list", "--event", "operator_granted", "--output", "json"]);
        let audited = String::from_utf8_lossy(&audited.stdout);
        let audited: Vec<Value> =
            audited.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        let names: Vec<&str> = audited.iter().filter_map(|record| record["username"].as_str()).collect();
        assert_eq!(names, ["frank", "dave", "carol", "alice", "root"], "each grant, the newest first");
        assert_eq!((&audited[2]["actor"], &audited[2]["reason"]), (&json!("root"), &json!("operator")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_operators_hear_of_a_new_one_by_mail() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        let root = added(gw, "root", &["--operator", "--email", "root@example.org", "--confirmed"]).await;
        assert_eq!(post_office.mails().len(), 0, "there is nobody else to tell");
        gw.register("alice").await;

        let said = json!({ "roles": ["operator"], "allow_operators": true });
        assert_eq!(change(gw, &root, Method::PUT, "/api/users/alice/roles", said).await, (200, None));
        let mail = post_office.mail_with("root made operators of the gateway: alice (operator).").await;
        assert!(mail.lines().any(|line| line == "To: root@example.org"), "{mail}");
        assert!(mail.contains("Subject: The operators of the gateway have changed"), "{mail}");

        let output = gw.cli(&["user", "add", "bob", "--operator", "--email", "bob@example.org"]);
        assert!(output.status.success(), "{output:?}");
        let mail = eventually("the mail about bob", async || {
            let told = |mail: &String| mail.contains("operators of the gateway: bob (operator)");
            post_office.mails().into_iter().find(told)
        })
        .await;
        let mails = post_office.mails();
        assert!(mail.contains("To: root@example.org") && mail.contains("cli:"), "{mail}");
        assert!(gw.cli(&["user", "set-role", "root", "user"]).status.success());
        assert_eq!(post_office.mails().len(), mails.len(), "nobody was made an operator");
    }
}
