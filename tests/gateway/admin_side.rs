//! Being on the same machine is no credential: what the admin port asks for, what the control socket is, and under
//! which names the port is reached.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{self, Gateway, PASSWORD, Reason, Setup, Stores, client_builder, eventually};

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

/// Whatever changes or reveals something, apart from what `admin_api` lists.
fn protected() -> [(Method, &'static str, Option<Value>); 7] {
    let account = json!({ "account": { "user": null, "roles": ["admin"] } });
    let question = json!({ "method": "GET", "url": "/echo", "caller": account });
    [
        (Method::GET, "/api/policy", None),
        (Method::GET, "/api/policy/routes", None),
        (Method::POST, "/api/policy/reload", Some(json!({}))),
        (Method::POST, "/api/policy/explain", Some(question)),
        (Method::POST, "/api/cache/purge", Some(json!("everything"))),
        (Method::GET, "/api/cache/stats", None),
        (Method::GET, "/api/users", None),
    ]
}

async fn ask(
    gw: &Gateway,
    token: Option<String>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Response {
    let mut request = gw.admin_request(method, path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.expect("the admin port answers")
}

/// What the command line says in this gateway's folder: whether it worked, and both outputs.
pub fn cli(gw: &Gateway, arguments: &[&str]) -> (bool, String) {
    let output = gw.cli(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("UTF-8"))
}

fn login() -> String {
    let output = Command::new("id").arg("-un").output().expect("every Unix has `id`");
    String::from_utf8(output.stdout).expect("ASCII").trim().to_owned()
}

#[tokio::test]
async fn nothing_on_the_admin_port_changes_or_reveals_anything_without_an_operators_token() {
    for gw in both_editions().await {
        let (alice, root) = (gw.register("alice").await, gw.admin("root").await);
        for (method, path, body) in protected() {
            let code = async |token: Option<String>| {
                let answer = ask(&gw, token, method.clone(), path, body.clone()).await;
                (answer.status().as_u16(), answer.reason().map(str::to_owned))
            };
            let refused = |status, reason: &str| (status, Some(reason.to_owned()));
            assert_eq!(code(None).await, refused(401, "no_credentials"), "{path}");
            assert_eq!(code(Some("forged".to_owned())).await, refused(401, "token_malformed"), "{path}");
            assert_eq!(code(Some(alice.token())).await, refused(403, "role_missing"), "{path}");
            assert_eq!(code(Some(root.token())).await, (200, None), "{path}");
        }
        for gone in ["/cache/purge", "/cache/stats"] {
            let answer = ask(&gw, Some(root.token()), Method::GET, gone, None).await;
            assert_eq!(answer.status(), 404, "{gone}");
        }
        let form = gw.admin_request(Method::POST, "/api/policy/reload").bearer_auth(root.token());
        let form = form.header("content-type", "text/plain").body("{}").send().await.expect("it answers");
        assert_eq!(form.status(), 415);
        let list = ask(&gw, Some(root.token()), Method::POST, "/api/policy/reload", Some(json!([]))).await;
        assert_eq!((list.status().as_u16(), list.reason()), (400, Some("bad_request")), "no object");
    }
}

#[tokio::test]
async fn the_control_socket_is_its_users_alone_and_needs_no_token() {
    for gw in both_editions().await {
        let found = fs::symlink_metadata(gw.control_path()).expect("it lies beside the data");
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        let beside: Vec<_> = fs::read_dir(gw.home().join("data")).expect("a folder").flatten().collect();
        assert!(
            !beside.iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".s")),
            "{beside:?}"
        );

        for (method, path, body) in protected() {
            let request = gw.control(method, path);
            let request = body.iter().fold(request, |request, body| request.json(body));
            assert_eq!(request.send().await.expect("it answers").status(), 200, "{path}");
        }
        let config = gw.home().join("gateway.yaml");
        let config = config.to_str().expect("UTF-8");
        for command in [
            &["reload"][..],
            &["explain", "GET", "/echo", "--role", "user", "--live"],
            &["diff", "--live", "gateway.yaml"],
            &["cache", "stats"],
            &["health"],
        ] {
            let (worked, said) = cli(&gw, &[command, &["--config", config]].concat());
            assert!(worked, "{command:?}: {said}");
        }
    }
}

#[tokio::test]
async fn tail_by_the_control_socket_needs_no_token() {
    let gw = harness::gateway("").await;
    let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["tail", "-n", "1", "--status", "401"]).stdout(std::process::Stdio::piped());
    let mut tail = command.spawn().expect("it was built");

    let status = eventually("the end of `portcullis tail`", async || {
        gw.anonymous().get("/protected").await;
        tail.try_wait().expect("it is a child of ours")
    })
    .await;

    let said = String::from_utf8(tail.wait_with_output().expect("it has ended").stdout).expect("UTF-8");
    assert!(status.success() && said.contains("deny no_credentials"), "{said}");
}

#[tokio::test]
async fn what_comes_by_the_control_socket_is_audited_under_the_login() {
    for gw in both_editions().await {
        let new = json!({ "username": "alice", "password": PASSWORD });
        let made = gw.control(Method::POST, "/api/users").json(&new).send().await.expect("it answers");
        assert_eq!(made.status(), 201);

        let audit = gw.control(Method::GET, "/api/audit?user=alice").send().await.expect("it answers");
        let audit: Value = audit.json().await.expect("JSON");
        assert_eq!(audit["records"][0]["actor"], format!("cli:{}", login()), "{audit}");
    }
}

#[tokio::test]
async fn the_command_line_asks_over_http_where_it_is_told_to() {
    let gw = harness::gateway("").await;
    let (alice, root) = (gw.register("alice").await, gw.admin("root").await);
    let admin = gw.admin_address().to_string();

    let (worked, said) = cli(&gw, &["reload", "--admin", &admin]);
    assert!(!worked && said.contains("refused with 401 no_credentials"), "{said}");
    let (worked, said) = cli(&gw, &["reload", "--admin", &admin, "--token", &alice.token()]);
    assert!(!worked && said.contains("refused with 403 role_missing"), "{said}");
    let (worked, said) = cli(&gw, &["reload", "--admin", &admin, "--token", &root.token()]);
    assert!(worked && said.contains("in force"), "{said}");
    fs::remove_file(gw.control_path()).expect("it is there");
    let (worked, said) = cli(&gw, &["reload"]);
    assert!(!worked && said.contains("it takes --token"), "{said}");
    let (worked, said) = cli(&gw, &["cache", "stats", "--token", &root.token()]);
    assert!(worked, "{said}");
    let (worked, said) = cli(&gw, &["health"]);
    assert!(worked && said.contains("ready"), "{said}");
}

#[tokio::test]
async fn a_page_elsewhere_reaches_nothing_by_giving_its_name_our_address() {
    let gw = harness::gateway("admin: { hosts: [gate.example] }").await;
    let root = gw.admin("root").await;
    let port = gw.admin_address().port();
    let get = async |path: &str, host: &str, origin: Option<&str>| {
        let mut request = gw.admin_request(Method::GET, path).header("host", host).bearer_auth(root.token());
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.send().await.expect("the admin port answers");
        (answer.status().as_u16(), answer.reason().map(str::to_owned))
    };

    for path in
        ["/", "/console/login", "/console/console.css", "/api/policy", "/api/users", "/api/openapi.json"]
    {
        for host in ["evil.example", "127.0.0.1.evil.example", "gate.example.evil"] {
            assert_eq!(get(path, host, None).await, (421, Some("wrong_host".to_owned())), "{path} {host}");
        }
        let page = Some("http://evil.example");
        assert_eq!(get(path, "localhost", page).await, (403, Some("cross_origin".to_owned())), "{path}");
    }
    let own = format!("localhost:{port}");
    for host in [own.as_str(), "[::1]:9090", "gate.example", "GATE.example:443"] {
        assert_eq!(get("/api/policy", host, None).await.0, 200, "{host}");
    }
    assert_eq!(get("/api/policy", &own, Some(&format!("http://{own}"))).await.0, 200);
    for open in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(get(open, "10.0.3.7", Some("http://evil.example")).await.0, 200, "{open}");
    }
}

#[tokio::test]
async fn metrics_with_a_token_are_closed_to_strangers() {
    let token = "8f1c0d5e7a9b4c2d";
    let gw = harness::gateway(Setup::from("metrics: { token: \"${METRICS}\" }").env("METRICS", token)).await;
    let root = gw.admin("root").await;
    let code = async |token: Option<&str>| {
        let answer = ask(&gw, token.map(str::to_owned), Method::GET, "/metrics", None).await;
        (answer.status().as_u16(), answer.reason().map(str::to_owned))
    };

    assert_eq!(code(None).await, (401, Some("no_credentials".to_owned())));
    for wrong in ["8f1c0d5e7a9b4c2", "8f1c0d5e7a9b4c2dd", "8F1C0D5E7A9B4C2D", &root.token()] {
        assert_eq!(code(Some(wrong)).await, (401, Some("token_invalid".to_owned())), "{wrong}");
    }
    assert_eq!(code(Some(token)).await, (200, None));
    assert_eq!(gw.control(Method::GET, "/metrics").send().await.expect("it answers").status(), 200);
    assert_eq!(gw.readiness().await, Some(200), "health stays open");
}

#[tokio::test]
async fn readyz_tells_strangers_the_state_only() {
    for gw in both_editions().await {
        let (alice, root) = (gw.register("alice").await, gw.admin("root").await);
        let said = async |token: Option<String>| -> Value {
            ask(&gw, token, Method::GET, "/readyz", None).await.json().await.expect("JSON")
        };

        assert_eq!(said(None).await, json!({ "status": "ready" }));
        assert_eq!(said(Some(alice.token())).await, json!({ "status": "ready" }));
        let details = gw.readiness_report().await;
        assert_eq!((&details["status"], &details["accounts"]), (&json!("ready"), &json!("ok")));
        assert_eq!(said(Some(root.token())).await, details);
    }
}

#[tokio::test]
async fn the_root_of_the_admin_port_leads_to_the_console() {
    let gw = harness::gateway("").await;

    let answer = gw.admin_request(Method::GET, "/").send().await.expect("the admin port answers");

    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (303, &"/console/".parse().unwrap())
    );
    let followed = client_builder().redirect(reqwest::redirect::Policy::limited(5)).build();
    let page =
        followed.expect("nothing in it can fail").get(gw.admin_url("/")).send().await.expect("it answers");
    assert_eq!(page.url().path(), "/console/login");
    assert!(page.text().await.expect("text").contains("Sign in"));
}

#[tokio::test]
async fn health_asks_the_running_gateway_while_a_broken_file_lies_on_disk() {
    for gw in both_editions().await {
        let sound = fs::read_to_string(gw.home().join("gateway.yaml")).expect("it runs on it");
        let elsewhere = "listen: { admin: 127.0.0.1:1, control: /nowhere/else.sock }\n";
        for broken in ["routes: [", "\tnot: yaml", "routes: [{ path: /a, upstream: nowhere }]", elsewhere] {
            gw.write_file(broken);
            let (worked, said) = cli(&gw, &["health"]);
            assert!(worked && said.contains("\"state\":\"ok\""), "{broken}: {said}");
        }
        fs::remove_file(gw.home().join("gateway.yaml")).expect("it is there");
        assert!(cli(&gw, &["health"]).0, "without the file");
        gw.write_file(&sound);
        gw.signal("TERM");
        gw.end().await;
        let (worked, said) = cli(&gw, &["health"]);
        assert!(!worked && said.contains("no gateway was reached"), "{said}");
    }
}

#[tokio::test]
async fn health_finds_a_gateway_whose_broken_file_named_another_place() {
    let listen = r#"
        listen:
          proxy: [{ address: "${PROXY}" }]
          admin: "${ADMIN}"
          control: run/gate.sock
    "#;
    let gw = harness::gateway(listen).await;
    gw.write_file("listen: [");

    assert!(cli(&gw, &["health"]).0);
    assert!(Path::exists(&gw.home().join("run/gate.sock")));
}
