//! What operators ask before and while it runs: validate, explain, tests, diff, observe, reload.

use std::fs;

use serde_json::Value;

use crate::harness::{self, Gateway, Reason, Reload, Setup, eventually};

/// Exit status, standard output, standard error.
fn run(gw: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    let output = gw.cli(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const RULES: &str = "
    limits: { per-user: { rate: 600/1m, burst: 100, by: user, roles: { admin: 6000/1m } } }
    routes:
      - { path: \"/{*rest}\", upstream: example }
      - { path: /public/hello, upstream: example, access: public }
      - { path: \"/admin/{*rest}\", upstream: example, access: { roles: [admin] }, limits: [per-user] }
      - { path: \"/users/{id}/{*rest}\", upstream: example, access: { owner: id, or_roles: [admin] } }
      - { path: /expensive, methods: [GET], upstream: example, cache: { ttl: 60s, vary_by: role } }
";

#[tokio::test]
async fn explain_says_what_would_happen_and_why_from_the_file_alone() {
    let gw = harness::gateway(RULES).await;

    let (status, text, _) = run(&gw, &["explain", "GET", "/admin/dashboard?x=1", "--role", "user"]);
    assert_eq!(status, 0);
    for line in [
        "decision     refused: role_missing (403)",
        "route        /admin/{*rest}  (the most specific path)",
        "access       a good token, one of the roles admin",
        "passed over  /{*rest}  (less specific)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }

    let (_, text, _) = run(
        &gw,
        &["explain", "GET", "/admin/dashboard", "--user", "alice", "--role", "admin", "--output", "json"],
    );
    let told = json(&text);
    assert_eq!(told["decision"]["code"], "ok");
    assert_eq!(told["limits"][0]["rate"], "6000/60s");
    assert!(told["limits"][0]["counter"].as_str().expect("a key").starts_with("per-user:user:"));
    assert_eq!(told["headers"]["removed"], serde_json::json!(["authorization"]));
    assert_eq!(told["headers"]["added"]["x-forwarded-preferred-username"], "alice");
    assert_eq!(told["upstream"]["servers"][0], format!("http://{}", gw.upstream().address()));

    let cached =
        |arguments: &[&str]| json(&run(&gw, &[&["explain", "GET"], arguments].concat()).1)["cache"].clone();
    let user = cached(&["/expensive", "--role", "user", "--output", "json"]);
    assert_eq!(user["may_answer"], true);
    assert_eq!(
        user["key"],
        cached(&["/expensive", "--user", "bob", "--role", "user", "--output", "json"])["key"]
    );
    assert_ne!(user["key"], cached(&["/expensive", "--role", "admin", "--output", "json"])["key"]);

    for (arguments, code) in [
        (&["GET", "/a//b"][..], "bad_path"),
        (&["GET", "/admin/x"], "no_credentials"),
        (&["GET", "/admin/x", "--token", "abc"], "token_malformed"),
        (&["POST", "/expensive"], "method_not_allowed"),
        (&["GET", "/AUTH/login"], "route_not_found"),
        (&["GET", "/public/hello", "-H", "content-length: 999999999999"], "body_too_large"),
        (&["GET", "http://a..b/"], "bad_request"),
        (&["POST", "/auth/login"], "ok"),
    ] {
        let (_, text, problem) = run(&gw, &[&["explain"], arguments, &["--output", "json"]].concat());
        assert_eq!(json(&text)["decision"]["code"], code, "{arguments:?} {problem}");
    }
}

#[tokio::test]
async fn explain_live_knows_accounts_keys_and_revocations_and_counts_nothing() {
    let gw = harness::gateway(RULES).await;
    let alice = gw.register("alice").await;
    let token = alice.token();
    let code = |arguments: &[&str]| {
        let all = [&["explain", "GET"], arguments, &["--live", "--output", "json"]].concat();
        let (_, text, problem) = run(&gw, &all);
        if text.is_empty() {
            problem
        } else {
            json(&text)["decision"]["code"].as_str().expect("a code").to_owned()
        }
    };
    let own = format!("/users/{}/notes", alice.id().await);

    assert_eq!(code(&[&own, "--user", "alice"]), "ok");
    assert_eq!(code(&[&own, "--user", "alice", "--role", "user"]), "ok");
    assert_eq!(code(&["/users/x/notes", "--user", "alice"]), "not_owner");
    assert_eq!(code(&["/admin/dashboard", "--user", "alice"]), "role_missing");
    assert_eq!(code(&["/admin/dashboard", "--token", &token]), "role_missing");
    assert!(code(&["/admin/dashboard", "--user", "nobody"]).contains("no account is called \"nobody\""));

    let before = gw.metrics().await.value("http_requests_total", &[]);
    alice.logout().await;
    assert_eq!(code(&["/protected", "--token", &token]), "token_revoked");
    assert_eq!(gw.metrics().await.value("rate_limit_decisions_total", &[]), Some(0.0));
    let requests = gw.metrics().await.value("http_requests_total", &[]);
    assert!(requests <= before.map(|count| count + 1.0), "{before:?} {requests:?}");
}

#[tokio::test]
async fn a_failing_test_of_the_file_refuses_the_reload_and_the_start() {
    let with_test = |expect: &str| {
        format!(
            "{RULES}    tests:\n      - {{ request: GET /admin/dashboard, role: user, expect: {expect} }}\n"
        )
    };
    let gw = harness::gateway(&*with_test("role_missing")).await;

    assert_eq!(gw.reload(&*with_test("allowed")).await, Reload::Refused);
    assert_eq!(gw.anonymous().get("/admin/dashboard").await.reason(), Some("no_credentials"));
    let (status, _, told) = run(&gw, &["validate"]);
    assert_eq!(status, 1);
    assert!(
        told.contains(
            "tests[0].expect: GET /admin/dashboard as role user: expected allowed, but it is role_missing"
        ),
        "{told}"
    );
    assert!(told.contains("^^^^^^^"), "underlined: {told}");

    let (status, _, told) = run(&gw, &["serve", "--config", "gateway.yaml"]);
    assert_eq!(status, 1);
    assert!(told.contains("tests[0].expect"), "{told}");
    assert_eq!(gw.reload(&*with_test("role_missing")).await, Reload::InForce);
}

#[tokio::test]
async fn validate_reports_in_json_and_fails_on_warnings_only_when_told() {
    let gw = harness::gateway("limits: { unused: { rate: 5/1m, by: user } }").await;

    assert_eq!(run(&gw, &["validate"]).0, 0);
    assert_eq!(run(&gw, &["validate", "--strict"]).0, 1);
    let (status, text, _) = run(&gw, &["validate", "--output", "json", "--strict"]);
    let report = json(&text);
    assert_eq!((status, &report["valid"]), (1, &Value::Bool(false)));
    let mut problems = report["problems"].as_array().expect("a list").iter();
    let unused = problems.find(|problem| problem["path"] == "limits.unused").expect("it is told");
    assert_eq!(unused["severity"], "warning");
    assert!(unused["line"].as_u64() > Some(1));
}

#[tokio::test]
async fn reload_waits_for_the_outcome_and_the_admin_side_tells_of_the_last_try() {
    let gw = harness::gateway("").await;
    let policy = async || {
        let answer = gw.control(reqwest::Method::GET, "/api/policy").send().await;
        json(&answer.expect("it answers").text().await.expect("text"))
    };
    let first = policy().await;
    assert_eq!(first["last_try"]["successful"], true);

    gw.write_file("routes: [{ path: /a, upstream: nowhere }]\n");
    let (status, _, told) = run(&gw, &["reload"]);
    assert_eq!(status, 1);
    assert!(told.contains("gateway.yaml:1:32 routes[0].upstream: \"nowhere\" isn't defined"), "{told}");
    let refused = policy().await;
    assert_eq!(refused["digest"], first["digest"]);
    assert_eq!(refused["last_try"]["problems"][0]["line"], 1);
    // Once because it was asked for, once because the file changed; or else the second were taken for the
    // next file's.
    eventually("both refusals", async || (gw.refusals() == 2).then_some(())).await;

    assert_eq!(
        gw.reload("limits: { l: { rate: 5/1m, by: user } }\ndefaults: { limits: [l] }").await,
        Reload::InForce
    );
    let (status, told, problem) = run(&gw, &["reload"]);
    assert_eq!((status, problem.as_str()), (0, ""));
    let now = policy().await;
    assert_ne!(now["digest"], first["digest"]);
    assert!(told.contains(now["digest"].as_str().expect("hex")), "{told}");
}

#[tokio::test]
async fn a_rule_that_observes_counts_and_logs_what_it_would_refuse() {
    let gw = harness::gateway(
        "
        limits: { tight: { rate: 1/1h, by: address, mode: observe }, other: { rate: 2/1h, by: address } }
        routes:
          - { path: /admin/dashboard, upstream: example, access: { roles: [admin], mode: observe } }
          - { path: /echo, upstream: example, access: { mode: observe } }
          - { path: /public/hello, upstream: example, access: public, limits: [tight, other] }
        ",
    )
    .await;
    let alice = gw.register("alice").await;

    assert_eq!(alice.get("/admin/dashboard").await.reason(), None);
    assert_eq!(gw.anonymous().get("/echo").await.status(), 200);
    let forged = gw.anonymous();
    forged.set_token(Some("abc".to_owned()));
    assert_eq!(forged.get("/echo").await.status(), 200);
    let echo = harness::Echo::of(forged.get("/echo").await).await;
    assert!(echo.fields("x-forwarded-user").is_empty(), "nobody is told to be there");

    let asked = [(); 3].map(|()| "/public/hello");
    let mut reasons = Vec::new();
    for path in asked {
        reasons.push(gw.anonymous().get(path).await.reason().map(str::to_owned));
    }
    assert_eq!(reasons, [None, None, Some("rate_limited".to_owned())], "only `other` refuses");

    let logged = gw.logged(|line| line["path"] == "/admin/dashboard").await;
    assert_eq!((&logged["would_deny"], &logged["decision"]), (&"role_missing".into(), &"allow".into()));
    let metrics = gw.metrics().await;
    for (route, reason, count) in [
        ("/admin/dashboard", "role_missing", 1.0),
        ("/echo", "no_credentials", 1.0),
        ("/echo", "token_malformed", 2.0),
        ("/public/hello", "rate_limited", 1.0),
    ] {
        let labels = [format!("route=\"{route}\""), format!("reason=\"{reason}\"")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert_eq!(metrics.value("observed_denials_total", &labels), Some(count), "{route} {reason}");
    }
}

#[tokio::test]
async fn diff_says_what_changes_for_whom_and_fails_on_what_it_is_told_to() {
    let gw = harness::gateway(RULES).await;
    let old = fs::read_to_string(gw.home().join("gateway.yaml")).expect("it runs on it");
    let changed = old
        .replace(
            "/admin/{*rest}\", upstream: example, access: { roles: [admin] }",
            "/admin/{*rest}\", upstream: example, access: public",
        )
        .replace("access: { owner: id, or_roles: [admin] }", "access: { roles: [admin] }")
        .replace("  - { path: \"/{*rest}\", upstream: example }\n", "");
    fs::write(gw.home().join("old.yaml"), &old).expect("writable");
    fs::write(gw.home().join("new.yaml"), &changed).expect("writable");

    let (status, text, _) = run(&gw, &["diff", "old.yaml", "new.yaml"]);
    assert_eq!(status, 0);
    for line in [
        "public          any /admin/{*rest}: a good token, one of the roles admin → public",
        "closed          any /{*rest}: a good token → refused",
        "any /users/{id}/{*rest}: a good token, the user id that stands in {id} or one of the roles admin → a good token, one of the roles admin",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(run(&gw, &["diff", "old.yaml", "new.yaml", "--fail-on", "looser"]).0, 1);
    assert_eq!(run(&gw, &["diff", "old.yaml", "old.yaml", "--fail-on", "any"]).0, 0);
    let (status, live, _) =
        run(&gw, &["diff", "--live", "new.yaml", "--fail-on", "public", "--output", "json"]);
    assert_eq!(status, 1);
    assert_eq!(json(&live)["changes"][0]["kind"], "public");
    let (_, same, _) = run(&gw, &["diff", "--live", "old.yaml"]);
    assert_eq!(same, "nothing changes for any request\n");
}

#[tokio::test]
async fn lines_that_hold_a_secret_are_not_shown() {
    let gw = harness::gateway(Setup::default()).await;
    let text = "tokens: { keys: [{ id: k1, algorithm: HS256, secret: hunter2hunter2, typo: 1 }] }\n";
    fs::write(gw.home().join("bad.yaml"), text).expect("writable");

    let (status, _, told) = run(&gw, &["validate", "bad.yaml"]);

    assert_eq!(status, 1);
    assert!(told.contains("typo") && !told.contains("hunter2"), "{told}");
}
