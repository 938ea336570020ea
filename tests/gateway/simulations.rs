//! A simulation takes an identity and holds no key: nothing that it says is a token or an assertion.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, Gateway};

const ROUTES: &str = r#"
    upstreams:
      example: { servers: ["${UPSTREAM}"], assertion: true, keep_authorization: true }
    routes:
      - { path: "/adm/{*rest}", upstream: example, access: { roles: [admin] } }
      - { path: /echo, upstream: example }
"#;

/// What `portcullis explain` says with these arguments.
fn explained(gw: &Gateway, arguments: &[&str]) -> Value {
    let output = gw.cli(&[&["explain", "GET", "--output", "json"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Allowed, with the placeholder in place of the assertion, and nothing signed anywhere.
fn is_unsigned(said: &Value) {
    assert_eq!(said["decision"]["code"], "ok", "{said}");
    assert_eq!(said["headers"]["added"]["x-auth-assertion"], "<assertion>", "{said}");
    assert!(!said.to_string().contains("eyJ"), "{said}");
}

#[tokio::test]
async fn a_simulation_never_mints_an_assertion_or_a_token() {
    let gw = harness::gateway(ROUTES).await;
    let alice = gw.register("alice").await;

    let account = json!({ "account": { "user": "alice", "roles": ["admin"], "mfa": true } });
    let question = json!({ "method": "GET", "url": "/adm/x", "caller": account });
    let answer = gw.control(Method::POST, "/api/policy/explain").json(&question).send().await;
    is_unsigned(&answer.expect("it answers").json().await.expect("JSON"));
    let given = ["/adm/x", "--user", "alice", "--role", "admin", "--mfa"];
    is_unsigned(&explained(&gw, &given));
    is_unsigned(&explained(&gw, &[&given, &["--live"][..]].concat()));
    // Nor for a real token, which would be good for the assertion's time after its own end.
    is_unsigned(&explained(&gw, &["/echo", "--live", "--token", &alice.token()]));
}

#[tokio::test]
async fn a_simulated_account_is_judged_like_the_holder_of_a_token() {
    let gw = harness::gateway(ROUTES).await;
    gw.register("alice").await;
    let code = |said: Value| said["decision"]["code"].as_str().expect("a code").to_owned();

    for more in [&[][..], &["--live"]] {
        let ask = |arguments: &[&str]| code(explained(&gw, &[arguments, more].concat()));
        assert_eq!(ask(&["/adm/x", "--user", "alice", "--role", "user"]), "role_missing");
        assert_eq!(ask(&["/adm/x", "--anonymous"]), "no_credentials");
        let twice = ["/echo", "--user", "alice", "-H", "Authorization: Bearer other"];
        assert_eq!(ask(&twice), "token_malformed", "two credentials are none");
        let forged = ["/adm/x", "--token", "<token>"];
        assert_eq!(ask(&forged), "token_malformed", "the placeholder is no credential");
    }
}
