//! The decision log: sampled in the access log, followed whole at the admin port.

use std::process::{Child, Command, Stdio};

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::harness::{self, Client, Gateway, Reason, Reload, eventually};

/// Over HTTP, where the token counts.
fn tail(gw: &Gateway, token: &str, arguments: &[&str]) -> Child {
    let mut command: Command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
    command.env("PORTCULLIS_TOKEN", token).args(["tail", "--admin", &gw.admin_address().to_string()]);
    command.args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built")
}

/// Asks for all of these again and again until the command has seen enough, and gives what it printed.
async fn until_it_ends(mut tail: Child, clients: &[(&Client, &str)]) -> (Option<i32>, String) {
    let status = eventually("the end of `portcullis tail`", async || {
        for (client, path) in clients {
            client.get(path).await;
        }
        tail.try_wait().expect("it is a child of ours")
    })
    .await;
    let output = tail.wait_with_output().expect("it has ended");
    (status.code(), String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8"))
}

#[tokio::test]
async fn tail_follows_decisions_by_route_decision_reason_user_and_status() {
    let gw = harness::gateway("").await;
    let (root, alice) = (gw.admin("root").await, gw.register("alice").await);
    let nobody = gw.anonymous();
    let asked = [
        (&alice, "/protected"),
        (&alice, "/admin/dashboard"),
        (&nobody, "/protected"),
        (&root, "/protected"),
    ];
    let alice_id = alice.id().await;
    let cases: [(&[&str], Value); 6] = [
        (&["--decision", "deny", "--user", "ALICE"], serde_json::json!(["deny", "role_missing", 403])),
        (&["--reason", "no_credentials"], serde_json::json!(["deny", "no_credentials", 401])),
        (&["--status", "2xx", "--user", &alice_id], serde_json::json!(["allow", "ok", 200])),
        (&["--status", "403"], serde_json::json!(["deny", "role_missing", 403])),
        (&["--route", "/admin/{*rest}"], serde_json::json!(["deny", "role_missing", 403])),
        (&["--decision", "allow", "--route", "/protected"], serde_json::json!(["allow", "ok", 200])),
    ];
    for (filters, expected) in cases {
        let arguments = [filters, &["--lines", "3", "--output", "json"]].concat();
        let (code, printed) = until_it_ends(tail(&gw, &root.token(), &arguments), &asked).await;

        assert_eq!((code, printed.lines().count()), (Some(0), 3), "{filters:?}: {printed}");
        for line in printed.lines() {
            let line: Value = serde_json::from_str(line).expect("a JSON line");
            let seen = serde_json::json!([line["decision"], line["reason"], line["status"]]);
            assert_eq!(seen, expected, "{filters:?}: {line}");
        }
    }
    let (code, printed) =
        until_it_ends(tail(&gw, &root.token(), &["-n", "1", "--status", "403"]), &asked).await;
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("403 GET /admin/dashboard  deny role_missing  route /admin/{*rest}"),
        "{printed}"
    );
}

#[tokio::test]
async fn only_admins_follow_and_only_for_what_there_is() {
    let gw = harness::gateway("").await;
    let (root, alice) = (gw.admin("root").await, gw.register("alice").await);
    let ask = async |token: Option<String>, query: &str| {
        let request = gw.admin_request(Method::GET, &format!("/api/decisions?{query}"));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.expect("the admin port answers")
    };

    assert_eq!(ask(None, "").await.reason(), Some("no_credentials"));
    assert_eq!(ask(Some(alice.token()), "").await.reason(), Some("role_missing"));
    for wrong in ["status=40", "status=4%C3%A9", "decision=maybe", "reason=nonsense", "colour=red"] {
        assert_eq!(ask(Some(root.token()), wrong).await.reason(), Some("bad_request"), "{wrong}");
    }
    let (code, printed) = until_it_ends(tail(&gw, &alice.token(), &[]), &[]).await;
    assert_eq!(code, Some(1));
    assert!(printed.contains("refused with 403 role_missing"), "{printed}");

    let mut readers = Vec::new();
    for _ in 0..16 {
        let reader = ask(Some(root.token()), "").await;
        assert_eq!(reader.status(), 200);
        readers.push(reader);
    }
    assert_eq!(ask(Some(root.token()), "").await.reason(), Some("overloaded"));
    drop(readers);
    eventually("room for another reader", async || {
        (ask(Some(root.token()), "").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reader_whose_token_is_revoked_sees_no_more() {
    let gw = harness::gateway("").await;
    let root = gw.admin("root").await;
    let tail = tail(&gw, &root.token(), &["--route", "/protected"]);

    root.logout().await;

    let (code, printed) = until_it_ends(tail, &[(&gw.anonymous(), "/public/hello")]).await;
    assert_eq!(code, Some(1));
    assert!(printed.contains("revoked"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_holds_up_no_request() {
    let gw = harness::gateway("").await;
    let root = gw.admin("root").await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("small");
    let mut reader = socket.connect(gw.admin_address()).await.expect("the admin port listens");
    let head = format!(
        "GET /api/decisions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        root.token()
    );
    reader.write_all(head.as_bytes()).await.expect("it is taken");
    let mut answer = [0; 12];
    reader.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");

    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(500));
    let dropped = eventually("lines that were dropped", async || {
        let mut connection = gw.raw_connection().await;
        for _ in 0..100 {
            connection.send(long.as_bytes()).await;
            assert_eq!(connection.answer().await.expect("an answer").reason(), Some("route_not_found"));
        }
        gw.metrics().await.value("decision_log_dropped_total", &[]).filter(|dropped| *dropped > 0.0)
    })
    .await;

    assert!(dropped >= 1.0);
    let mut seen = String::new();
    let mut buffer = vec![0; 1 << 16];
    while !seen.contains("{\"dropped\":") {
        let read = tokio::time::timeout(harness::PATIENCE, reader.read(&mut buffer)).await;
        let read = read.expect("more comes").expect("the connection stays");
        assert!(read > 0, "it ended");
        seen.clear();
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn the_access_log_is_sampled_as_the_file_says_and_from_a_reload_on() {
    let gw = harness::gateway("log: { allowed: none }").await;
    let client = gw.anonymous();
    client.get("/public/hello?first").await;
    client.get("/protected").await;
    gw.logged(|line| line["reason"] == "no_credentials").await;
    let lines = |gw: &Gateway| gw.json_log().into_iter().filter(|line| line["reason"] == "ok").count();
    assert_eq!(lines(&gw), 0);

    assert_eq!(gw.reload("log: { allowed: 1/4, denied: none }").await, Reload::InForce);
    for _ in 0..200 {
        client.get("/public/hello").await;
        client.get("/protected").await;
    }
    assert_eq!(gw.reload("log: {}").await, Reload::InForce);
    client.get("/echo").await;
    gw.logged(|line| line["path"] == "/echo").await;

    let log = gw.json_log();
    let sampled: Vec<&Value> = log.iter().filter(|line| line["sampled"] == 4).collect();
    assert!((20..90).contains(&sampled.len()), "{} of 200", sampled.len());
    assert!(sampled.iter().all(|line| line["path"] == "/public/hello"), "{sampled:?}");
    let denied = log.iter().filter(|line| line["path"] == "/protected").count();
    assert_eq!(denied, 1, "from before the reload");
    let metrics = gw.metrics().await;
    let counted = metrics.value("auth_decisions_total", &["route=\"/protected\"", "decision=\"deny\""]);
    assert_eq!(counted, Some(201.0), "all of them are counted");
}

#[tokio::test]
async fn the_level_of_the_log_is_taken_up_by_a_reload() {
    let gw = harness::gateway("log: { level: error }").await;
    let loads = |gw: &Gateway| gw.log().matches("configuration loaded").count();

    assert_eq!(gw.reload("log: { level: error }\ntrusted_proxies: []").await, Reload::InForce);
    assert_eq!(loads(&gw), 0);
    assert_eq!(gw.reload("log: { level: info }").await, Reload::InForce);
    gw.logged(|line| line["message"] == "configuration loaded").await;
    assert_eq!(gw.reload("log: { level: warn }").await, Reload::InForce);
    assert_eq!(loads(&gw), 1);
}
