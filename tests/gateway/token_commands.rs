//! Keys and tokens from the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

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

/// The key that signed a token.
fn key_of(token: &str) -> String {
    let header = token.split('.').next().expect("a header");
    let header = URL_SAFE_NO_PAD.decode(header).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a key id").to_owned()
}

const WITHOUT_KEYS: &str = "tokens: { issuer: http://localhost:8080, audience: portcullis }";

/// One embedded gateway, and two on the same servers.
async fn fleets() -> [Vec<Gateway>; 2] {
    let stores = Stores::servers().await;
    let on_servers = || Setup::from(WITHOUT_KEYS).stores(&stores);
    let one = harness::gateway(on_servers()).await;
    let other = harness::gateway(on_servers().upstream(one.upstream())).await;
    [vec![harness::gateway(WITHOUT_KEYS).await], vec![one, other]]
}

#[tokio::test]
async fn a_rotation_of_the_generated_key_breaks_no_valid_token() {
    for fleet in fleets().await {
        let (first, last) = (&fleet[0], &fleet[fleet.len() - 1]);
        let before = first.register("alice").await;
        assert_eq!(key_of(&before.token()), "generated");

        let listed = run(first, &["keys", "rotate", "--overlap", "5"]).expect("nothing is in its way");

        assert!(listed.starts_with("generated  ES256  signs and verifies\ngenerated-"), "{listed}");
        let again = run(last, &["keys", "rotate"]).expect_err("one at a time");
        assert!(again.contains("is about to sign already"), "{again}");
        // A refresh makes no session: too many would end the oldest, whose token is tried below.
        let after = first.client("alice");
        after.login().await;
        harness::eventually("the new key to sign", async || {
            after.refresh().await;
            (key_of(&after.token()) != "generated").then_some(())
        })
        .await;
        let elsewhere = last.client("alice");
        elsewhere.login().await;
        for gateway in &fleet {
            for token in [before.token(), after.token()] {
                let client = gateway.client("alice");
                client.set_token(Some(token));
                assert_eq!(client.get("/protected").await.status(), 200);
            }
        }
        harness::eventually("the new key to sign at the other gateway", async || {
            elsewhere.refresh().await;
            (key_of(&elsewhere.token()) == key_of(&after.token())).then_some(())
        })
        .await;
        before.refresh().await;
        assert_eq!(key_of(&before.token()), key_of(&after.token()), "an old refresh token brings a new one");
        let listed = run(first, &["keys", "list"]).expect("it works on the stores");
        assert!(
            listed.starts_with("generated-") && listed.ends_with("generated  ES256  verifies\n"),
            "{listed}"
        );
        let audited = run(last, &["audit", "list", "--event", "keys_rotated"]).expect("it is there");
        assert_eq!(audited.lines().count(), 1, "{audited}");
        first.restart().await;
        assert_eq!(after.get("/protected").await.status(), 200, "after a restart, too");
    }
}

/// The algorithms of the published keys, in order.
async fn published(gw: &Gateway) -> Vec<String> {
    let set: Value = gw.anonymous().get("/.well-known/jwks.json").await.json().await.expect("JSON");
    let algorithm = |key: &Value| key["alg"].as_str().expect("every key has one").to_owned();
    set["keys"].as_array().expect("a list").iter().map(algorithm).collect()
}

/// Signed by a published key, as a backend sees it.
async fn verifies_by_the_published_keys(gw: &Gateway, token: &str) -> bool {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
    let set: JwkSet = gw.anonymous().get("/.well-known/jwks.json").await.json().await.expect("a JWK set");
    let Some(key) = set.find(&key_of(token)) else { return false };
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["portcullis"]);
    decode::<Value>(token, &DecodingKey::from_jwk(key).expect("a key"), &validation).is_ok()
}

#[tokio::test]
async fn the_generated_key_is_an_es256_one_that_is_published_and_survives_a_restart() {
    for fleet in fleets().await {
        let (first, last) = (&fleet[0], &fleet[fleet.len() - 1]);
        let alice = first.register("alice").await;

        assert_eq!(published(last).await, ["ES256"]);
        assert!(verifies_by_the_published_keys(last, &alice.token()).await);

        first.restart().await;

        assert_eq!(alice.get("/protected").await.status(), 200);
        alice.refresh().await;
        assert!(verifies_by_the_published_keys(last, &alice.token()).await, "the same key as before");
    }
}

/// Puts a key of the version before in place of the generated one.
async fn keep_secret(gw: &Gateway, secret: &str) {
    match gw.stores().urls() {
        None => fs::write(gw.home().join("data/signing-key"), secret).expect("writable"),
        Some((database, _)) => {
            let mut database = PgConnection::connect(&database).await.expect("it serves");
            let update = sqlx::query("UPDATE signing_keys SET secret = $1").bind(secret);
            let done = update.execute(&mut database).await.expect("the table is there");
            assert_eq!(done.rows_affected(), 1);
        }
    }
}

#[tokio::test]
async fn a_stored_hs256_secret_stays_and_is_succeeded_by_an_es256_key() {
    const OLD: &str = "y6Vb2kQp9sXw4nTz8mRc1dHf7gJa3eLu-from-the-version-before";
    for fleet in fleets().await {
        let gw = &fleet[0];
        keep_secret(gw, OLD).await;
        gw.restart().await;
        let alice = gw.register("alice").await;
        let before = crate::forge::sign(
            OLD.as_bytes(),
            &json!({ "alg": "HS256", "kid": "generated", "typ": "at+jwt" }),
            &crate::forge::claims(),
        );

        let client = gw.anonymous();
        assert_eq!(client.present(&before, "/protected").await.status, 200, "the secret goes on verifying");
        assert_eq!(published(gw).await, Vec::<String>::new());
        let listed = run(gw, &["keys", "rotate", "--overlap", "5"]).expect("nothing is in its way");
        assert!(listed.starts_with("generated  HS256  signs and verifies\ngenerated-"), "{listed}");
        harness::eventually("the new key to sign", async || {
            alice.refresh().await;
            (key_of(&alice.token()) != "generated").then_some(())
        })
        .await;

        assert!(verifies_by_the_published_keys(gw, &alice.token()).await);
        assert_eq!(client.present(&before, "/protected").await.status, 200, "no valid token breaks");
    }
}

#[tokio::test]
async fn keys_that_the_file_names_are_rotated_there() {
    let gw = harness::gateway("").await;

    let told = run(&gw, &["keys", "rotate"]).expect_err("the file is its author's");

    assert!(told.contains("as the second of tokens.keys"), "{told}");
}
