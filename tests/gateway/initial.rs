//! `portcullis init`: what it writes works, and it touches nothing that is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use portcullis::config::marks::Values;

use crate::harness::{self, Gateway, PASSWORD, Reason as _, Reload};

fn init(gw: &Gateway, more: &[&str]) -> Output {
    gw.cli(&[&["init", "fresh"], more].concat())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it was written").permissions().mode() & 0o777
}

#[tokio::test]
async fn what_init_writes_runs() {
    let gw = harness::gateway("").await;
    let upstream = gw.upstream().address().to_string();
    let made = init(&gw, &["--upstream", &upstream]);
    assert!(made.status.success(), "{made:?}");
    let fresh = gw.home().join("fresh");
    let valid = gw.cli(&["validate", "fresh/gateway.yaml", "--strict"]);
    assert!(valid.status.success(), "{valid:?}");
    assert_eq!(mode(&fresh.join("keys/signing.pem")), 0o600);

    fs::rename(fresh.join("keys"), gw.home().join("keys")).expect("both lie in the same folder");
    let yaml = fs::read_to_string(fresh.join("gateway.yaml")).expect("it was written");
    let yaml = yaml.replace("127.0.0.1:8080", "\"${PROXY}\"").replace("127.0.0.1:9090", "\"${ADMIN}\"");

    assert_eq!(gw.reload_file(&yaml).await, Reload::InForce);
    let wanted = serde_json::json!({ "username": "alice", "password": PASSWORD });
    let refused = gw.anonymous().post("/auth/register", &wanted).await;
    assert_eq!(refused.reason(), Some("registration_closed"));
    assert!(gw.cli(&["user", "add", "alice"]).status.success());
    let alice = gw.client("alice");
    alice.login().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
    assert_eq!(alice.get("/admin/dashboard").await.status(), 403);
    let keys: serde_json::Value = alice.get("/.well-known/jwks.json").await.json().await.expect("JSON");
    assert_eq!(keys["keys"][0]["alg"], "ES256");
}

#[tokio::test]
async fn init_overwrites_nothing() {
    let gw = harness::gateway("").await;
    assert!(init(&gw, &["--compose"]).status.success());
    let fresh = gw.home().join("fresh");
    let read = |name: &str| fs::read_to_string(fresh.join(name)).expect("it was written");
    let before: Vec<String> = ["gateway.yaml", "keys/signing.pem", "compose.yaml", ".env"].map(read).to_vec();
    let compose = Values::read(&before[2]).expect("YAML").tree;
    assert!(
        compose["services"]["gateway"]["user"].as_str().is_some_and(|user| user.contains(':')),
        "{compose}"
    );
    assert!(before[3].len() > 60 && mode(&fresh.join(".env")) == 0o600);
    assert!(gw.cli(&["validate", "fresh/gateway.yaml", "--strict"]).status.success());

    let again = init(&gw, &["--compose"]);
    fs::remove_file(fresh.join("gateway.yaml")).expect("it is there");
    let in_part = init(&gw, &[]);

    assert_eq!((again.status.code(), in_part.status.code()), (Some(1), Some(1)));
    assert!(String::from_utf8_lossy(&in_part.stderr).contains("signing.pem is there already"), "{in_part:?}");
    assert!(!fresh.join("gateway.yaml").exists(), "all or nothing");
    assert_eq!(read("keys/signing.pem"), before[1]);
    assert_eq!(init(&gw, &["--upstream", "a\"b"]).status.code(), Some(2));
}
