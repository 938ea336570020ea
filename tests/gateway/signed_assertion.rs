//! The signed assertion that an upstream verifies for itself: whom it names, how long, and by which key.

use std::collections::HashSet;

use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::harness::{self, Client, Echo, Gateway, Reason as _, SECRET, Setup};

const ROUTES: &str = r#"
    upstreams:
      example: { servers: ["${UPSTREAM}"], assertion: true }
      plain: { servers: ["${UPSTREAM}"] }
    routes:
      - { path: /echo, upstream: example, access: optional }
      - { path: /slow, upstream: plain }
"#;

const FIELD: &str = "x-auth-assertion";

async fn assertion(client: &Client) -> String {
    let echo = Echo::of(client.get("/echo").await).await;
    let [assertion] = echo.fields(FIELD)[..] else { panic!("{:?}", echo.headers()) };
    assertion.to_owned()
}

/// What it says, verified by the published keys as a backend does.
async fn verified(gw: &Gateway, assertion: &str, audience: &str) -> Result<Value, String> {
    let jwks = gw.anonymous().get("/.well-known/jwks.json").await;
    let jwks: JwkSet = jwks.json().await.expect("a JWK set");
    let header = decode_header(assertion).expect("a JWS");
    assert_eq!(header.typ.as_deref(), Some("assertion+jwt"));
    let key = jwks.find(header.kid.as_deref().expect("a kid")).ok_or("no such key")?;
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&["http://localhost:8080"]);
    let key = DecodingKey::from_jwk(key).expect("a key of ours");
    decode::<Value>(assertion, &key, &validation).map(|token| token.claims).map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_upstream_can_verify_who_is_calling_by_the_published_keys() {
    let gw = harness::gateway(ROUTES).await;
    let alice = gw.register("alice").await;

    let assertion = assertion(&alice).await;
    let claims = verified(&gw, &assertion, "example").await.expect("a good signature");

    assert_eq!((&claims["sub"], &claims["preferred_username"]), (&json!(alice.id().await), &json!("alice")));
    assert_eq!((&claims["roles"], &claims["amr"]), (&json!(["user"]), &json!(["pwd"])));
    let life = claims["exp"].as_u64().expect("a time") - claims["iat"].as_u64().expect("a time");
    assert!(life <= 60, "{claims}");
    assert!(verified(&gw, &assertion, "plain").await.is_err(), "for that upstream only");
    alice.set_token(Some(assertion));
    let refused = alice.get("/echo").await;
    assert_eq!(
        (refused.status().as_u16(), refused.reason()),
        (401, Some("token_invalid")),
        "no access token"
    );
}

#[tokio::test]
async fn one_assertion_serves_all_requests_of_a_token_for_a_while() {
    let gw = harness::gateway(ROUTES).await;
    let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);

    let many = futures::future::join_all((0..20).map(|_| assertion(&alice))).await;

    let made: HashSet<String> = many.into_iter().collect();
    // A second one if the half of its life was over just then.
    assert!(made.len() <= 2, "{made:?}");
    assert!(!made.contains(&assertion(&bob).await));
    alice.refresh().await;
    assert!(!made.contains(&assertion(&alice).await), "another token");
}

#[tokio::test]
async fn nobody_but_the_gateway_says_the_assertion() {
    let gw = harness::gateway(ROUTES).await;
    let alice = gw.register("alice").await;
    let good = assertion(&alice).await;
    let forged = async |client: &Client| {
        let mut request = client.request(Method::GET, "/echo");
        for spelling in ["X-Auth-Assertion", "x_auth_assertion", "X-AUTH_ASSERTION", "x.auth.assertion"] {
            request = request.header(spelling, &good);
        }
        Echo::of(client.send(request).await).await
    };

    let anonymous = forged(&gw.anonymous()).await;
    assert!(
        !anonymous.headers().iter().any(|(_, value)| value.starts_with("eyJ")),
        "{:?}",
        anonymous.headers()
    );
    let own = forged(&alice).await;
    let said: Vec<_> = own.headers().into_iter().filter(|(_, value)| value.starts_with("eyJ")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, FIELD);
}

#[tokio::test]
async fn the_key_follows_the_first_token_key_and_older_ones_still_verify() {
    let tokens = "tokens:\n  issuer: http://localhost:8080\n  audience: portcullis\n  keys:\n";
    let old = format!("    - {{ id: k1, algorithm: HS256, secret: {SECRET} }}\n");
    let gw = harness::gateway(Setup::from(ROUTES)).await;
    let alice = gw.register("alice").await;
    let by_secret = assertion(&alice).await;
    assert_eq!(decode_header(&by_secret).expect("a JWS").alg, Algorithm::EdDSA, "derived from the secret");

    let output = gw.cli(&["keys", "generate", "es256", "--out", "k2.pem"]);
    assert!(output.status.success(), "{output:?}");
    let fresh = "    - { id: k2, algorithm: ES256, key: { file: k2.pem } }\n";
    let setup = Setup::from(ROUTES).with(&format!("{tokens}{fresh}{old}"));
    assert_eq!(gw.reload(setup).await, harness::Reload::InForce);

    let by_key = assertion(&alice).await;
    let header = decode_header(&by_key).expect("a JWS");
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::ES256, Some("k2")));
    for assertion in [by_secret, by_key] {
        assert_eq!(verified(&gw, &assertion, "example").await.expect("good")["preferred_username"], "alice");
    }
}

#[tokio::test]
async fn where_nobody_asks_for_assertions_none_are_made_and_no_key_is_published() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;

    assert_eq!(Echo::of(alice.get("/echo").await).await.fields(FIELD), Vec::<&str>::new());
    let jwks: Value = gw.anonymous().get("/.well-known/jwks.json").await.json().await.expect("JSON");
    assert_eq!(jwks, json!({ "keys": [] }));
}
