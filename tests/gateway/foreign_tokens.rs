//! What other issuers say of their users, and what of it counts here: names, roles, ID tokens; and why a token
//! of theirs is refused.

use serde_json::{Value, json};

use crate::foreign_issuers::{Provider, header, key_set, passed, staff, status};
use crate::forge::{PrivateKey, now, with, without};
use crate::harness::{self, Echo, Gateway, Reload};

fn bearer(key: &PrivateKey, claims: &Value) -> String {
    key.token(&header("one", key), claims)
}

async fn echo(gw: &Gateway, token: String) -> Echo {
    let client = gw.anonymous();
    client.set_token(Some(token));
    Echo::of(client.get("/echo").await).await
}

/// The section with these lines instead of its `roles`.
fn with_roles(roles: &str) -> String {
    staff("refresh: 1h").replace("roles: { Domain Admins: admin, user: user }", roles)
}

const BY_NAME: &str = r#"
    upstreams:
      example: { servers: ["${UPSTREAM}"], identity: remote }
"#;

#[tokio::test]
async fn a_partners_user_is_never_told_as_one_of_ours() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let ours = provider.setup().with(BY_NAME);
    let gw = harness::gateway(ours.with(&staff("username_prefix: \"partner:\""))).await;
    let alice = gw.register("alice").await;
    let theirs = bearer(&key, &with(provider.claims(), "preferred_username", "alice"));

    assert_eq!(echo(&gw, alice.token()).await.fields("remote-user"), ["alice"]);
    assert_eq!(echo(&gw, theirs).await.fields("remote-user"), ["partner:alice"]);
    // Nobody can have such a name here.
    let taken = json!({ "username": "partner:alice", "password": harness::PASSWORD });
    assert_eq!(gw.anonymous().post("/auth/register", &taken).await.status(), 400);

    // Without a prefix the file is refused, and the one before stays.
    let without_prefix = provider.setup().with(BY_NAME).with(&staff("refresh: 1h"));
    assert_eq!(gw.reload(without_prefix).await, Reload::Refused);
    let told = gw.cli(&["validate", "gateway.yaml"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned() + &String::from_utf8_lossy(&told.stdout);
    assert!(told.contains("`username_prefix` is missing"), "{told}");
}

#[tokio::test]
async fn a_partners_group_is_our_role_only_where_it_is_mapped() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let groups = json!({ "roles": ["admin", "Domain Admins"] });
    let token = bearer(&key, &with(provider.claims(), "realm_access", groups));
    let missing = (403, "role_missing".to_owned());
    let gw = harness::gateway(provider.setup().with(&with_roles("cooldown: 29s"))).await;

    assert_eq!(status(&gw, &token, "/admin/dashboard").await, missing, "it isn't mapped");
    assert_eq!(echo(&gw, token.clone()).await.fields("x-forwarded-groups").concat(), "");
    gw.logged(|line| line["token_cause"] == "roles_not_mapped" && line["reason"] == "role_missing").await;

    for (roles, expected, told) in [
        ("roles: { Domain Users: admin }", missing.clone(), ""),
        ("roles: { Domain Admins: user }", missing, "user"),
        ("roles: { Domain Admins: admin }", passed(), "admin"),
        ("roles: same", passed(), "admin"),
    ] {
        assert_eq!(gw.reload(provider.setup().with(&with_roles(roles))).await, Reload::InForce);
        assert_eq!(status(&gw, &token, "/admin/dashboard").await, expected, "{roles}");
        assert_eq!(echo(&gw, token.clone()).await.fields("x-forwarded-groups").concat(), told, "{roles}");
    }
}

#[tokio::test]
async fn id_tokens_do_not_pass_as_access_tokens_unless_allowed() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let gw = harness::gateway(provider.setup()).await;
    let id_tokens: Vec<String> = [
        ("nonce", "n-0S6_WzA2Mj"),
        ("at_hash", "MTIzNDU2Nzg5MDEyMzQ1Ng"),
        ("c_hash", "LDktKdoQak3Pk0cnXxCltA"),
        ("token_use", "id"),
        ("typ", "ID"),
    ]
    .map(|(claim, value)| bearer(&key, &with(provider.claims(), claim, value)))
    .to_vec();
    let access = bearer(&key, &with(with(provider.claims(), "token_use", "access"), "typ", "Bearer"));

    for token in &id_tokens {
        assert_eq!(status(&gw, token, "/protected").await, (401, "token_invalid".to_owned()));
    }
    assert_eq!(status(&gw, &access, "/protected").await, passed());

    assert_eq!(gw.reload(provider.setup().with(&staff("allow_id_tokens: true"))).await, Reload::InForce);
    for token in &id_tokens {
        assert_eq!(status(&gw, token, "/protected").await, passed());
    }
}

#[tokio::test]
async fn names_that_no_header_may_hold_are_percent_encoded_like_our_own() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    for (preset, field) in [("forwarded", "x-forwarded-preferred-username"), ("remote", "remote-user")] {
        let upstream = BY_NAME.replace("remote", preset);
        let setup = provider.setup().with(&upstream).with(&staff("username_prefix: \"p/\""));
        let gw = harness::gateway(setup).await;
        for (name, sent) in [
            ("Zoë Müller", "p/Zo%C3%AB%20M%C3%BCller"),
            ("Müller, Zoë", "p/M%C3%BCller%2C%20Zo%C3%AB"),
            ("100%", "p/100%25"),
            ("a\"b<c>", "p/a\"b<c>"),
            ("DOMAIN\\zoe", "p/DOMAIN\\zoe"),
            ("Владимир", "p/%D0%92%D0%BB%D0%B0%D0%B4%D0%B8%D0%BC%D0%B8%D1%80"),
        ] {
            let token = bearer(&key, &with(provider.claims(), "preferred_username", name));
            assert_eq!(echo(&gw, token).await.fields(field), [sent], "{preset}: {name}");
        }
    }
}

/// The address that the upstream is told.
async fn told_email(gw: &Gateway, key: &PrivateKey, claims: &Value) -> Vec<String> {
    let client = gw.anonymous();
    client.set_token(Some(key.token(&header("one", key), claims)));
    let echo = Echo::of(client.get("/echo").await).await;
    echo.fields("x-forwarded-email").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_address_that_no_claim_calls_verified_is_not_told() {
    const TOLD: [&str; 1] = ["zoe@example.com"];
    let nobody: [&str; 0] = [];
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let gw = harness::gateway(provider.setup()).await;
    let silent = without(provider.claims(), "email_verified");
    assert_eq!(told_email(&gw, &key, &silent).await, nobody);
    assert_eq!(told_email(&gw, &key, &provider.claims()).await, TOLD);

    // Named otherwise: as the issuer writes it, and only so.
    for (path, verified) in [
        ("emailVerified", with(silent.clone(), "emailVerified", true)),
        ("xms_edov", with(silent.clone(), "xms_edov", 1)),
        ("[profile, emailVerified]", with(silent.clone(), "profile", json!({ "emailVerified": "true" }))),
    ] {
        let claims = format!("claims: {{ roles: [realm_access, roles], email_verified: {path} }}");
        let section = staff("refresh: 1h").replace("claims: { roles: [realm_access, roles] }", &claims);
        assert_eq!(gw.reload(provider.setup().with(&section)).await, Reload::InForce);
        assert_eq!(told_email(&gw, &key, &verified).await, TOLD, "{path}");
        assert_eq!(
            told_email(&gw, &key, &provider.claims()).await,
            nobody,
            "{path}: `email_verified` isn't it"
        );
    }

    let trusting = provider.setup().with(&staff("email_trusted: true"));
    assert_eq!(gw.reload(trusting).await, Reload::InForce);
    assert_eq!(told_email(&gw, &key, &silent).await, TOLD);
    let denied = with(provider.claims(), "email_verified", false);
    assert_eq!(told_email(&gw, &key, &denied).await, nobody, "a no counts in any case");
}

/// Each way to be refused, its word, and the code that the client gets.
fn refusals(
    provider: &Provider,
    key: &PrivateKey,
) -> Vec<(&'static str, &'static str, &'static str, String)> {
    let (claims, head) = (provider.claims(), header("one", key));
    let claiming = |claim: &str, value: Value| bearer(key, &with(claims.clone(), claim, value));
    let lacking = |claim: &str| bearer(key, &without(claims.clone(), claim));
    let headed = |member: &str, value: Value| key.token(&with(head.clone(), member, value), &claims);
    let stranger = PrivateKey::p256();
    vec![
        ("wrong_audience", "staff", "token_invalid", claiming("aud", json!("frontend"))),
        ("wrong_audience", "staff", "token_invalid", lacking("aud")),
        ("wrong_issuer", "-", "token_invalid", claiming("iss", json!("https://stranger.example"))),
        ("id_token", "staff", "token_invalid", claiming("nonce", json!("n"))),
        ("expiry_missing", "staff", "token_invalid", lacking("exp")),
        ("expired", "staff", "token_expired", claiming("exp", json!(now() - 100))),
        ("not_yet_valid", "staff", "token_not_yet_valid", claiming("nbf", json!(now() + 100))),
        ("user_missing", "staff", "token_invalid", lacking("sub")),
        ("unusable_name", "staff", "token_invalid", claiming("preferred_username", json!("a\r\nb"))),
        ("unknown_key", "staff", "token_invalid", headed("kid", json!("gone"))),
        ("wrong_algorithm", "staff", "token_invalid", headed("alg", json!("ES384"))),
        ("wrong_type", "staff", "token_invalid", headed("typ", json!("logout+jwt"))),
        ("unsupported_header", "staff", "token_invalid", headed("crit", json!(["x"]))),
        ("bad_signature", "staff", "token_invalid", stranger.token(&head, &claims)),
    ]
}

// The command line blocks its thread while the provider must answer it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refused_token_has_a_cause_in_the_log_in_explain_in_inspect_and_in_a_metric() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    // From the file, so that an unknown key can't be a new one.
    let keys = key_set(&[("one", &key)]).to_string();
    let setup = provider.setup().with(&staff("jwks: \"${KEYS}\"")).env("KEYS", keys);
    let gw = harness::gateway(setup).await;

    for (cause, issuer, code, token) in refusals(&provider, &key) {
        let labels = [format!("issuer=\"{issuer}\""), format!("cause=\"{cause}\"")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let counted = gw.metrics().await.value("foreign_tokens_refused_total", &labels).unwrap_or(0.0);

        assert_eq!(status(&gw, &token, "/protected").await, (401, code.to_owned()), "{cause}");

        let is_line = |line: &Value| line["token_cause"] == cause && line["token_issuer"] == issuer;
        let line = gw.logged(is_line).await;
        assert_eq!(line["reason"], code, "{line}");
        harness::eventually("the count", async || {
            let now = gw.metrics().await.value("foreign_tokens_refused_total", &labels);
            (now == Some(counted + 1.0)).then_some(())
        })
        .await;
        let explained = gw.cli(&["explain", "GET", "/protected", "--token", &token]);
        let explained = String::from_utf8(explained.stdout).expect("UTF-8");
        assert!(explained.contains(&format!("{cause} (issuer {issuer}): ")), "{explained}");
        let inspected = gw.cli(&["token", "inspect", &token]);
        let told = String::from_utf8(inspected.stderr).expect("UTF-8");
        assert!(told.contains(&format!("{code}: {cause} (issuer {issuer}): ")), "{told}");
    }
    assert!(!gw.log().contains("stranger.example") && !gw.log().contains("frontend"), "never a value");

    let good = bearer(&key, &provider.claims());
    let inspected = gw.cli(&["token", "inspect", &good, "--output", "json"]);
    let said: Value = serde_json::from_slice(&inspected.stdout).expect("JSON");
    assert_eq!((&said["issuer"], &said["preferred_username"]), (&json!("staff"), &json!("zoe")));
    // By the issuer's keys, where it publishes them.
    assert_eq!(gw.reload(provider.setup()).await, Reload::InForce);
    assert!(gw.cli(&["token", "inspect", &good]).status.success());
}

#[tokio::test]
async fn a_token_for_a_route_that_does_not_accept_its_issuer_says_so() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let gw = harness::gateway(provider.setup()).await;
    let token = bearer(&key, &provider.claims());

    assert_eq!(status(&gw, &token, "/expensive").await, (401, "token_invalid".to_owned()));

    let line = gw.logged(|line| line["token_cause"] == "issuer_not_accepted").await;
    assert_eq!(line["token_issuer"], "staff");
}

#[tokio::test]
async fn a_claim_that_the_file_names_and_no_token_has_is_told_once() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let section = staff("refresh: 1h")
        .replace("claims: { roles: [realm_access, roles] }", "claims: { roles: groups, username: nickname }");
    let gw = harness::gateway(provider.setup().with(&section)).await;
    let token = |id: u32| bearer(&key, &with(provider.claims(), "jti", id.to_string()));

    for id in 0..3 {
        assert_eq!(status(&gw, &token(id), "/protected").await, passed());
    }
    assert_eq!(status(&gw, &token(3), "/admin/dashboard").await, (403, "role_missing".to_owned()));

    gw.logged(|line| line["token_cause"] == "role_claim_not_found").await;
    let told = |claim: &str| gw.log().lines().filter(|line| line.contains(claim)).count();
    assert_eq!((told("claims.roles"), told("claims.username"), told("claims.scopes")), (1, 1, 0));
}

#[tokio::test]
async fn a_wrong_role_is_no_missing_claim() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let gw = harness::gateway(provider.setup()).await;
    let user = with(provider.claims(), "realm_access", json!({ "roles": ["user"] }));

    let refused = status(&gw, &bearer(&key, &user), "/admin/dashboard").await;

    assert_eq!(refused, (403, "role_missing".to_owned()));
    let line = gw.logged(|line| line["reason"] == "role_missing").await;
    assert_eq!(line.get("token_cause"), None, "{line}");
}
