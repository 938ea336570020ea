//! Other issuers as they come: whose tokens lack an audience or are large, whose name has several spellings, and
//! which have many tenants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::foreign_issuers::{header, key_set, passed, public, status};
use crate::forge::{PrivateKey, now, with, without};
use crate::harness::{self, Echo, Gateway, Reload, Setup};

/// What a web server answers by path: JSON, or a redirect to a text.
type Pages = Arc<Mutex<HashMap<String, Value>>>;

/// Serves documents. Away when dropped.
pub struct Site {
    pub base: String,
    pages: Pages,
    serving: JoinHandle<()>,
}

impl Site {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let pages = Pages::default();
        let app = Router::new().fallback(page).with_state(pages.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { base, pages, serving }
    }

    pub fn publish(&self, path: &str, page: Value) {
        self.pages.lock().expect("no panic").insert(path.to_owned(), page);
    }

    /// The documents of an issuer at this path.
    pub fn publish_issuer(&self, path: &str, says: &str, keys: Value) {
        let document = json!({ "issuer": says, "jwks_uri": format!("{}/its-keys", self.base) });
        let at = path.trim_end_matches('/');
        self.publish(&format!("{at}/.well-known/openid-configuration"), document);
        self.publish("/its-keys", keys);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn page(State(pages): State<Pages>, uri: Uri) -> (StatusCode, HeaderMap, String) {
    let mut headers = HeaderMap::new();
    match pages.lock().expect("no panic").get(uri.path()) {
        None => (StatusCode::NOT_FOUND, headers, String::new()),
        Some(Value::String(elsewhere)) => {
            headers.insert("location", elsewhere.parse().expect("a URL"));
            (StatusCode::FOUND, headers, String::new())
        }
        Some(document) => (StatusCode::OK, headers, document.to_string()),
    }
}

/// A gateway that takes the tokens of the issuer `x`, whose section has these lines.
pub fn setup(lines: &str, keys: &Value) -> Setup {
    let section: String = lines.lines().map(|line| format!("    {}\n", line.trim())).collect();
    Setup::from(
        r#"
        defaults: { issuers: [x] }
        routes:
          - { path: /echo, upstream: example }
          - { path: /protected, upstream: example }
          - { path: "/admin/{*rest}", upstream: example, access: { roles: [admin] } }
        "#,
    )
    .with(&format!("issuers:\n  x:\n    jwks: \"${{KEYS}}\"\n{section}"))
    .env("KEYS", keys.to_string())
}

pub fn claims() -> Value {
    json!({ "iss": "https://idp.example", "aud": "backend", "sub": "7", "exp": now() + 600, "iat": now() })
}

pub fn invalid() -> (u16, String) {
    (401, "token_invalid".to_owned())
}

async fn user_id(gw: &Gateway, token: &str) -> String {
    let client = gw.anonymous();
    client.set_token(Some(token.to_owned()));
    Echo::of(client.get("/echo").await).await.fields("x-forwarded-user")[0].to_owned()
}

#[tokio::test]
async fn an_absent_audience_is_taken_where_the_file_says_so_and_a_foreign_one_never() {
    let key = PrivateKey::p256();
    let keys = key_set(&[("one", &key)]);
    let token = |claims: &Value| key.token(&header("one", &key), claims);
    let absent = [without(claims(), "aud"), with(claims(), "aud", json!([])), with(claims(), "aud", "")];

    let strict = harness::gateway(setup("issuer: https://idp.example\naudience: backend", &keys)).await;
    let none = harness::gateway(setup("issuer: https://idp.example\naudience: none", &keys)).await;
    let by_client = "issuer: https://idp.example\naudience: [app, other]\naudience_claim: client_id";
    let by_client = harness::gateway(setup(by_client, &keys)).await;

    for claims in absent {
        let from_app = token(&with(claims.clone(), "client_id", "app"));
        assert_eq!(status(&strict, &token(&claims), "/protected").await, invalid(), "{claims}");
        assert_eq!(status(&none, &token(&claims), "/protected").await, passed(), "{claims}");
        assert_eq!(status(&by_client, &from_app, "/protected").await, passed(), "{claims}");
        assert_eq!(status(&by_client, &token(&claims), "/protected").await, invalid(), "{claims}");
    }
    for aud in [json!("somebody-else"), json!(["somebody-else"]), json!(7)] {
        assert_eq!(status(&none, &token(&with(claims(), "aud", aud)), "/protected").await, invalid());
    }
    let from_another = token(&with(claims(), "client_id", "apps"));
    assert_eq!(status(&by_client, &from_another, "/protected").await, invalid());
    none.logged(|line| line["token_cause"] == "wrong_audience").await;
}

#[tokio::test]
async fn an_issuer_with_several_spellings_has_the_same_users_under_each() {
    let key = PrivateKey::p256();
    let site = Site::start().await;
    let spelled = format!("issuer: [\"{0}/realm\", \"{0}/realm/\"]\naudience: backend", site.base);
    // Its document has the other spelling.
    site.publish_issuer("/realm", &format!("{}/realm/", site.base), key_set(&[("one", &key)]));
    let section: String = spelled.lines().map(|line| format!("    {line}\n")).collect();
    let gw = harness::gateway(setup("", &json!({})).with(&format!("issuers:\n  x:\n{section}"))).await;
    let token = |iss: String| key.token(&header("one", &key), &with(claims(), "iss", iss));

    let plain = user_id(&gw, &token(format!("{}/realm", site.base))).await;

    assert_eq!(user_id(&gw, &token(format!("{}/realm/", site.base))).await, plain);
    assert_eq!(status(&gw, &token(format!("{}/realm//", site.base)), "/protected").await, invalid());
}

#[tokio::test]
async fn an_issuer_for_many_tenants_counts_for_those_that_are_named() {
    const OURS: &str = "11111111-2222-3333-4444-555555555555";
    const THEIRS: &str = "99999999-2222-3333-4444-555555555555";
    let (key, narrow) = (PrivateKey::p256(), PrivateKey::p256());
    let site = Site::start().await;
    let template = format!("{}/{{tenantid}}/v2.0", site.base);
    let of = |tenant: &str| template.replace("{tenantid}", tenant);
    let jwks = json!({ "keys": [
        with(public("one", &key), "issuer", template.clone()), with(public("two", &narrow), "issuer", of(THEIRS)),
    ] });
    site.publish_issuer("/common/v2.0", &template, jwks);
    let section = |tenants: &str| {
        format!("issuers:\n  x:\n    issuer: \"{template}\"\n    audience: backend\n    tenants: {tenants}\n")
    };
    let gw = harness::gateway(setup("", &json!({})).with(&section(&format!("[{OURS}]")))).await;
    let token = |key: &PrivateKey, kid: &str, tenant: &str| {
        key.token(&header(kid, key), &with(with(claims(), "iss", of(tenant)), "tid", tenant))
    };
    let (ours, theirs) = (token(&key, "one", OURS), token(&key, "one", THEIRS));

    assert_eq!(status(&gw, &ours, "/protected").await, passed());
    assert_eq!(status(&gw, &theirs, "/protected").await, invalid());
    gw.logged(|line| line["token_cause"] == "tenant_not_allowed").await;
    let by_their_key = token(&narrow, "two", OURS);
    assert_eq!(status(&gw, &by_their_key, "/protected").await, invalid(), "a key of another tenant");
    let of_two = key.token(&header("one", &key), &with(with(claims(), "iss", of(OURS)), "tid", THEIRS));
    assert_eq!(status(&gw, &of_two, "/protected").await, invalid(), "a token of two tenants");
    for odd in ["", "{tenantid}", "a/b", "a%2fb"] {
        let token = key.token(&header("one", &key), &with(claims(), "iss", of(odd)));
        assert_eq!(status(&gw, &token, "/protected").await, invalid(), "{odd}");
    }
    let id = user_id(&gw, &ours).await;

    assert_eq!(gw.reload(setup("", &json!({})).with(&section("any"))).await, Reload::InForce);
    assert_eq!(user_id(&gw, &ours).await, id);
    assert_ne!(user_id(&gw, &theirs).await, id, "users of two tenants are two");
    assert_eq!(status(&gw, &token(&narrow, "two", THEIRS), "/protected").await, passed());
}

#[tokio::test]
async fn roles_may_be_the_names_in_an_object() {
    let key = PrivateKey::p256();
    let lines = "issuer: https://idp.example\naudience: backend\nclaims: { roles: \"urn:roles\" }\nroles: { boss: admin }";
    let gw = harness::gateway(setup(lines, &key_set(&[("one", &key)]))).await;
    let token = |roles: Value| key.token(&header("one", &key), &with(claims(), "urn:roles", roles));

    let boss = token(json!({ "boss": { "2873": "example.com" }, "clerk": {} }));
    assert_eq!(status(&gw, &boss, "/admin/dashboard").await, passed());
    let clerk = token(json!({ "clerk": { "boss": "boss" } }));
    assert_eq!(status(&gw, &clerk, "/admin/dashboard").await, (403, "role_missing".to_owned()));
}

#[tokio::test]
async fn a_token_over_8_kib_is_told_to_be_too_large_and_passes_where_the_file_allows_it() {
    let key = PrivateKey::p256();
    let keys = key_set(&[("one", &key)]);
    let lines = "issuer: https://idp.example\naudience: backend";
    let gw = harness::gateway(setup(lines, &keys)).await;
    let groups: Vec<String> = (0..250).map(|id| format!("11111111-2222-3333-4444-{id:012}")).collect();
    let large = key.token(&header("one", &key), &with(claims(), "groups", groups));
    assert!((8 * 1024..16 * 1024).contains(&large.len()), "{}", large.len());
    let refused = (431, "token_too_large".to_owned());

    assert_eq!(status(&gw, &large, "/protected").await, refused);
    assert_eq!(status(&gw, &"x".repeat(9000), "/protected").await, refused, "whoever's it is");

    let tokens = "tokens: { issuer: http://localhost:8080, audience: portcullis, max_size: 16KiB, keys: [{ id: k1, algorithm: HS256, secret: \"${TOKEN_SECRET}\" }] }";
    assert_eq!(gw.reload(setup(lines, &keys).with(tokens)).await, Reload::InForce);
    assert_eq!(status(&gw, &large, "/protected").await, passed());
    assert_eq!(status(&gw, &"x".repeat(17_000), "/protected").await, refused);
}
