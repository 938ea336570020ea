//! Keys and tokens from the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{self, Gateway, Reason, Setup, Stores};

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

fn run(gw: &Gateway, arguments: &[&str]) -> Result<String, String> {
    let output = gw.cli(arguments);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn a_minted_token_works_and_a_revoked_one_is_found_out() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;

        let minted = run(&gw, &["token", "mint", "alice", "--ttl", "60"]).expect("alice exists");
        let minted = minted.trim();
        let client = gw.client("alice");
        client.set_token(Some(minted.to_owned()));
        assert_eq!(client.get("/protected").await.status(), 200);
        let said = run(&gw, &["token", "inspect", minted, "--output", "json"]).expect("it counts");
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((&said["preferred_username"], &said["roles"]), (&json!("alice"), &json!(["user"])));
        assert_eq!(said["exp"].as_u64().zip(said["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(60));
        let audited = run(&gw, &["audit", "list", "--event", "token_minted"]).expect("it is there");
        assert!(audited.contains("alice  by cli:"), "{audited}");

        assert!(run(&gw, &["token", "inspect", &alice.token()]).is_ok());
        alice.logout().await;
        let refused = run(&gw, &["token", "inspect", &alice.token()]).expect_err("it was revoked");
        assert!(refused.contains("token_revoked"), "{refused}");
        let forged = run(&gw, &["token", "inspect", &format!("{minted}A")]).expect_err("it is forged");
        assert!(forged.contains("token_"), "{forged}");
        for wrong in [&["token", "mint", "nobody"][..], &["token", "mint", "alice", "--ttl", "100000"]] {
            assert!(run(&gw, wrong).is_err(), "{wrong:?}");
        }
        assert!(run(&gw, &["user", "disable", "alice"]).is_ok());
        assert!(run(&gw, &["token", "mint", "alice"]).expect_err("no").contains("disabled"));
        harness::eventually("the end of the minted token", async || {
            (client.get("/protected").await.reason() == Some("token_stale")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn generated_keys_of_every_algorithm_sign() {
    for (word, algorithm) in [("hs256", "HS256"), ("rs256", "RS256"), ("es256", "ES256"), ("eddsa", "EdDSA")]
    {
        let gw = harness::gateway("").await;
        assert_eq!(run(&gw, &["keys", "list"]), Ok("k1  HS256  signs and verifies\n".to_owned()));
        let before = gw.register("alice").await;

        assert_eq!(run(&gw, &["keys", "generate", word, "--out", "k2.key"]), Ok(String::new()));
        let path = gw.home().join("k2.key");
        let mode = fs::metadata(&path).expect("it was written").permissions().mode();
        let text = fs::read_to_string(&path).expect("the same");
        assert_eq!(mode & 0o777, 0o600);
        assert!(run(&gw, &["keys", "generate", word, "--out", "k2.key"]).is_err(), "it is there already");
        assert_eq!(fs::read_to_string(&path).expect("it stays"), text);
        let field = if word == "hs256" { "secret" } else { "key" };
        let tokens = format!(
            "tokens:
  issuer: http://localhost:8080
  audience: portcullis
  keys:
    - {{ id: k2, algorithm: {algorithm}, {field}: {{ file: k2.key }} }}
    - {{ id: k1, algorithm: HS256, secret: \"${{TOKEN_SECRET}}\" }}
"
        );
        assert_eq!(gw.reload(tokens.as_str()).await, harness::Reload::InForce);

        let after = gw.register("bob").await;
        assert_eq!(after.get("/protected").await.status(), 200, "{word}");
        assert_eq!(before.get("/protected").await.status(), 200, "the key before goes on verifying");
        before.refresh().await;
        assert_eq!(before.get("/protected").await.status(), 200);
        let listed = run(&gw, &["keys", "list"]);
        let expected = format!("k2  {algorithm}  signs and verifies\nk1  HS256  verifies\n");
        assert_eq!(listed, Ok(expected));
    }
}
