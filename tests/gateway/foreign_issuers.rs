//! Tokens of other issuers: found out about by discovery, taken where a route says so, and good for
//! nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::forge::{self, PrivateKey, encode, now, sign, with, without};
use crate::harness::{self, Echo, Gateway, SECRET, Setup};
use crate::refusal::assert_refused;

/// An OpenID provider, as far as its keys go. Away when dropped.
pub struct Provider {
    pub issuer: String,
    inner: Arc<Inner>,
    serving: JoinHandle<()>,
}

struct Inner {
    issuer: String,
    /// Under which the discovery document says it was issued.
    claims_to_be: Mutex<Option<String>>,
    /// `None` answers 500.
    keys: Mutex<Option<Value>>,
    fetches: AtomicUsize,
}

impl Provider {
    pub async fn start(keys: &[(&str, &PrivateKey)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}/realms/staff", listener.local_addr().expect("it is bound"));
        let inner = Arc::new(Inner {
            issuer: issuer.clone(),
            claims_to_be: Mutex::default(),
            keys: Mutex::new(Some(key_set(keys))),
            fetches: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/realms/staff/.well-known/openid-configuration", get(discovery))
            .route("/realms/staff/keys", get(keys_of))
            .with_state(inner.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { issuer, inner, serving }
    }

    pub fn publish(&self, keys: Option<Value>) {
        *self.inner.keys.lock().expect("no panic") = keys;
    }

    /// Its discovery document says so from now on.
    pub fn claim_to_be(&self, issuer: &str) {
        *self.inner.claims_to_be.lock().expect("no panic") = Some(issuer.to_owned());
    }

    pub fn fetches(&self) -> usize {
        self.inner.fetches.load(Ordering::SeqCst)
    }

    /// Claims that are good at a gateway which trusts it.
    pub fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": ["other", "backend"], "sub": "f:17:Zoë/7", "exp": now() + 600, "iat": now(),
            "preferred_username": "zoe", "email": "zoe@example.com", "email_verified": true, "jti": "abc",
            "realm_access": { "roles": ["Domain Admins", "user", "uma_authorization"] },
            "scope": "openid read",
        })
    }

    pub fn setup(&self) -> Setup {
        Setup::from(
            r#"
            defaults: { issuers: [portcullis, staff] }
            routes:
              - { path: /echo, upstream: example }
              - { path: /protected, upstream: example }
              - { path: "/secure/{*rest}", upstream: example }
              - { path: "/admin/{*rest}", upstream: example, access: { roles: [admin] } }
              - { path: "/users/{id}/{*rest}", upstream: example, access: { owner: id } }
              - { path: /questions/topics, upstream: example, issuers: [staff] }
              - { path: /expensive, upstream: example, issuers: [portcullis] }
            "#,
        )
        .with(&staff("refresh: 1h"))
        .env("ISSUER", &self.issuer)
    }
}

/// The section, with one more key.
pub fn staff(key: &str) -> String {
    format!(
        "issuers:\n  staff:\n    issuer: ${{ISSUER}}\n    audience: backend\n    \
         claims: {{ roles: [realm_access, roles] }}\n    roles: {{ Domain Admins: admin, user: user }}\n    {key}\n"
    )
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn discovery(State(inner): State<Arc<Inner>>) -> axum::Json<Value> {
    let says = inner.claims_to_be.lock().expect("no panic").clone().unwrap_or(inner.issuer.clone());
    axum::Json(json!({ "issuer": says, "jwks_uri": format!("{}/keys", inner.issuer) }))
}

async fn keys_of(State(inner): State<Arc<Inner>>) -> Result<axum::Json<Value>, StatusCode> {
    inner.fetches.fetch_add(1, Ordering::SeqCst);
    let keys = inner.keys.lock().expect("no panic").clone();
    keys.map(axum::Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

pub fn key_set(keys: &[(&str, &PrivateKey)]) -> Value {
    json!({ "keys": keys.iter().map(|(id, key)| public(id, key)).collect::<Vec<_>>() })
}

pub fn public(id: &str, key: &PrivateKey) -> Value {
    let raw = key.public_raw();
    match key {
        PrivateKey::P256(_) => json!({
            "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
            "x": encode(&raw[1..33]), "y": encode(&raw[33..]),
        }),
        PrivateKey::Ed25519(_) => json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(raw) }),
        PrivateKey::Rsa(_) => panic!("the test with a gateway as the provider has RSA"),
    }
}

pub fn header(id: &str, key: &PrivateKey) -> Value {
    json!({ "alg": key.algorithm(), "kid": id, "typ": "JWT" })
}

pub async fn status(gw: &Gateway, token: &str, path: &str) -> (u16, String) {
    let refusal = gw.anonymous().present(token, path).await;
    (refusal.status, refusal.code)
}

pub fn passed() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn a_providers_token_is_taken_and_its_claims_reach_the_backend() {
    for key in [PrivateKey::p256(), PrivateKey::ed25519()] {
        let provider = Provider::start(&[("one", &key)]).await;
        let gw = harness::gateway(provider.setup()).await;
        let token = key.token(&header("one", &key), &provider.claims());

        let client = gw.anonymous();
        client.set_token(Some(token.clone()));
        let echo = Echo::of(client.get("/echo").await).await;

        assert_eq!(echo.fields("x-forwarded-preferred-username"), ["zoe"]);
        assert_eq!(echo.fields("x-forwarded-email"), ["zoe@example.com"]);
        assert_eq!(echo.fields("x-forwarded-groups"), ["admin,user"]);
        let [user] = echo.fields("x-forwarded-user")[..] else { panic!("one user") };
        assert_eq!(uuid::Uuid::parse_str(user).map(|id| id.get_version_num()), Ok(8), "{user}");
        assert_eq!(status(&gw, &token, "/admin/dashboard").await, passed());
        assert_eq!(status(&gw, &token, &format!("/users/{user}/notes")).await, passed());
        assert_eq!(provider.fetches(), 1);
    }
}

#[tokio::test]
async fn a_user_keeps_the_id_and_no_two_share_one() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let gw = harness::gateway(provider.setup()).await;
    let id_of = async |claims: Value| {
        let client = gw.anonymous();
        client.set_token(Some(key.token(&header("one", &key), &claims)));
        Echo::of(client.get("/echo").await).await.fields("x-forwarded-user")[0].to_owned()
    };

    let first = id_of(provider.claims()).await;

    assert_eq!(id_of(with(provider.claims(), "preferred_username", "renamed")).await, first);
    assert_ne!(id_of(with(provider.claims(), "sub", "f:17:Zoë/8")).await, first);
    // Somebody elsewhere who is given the id of somebody here isn't that person.
    let alice = gw.register("alice").await;
    assert_ne!(id_of(with(provider.claims(), "sub", alice.id().await)).await, alice.id().await);
}

#[tokio::test]
async fn each_route_takes_the_tokens_it_names() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let gw = harness::gateway(provider.setup()).await;
    let foreign = key.token(&header("one", &key), &provider.claims());
    let own = gw.register("alice").await.token();
    let refused = (401, "token_invalid".to_owned());

    assert_eq!(status(&gw, &foreign, "/protected").await, passed());
    assert_eq!(status(&gw, &own, "/protected").await, passed());
    assert_eq!(status(&gw, &foreign, "/questions/topics").await, passed());
    assert_eq!(status(&gw, &own, "/questions/topics").await, refused);
    assert_eq!(status(&gw, &foreign, "/expensive").await, refused);
    assert_eq!(status(&gw, &own, "/expensive").await, passed());
    // Accounts and sessions are the gateway's own.
    assert_eq!(status(&gw, &foreign, "/auth/me").await, refused);
}

#[tokio::test]
async fn nothing_but_a_whole_good_token_is_taken() {
    let (key, other) = (PrivateKey::p256(), PrivateKey::ed25519());
    let provider = Provider::start(&[("one", &key), ("two", &other)]).await;
    // From the file, so that an unknown key can't be a new one.
    let keys = key_set(&[("one", &key), ("two", &other)]).to_string();
    let gw = harness::gateway(provider.setup().with(&staff("jwks: \"${KEYS}\"")).env("KEYS", keys)).await;
    let head = header("one", &key);
    let good = key.token(&head, &provider.claims());
    let claiming = |claim: &str, value: Value| key.token(&head, &with(provider.claims(), claim, value));
    let lacking = |claim: &str| key.token(&head, &without(provider.claims(), claim));
    let hs256 = json!({ "alg": "HS256", "kid": "one", "typ": "JWT" });
    let point = encode(key.public_raw());
    let unsigned = format!(
        "{}.{}.{}",
        encode(json!({ "alg": "none", "kid": "one" }).to_string()),
        encode(provider.claims().to_string()),
        encode("x"),
    );

    let cases = [
        ("no audience", lacking("aud")),
        ("another audience", claiming("aud", json!("frontend"))),
        ("a longer audience", claiming("aud", json!(["backends"]))),
        ("no issuer", lacking("iss")),
        ("another issuer", claiming("iss", json!(format!("{}/", provider.issuer)))),
        ("the gateway as the issuer", claiming("iss", json!("http://localhost:8080"))),
        ("no user", lacking("sub")),
        ("an empty user", claiming("sub", json!(""))),
        ("a user that is a number", claiming("sub", json!(7))),
        ("no end", lacking("exp")),
        ("an end that is a text", claiming("exp", json!("9999999999"))),
        ("an end beyond all time", claiming("exp", json!(1e300))),
        ("an end before all time", claiming("exp", json!(-1))),
        (
            "a name that breaks a header",
            claiming("preferred_username", json!("a\r\nx-forwarded-groups: admin")),
        ),
        ("by the public key as a shared secret", sign(point.as_bytes(), &hs256, &provider.claims())),
        ("by the gateway's own secret", sign(SECRET.as_bytes(), &hs256, &provider.claims())),
        ("unsigned", unsigned),
        ("by another key of the set", other.token(&head, &provider.claims())),
        (
            "under the other key's algorithm",
            key.token(&with(head.clone(), "alg", "EdDSA"), &provider.claims()),
        ),
        ("a logout token", key.token(&with(head.clone(), "typ", "logout+jwt"), &provider.claims())),
        ("a header without a key", key.token(&without(head.clone(), "kid"), &provider.claims())),
        ("a critical extension", key.token(&with(head.clone(), "crit", json!(["x"])), &provider.claims())),
        ("an unknown key", key.token(&with(head.clone(), "kid", "three"), &provider.claims())),
        ("the gateway's kid", key.token(&with(head.clone(), "kid", "k1"), &provider.claims())),
        ("the gateway's issuer and kid", sign(b"guess", &forge::header(), &forge::claims())),
    ];
    assert_refused(&gw, &good, "token_invalid", &cases).await;

    let expired = claiming("exp", json!(now() - 100));
    assert_eq!(status(&gw, &expired, "/protected").await, (401, "token_expired".to_owned()));
    let early = claiming("nbf", json!(now() + 100));
    assert_eq!(status(&gw, &early, "/protected").await, (401, "token_not_yet_valid".to_owned()));
}

#[tokio::test]
async fn what_the_provider_does_not_vouch_for_is_left_out() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let gw = harness::gateway(provider.setup()).await;
    let odd = with(provider.claims(), "realm_access", json!({ "roles": "admin" }));
    let client = gw.anonymous();
    let echo = async |verified: Value| {
        let claims = with(odd.clone(), "email_verified", verified);
        client.set_token(Some(key.token(&header("one", &key), &claims)));
        Echo::of(client.get("/echo").await).await
    };

    for unverified in
        [json!(false), json!("false"), json!(0), json!("0"), json!(2), json!(null), json!([true])]
    {
        assert!(echo(unverified.clone()).await.fields("x-forwarded-email").is_empty(), "{unverified}");
    }
    for verified in [json!(true), json!("true"), json!(1), json!("1")] {
        let echo = echo(verified.clone()).await;
        assert_eq!(echo.fields("x-forwarded-email").len(), 1, "{verified}");
        assert!(
            echo.fields("x-forwarded-groups").iter().all(|groups| groups.is_empty()),
            "`admin` isn't its name for a role"
        );
    }
}

#[tokio::test]
async fn one_gateway_takes_the_tokens_of_another_which_signs_with_rsa() {
    let head_office = harness::gateway(
        Setup::from(
            r#"
            tokens:
              issuer: https://head-office.test
              audience: branches
              keys: [{ id: rsa, algorithm: RS256, key: "${PEM}" }]
            "#,
        )
        .env("PEM", PrivateKey::rsa().pem()),
    )
    .await;
    let branch = harness::gateway(
        Setup::from(
            r#"
            issuers:
              head-office:
                issuer: https://head-office.test
                audience: branches
                jwks: ${KEYS}
                claims: { roles: roles }
                roles: same
            routes:
              - { path: /echo, upstream: example, issuers: [head-office] }
            "#,
        )
        .env("KEYS", format!("http://{}/.well-known/jwks.json", head_office.address())),
    )
    .await;
    let alice = head_office.register("alice").await;
    let client = branch.anonymous();

    client.set_token(Some(alice.token()));
    let response = client.send(client.request(Method::GET, "/echo")).await;

    assert_eq!(response.status(), 200);
    assert_eq!(Echo::of(response).await.fields("x-forwarded-groups"), ["user"]);
}
