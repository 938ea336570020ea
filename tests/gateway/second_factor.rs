//! Authenticator apps and recovery codes: what a login takes then, and what only such a login opens.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use portcullis::identity::totp;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};

use crate::forge;
use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, SECRET, Setup, Stores};

pub const ROUTES: &str = r#"
    auth: { registration: open, limits: off, mfa: { required_roles: [admin], issuer: Example Shop } }
    routes:
      - { path: /protected, upstream: example }
      - { path: /echo, upstream: example, access: optional }
      - { path: "/secure/{*rest}", upstream: example, access: { mfa: true } }
      - { path: "/admin/{*rest}", upstream: example, access: { roles: [admin] } }
"#;

async fn both_editions() -> [Gateway; 2] {
    let servers = Setup::from(ROUTES).stores(&Stores::servers().await);
    [harness::gateway(ROUTES).await, harness::gateway(servers).await]
}

/// An authenticator app. No code of it is good twice, so that it shows one of a later step each time.
pub struct App {
    secret: Vec<u8>,
    shown: u64,
}

impl App {
    pub fn new(base32: &str) -> Self {
        let (mut secret, mut held, mut bits) = (Vec::new(), 0_u64, 0);
        for letter in base32.bytes() {
            let value = if letter.is_ascii_uppercase() { letter - b'A' } else { letter - b'2' + 26 };
            held = held << 5 | u64::from(value);
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                secret.push((held >> bits & 0xff) as u8);
            }
        }
        Self { secret, shown: 0 }
    }

    pub fn code(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 30;
        self.shown = now.max(self.shown + 1);
        assert!(self.shown <= now + 1, "another code is good in half a minute only");
        totp::code(&self.secret, self.shown)
    }

    pub fn last_code(&self) -> String {
        totp::code(&self.secret, self.shown)
    }

    /// Not of any step that is near.
    pub fn wrong_code(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 30;
        let near: Vec<String> = (now - 2..now + 3).map(|step| totp::code(&self.secret, step)).collect();
        let codes = (0..10).map(|digit| digit.to_string().repeat(6));
        codes.into_iter().find(|code| !near.contains(code)).expect("five of ten at most are near")
    }
}

pub async fn json_of(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.expect("a whole body");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).expect("it answers in JSON")
}

/// The app and the recovery codes; the client goes on with both factors.
pub async fn enrol(client: &Client) -> (App, Vec<String>) {
    let begun = json_of(client.post("/auth/mfa/totp", &json!({ "password": PASSWORD })).await).await;
    let mut app = App::new(begun["secret"].as_str().expect("a secret"));
    let confirmed = client.post("/auth/mfa/totp/confirm", &json!({ "code": app.code() })).await;
    let confirmed = json_of(confirmed).await;
    client.set_token(confirmed["access_token"].as_str().map(str::to_owned));
    let codes = confirmed["recovery_codes"].as_array().expect("a list").iter();
    (app, codes.map(|code| code.as_str().expect("text").to_owned()).collect())
}

/// What a sensitive action asks for.
pub fn confirmation(code: &str) -> Value {
    json!({ "password": PASSWORD, "code": code })
}

pub async fn login(gw: &Gateway, username: &str) -> Response {
    let credentials = json!({ "username": username, "password": PASSWORD });
    gw.anonymous().post("/auth/login", &credentials).await
}

pub async fn ticket(gw: &Gateway, username: &str) -> String {
    let refused = login(gw, username).await;
    assert_eq!((refused.status().as_u16(), refused.reason()), (403, Some("mfa_required")));
    let body: Value = refused.json().await.expect("a problem document");
    assert_eq!(body["expires_in"], 300);
    body["ticket"].as_str().expect("a ticket").to_owned()
}

pub async fn second_step(client: &Client, ticket: &str, code: &str) -> Response {
    client.post("/auth/login/mfa", &json!({ "ticket": ticket, "code": code })).await
}

async fn log_in_with(gw: &Gateway, client: &Client, code: &str) {
    let ticket = ticket(gw, client.username()).await;
    let answer = json_of(second_step(client, &ticket, code).await).await;
    client.set_token(answer["access_token"].as_str().map(str::to_owned));
}

pub async fn code_of(client: &Client, path: &str) -> Option<String> {
    client.get(path).await.reason().map(str::to_owned)
}

#[tokio::test]
async fn a_login_takes_both_factors_and_its_tokens_say_so() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let refused = alice.get("/secure/data").await;
        assert_eq!((refused.status().as_u16(), refused.reason()), (403, Some("mfa_required")));
        let challenge = refused.headers()["www-authenticate"].to_str().expect("ASCII").to_owned();
        assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
        assert!(challenge.ends_with("acr_values=\"aal2\""), "{challenge}");
        assert_eq!(forge::decode(&alice.token(), 1)["amr"], json!(["pwd"]));
        let former = alice.token();

        let (mut app, codes) = enrol(&alice).await;
        assert_eq!(codes.len(), 10);
        assert_eq!(code_of(&alice, "/secure/data").await, None, "this session has shown both");
        let elsewhere = gw.client("alice");
        elsewhere.set_token(Some(former));
        assert_eq!(code_of(&elsewhere, "/protected").await.as_deref(), Some("token_revoked"));

        let ticket = ticket(&gw, "alice").await;
        let wrong = second_step(&elsewhere, &ticket, &app.wrong_code()).await;
        assert_eq!((wrong.status().as_u16(), wrong.reason()), (401, Some("mfa_code_invalid")));
        let replayed = second_step(&elsewhere, &ticket, &app.last_code()).await;
        assert_eq!(replayed.reason(), Some("mfa_code_invalid"), "confirming has used it up");
        let code = app.code();
        let answer = json_of(second_step(&elsewhere, &ticket, &code).await).await;
        elsewhere.set_token(answer["access_token"].as_str().map(str::to_owned));
        let claims = forge::decode(&elsewhere.token(), 1);
        assert_eq!((&claims["amr"], &claims["acr"]), (&json!(["pwd", "otp", "mfa"]), &json!("aal2")));
        assert_eq!(second_step(&alice, &ticket, &code).await.reason(), Some("one_time_token_invalid"));
        let again = self::ticket(&gw, "alice").await;
        assert_eq!(second_step(&alice, &again, &code).await.reason(), Some("mfa_code_invalid"), "a replay");

        elsewhere.refresh().await;
        assert_eq!(forge::decode(&elsewhere.token(), 1)["amr"], json!(["pwd", "otp", "mfa"]));
        assert_eq!(code_of(&elsewhere, "/secure/data").await, None);
        let told =
            json_of(elsewhere.post("/auth/introspect", &json!({ "token": elsewhere.token() })).await).await;
        assert_eq!((&told["acr"], &told["amr"][2]), (&json!("aal2"), &json!("mfa")));
        for event in ["second_factor_enabled", "login_failed", "logged_in"] {
            gw.logged(|line| line["event"] == event && line["username"] == "alice").await;
        }
    }
}

#[tokio::test]
async fn the_app_learns_its_secret_by_a_qr_code_and_from_nobody_elses_token() {
    let gw = harness::gateway(ROUTES).await;
    let alice = gw.register("alice").await;
    let stolen = alice.post("/auth/mfa/totp", &json!({ "password": "not the password" })).await;
    assert_eq!((stolen.status().as_u16(), stolen.reason()), (401, Some("bad_credentials")));

    let begun = json_of(alice.post("/auth/mfa/totp", &json!({ "password": PASSWORD })).await).await;

    let secret = begun["secret"].as_str().expect("a secret");
    let uri = format!(
        "otpauth://totp/Example%20Shop:alice?secret={secret}&issuer=Example%20Shop&algorithm=SHA1&digits=6&period=30"
    );
    assert_eq!(begun["uri"], uri);
    assert!(begun["qr_svg"].as_str().is_some_and(|svg| svg.contains("<svg") && svg.ends_with("</svg>")));
    assert_eq!(json_of(alice.get("/auth/mfa").await).await, json!({ "enabled": false, "recovery_codes": 0 }));
    alice.login().await;
    let app = App::new(secret);
    let wrong = alice.post("/auth/mfa/totp/confirm", &json!({ "code": app.wrong_code() })).await;
    assert_eq!(wrong.reason(), Some("mfa_code_invalid"));
    enrol(&alice).await;
    assert_eq!(json_of(alice.get("/auth/mfa").await).await, json!({ "enabled": true, "recovery_codes": 10 }));
    let second = alice.post("/auth/mfa/totp", &json!({ "password": PASSWORD })).await;
    assert_eq!((second.status().as_u16(), second.reason()), (400, Some("bad_request")));
    assert!(!gw.log().contains(secret), "no log line tells it");

    let form = [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)];
    let request = alice.request_without_token(Method::POST, "/auth/token").form(&form);
    let refused: Value = alice.send(request).await.json().await.expect("a problem document");
    assert_eq!((&refused["error"], &refused["code"]), (&json!("mfa_required"), &json!("mfa_required")));
    assert!(refused["ticket"].is_string());
}

#[tokio::test]
async fn of_many_who_have_the_same_code_one_gets_in_wherever_they_try() {
    let stores = Stores::servers().await;
    let setup = || Setup::from(ROUTES).stores(&stores);
    let (one, other) = (harness::gateway(setup()).await, harness::gateway(setup()).await);
    let alice = one.register("alice").await;
    let (mut app, _) = enrol(&alice).await;
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(ticket(&one, "alice").await);
        tickets.push(ticket(&other, "alice").await);
    }
    let code = app.code();
    let clients = [one.anonymous(), other.anonymous()];

    let tried =
        tickets.iter().enumerate().map(|(at, ticket)| second_step(&clients[at / 2 % 2], ticket, &code));
    let answers = futures::future::join_all(tried).await;

    let won = answers.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(won, 1, "{answers:?}");
}

#[tokio::test]
async fn guessing_codes_locks_the_account_though_the_password_is_known() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let (mut app, codes) = enrol(&alice).await;

        for guess in 0..5 {
            let ticket = ticket(&gw, "alice").await;
            let wrong = second_step(&alice, &ticket, &app.wrong_code()).await;
            assert_eq!(wrong.reason(), Some("mfa_code_invalid"));
            if guess == 3 {
                // Nor does the right password buy more guesses where a session is asked for it.
                let again = alice.post("/auth/mfa/totp", &json!({ "password": PASSWORD })).await;
                assert_eq!(again.reason(), Some("bad_request"), "there is a factor already");
            }
        }

        let credentials = json!({ "username": "alice", "password": PASSWORD });
        let locked = alice.post("/auth/login", &credentials).await;
        assert_eq!(locked.reason(), Some("account_locked"));
        assert_eq!(code_of(&alice, "/secure/data").await, None, "the session goes on");
        let renewed = alice.post("/auth/mfa/recovery-codes", &confirmation(&app.code())).await;
        assert_eq!(renewed.reason(), Some("account_locked"));
        let by_recovery = alice.post("/auth/mfa/recovery-codes", &confirmation(&codes[0])).await;
        assert_eq!(by_recovery.reason(), Some("account_locked"), "and it isn't used up");
        let output = gw.cli(&["user", "unlock", "alice", "--config", "gateway.yaml"]);
        assert!(output.status.success(), "{output:?}");
        log_in_with(&gw, &alice, &codes[0]).await;
    }
}

#[tokio::test]
async fn recovery_codes_work_once_each_however_they_are_typed() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let (mut app, codes) = enrol(&alice).await;

        let typed = codes[0].to_lowercase().replace('-', " ");
        log_in_with(&gw, &alice, &typed).await;
        assert_eq!(forge::decode(&alice.token(), 1)["amr"], json!(["pwd", "mfa"]));
        assert_eq!(code_of(&alice, "/secure/data").await, None);
        let ticket = ticket(&gw, "alice").await;
        assert_eq!(second_step(&alice, &ticket, &codes[0]).await.reason(), Some("mfa_code_invalid"));
        assert_eq!(json_of(alice.get("/auth/mfa").await).await["recovery_codes"], 9);

        let renewed = json_of(alice.post("/auth/mfa/recovery-codes", &confirmation(&app.code())).await).await;
        assert_eq!(second_step(&alice, &ticket, &codes[1]).await.reason(), Some("mfa_code_invalid"));
        let fresh = renewed["recovery_codes"][9].as_str().expect("ten of them");
        assert_eq!(second_step(&alice, &ticket, fresh).await.status(), 200);
        gw.logged(|line| line["event"] == "recovery_code_used").await;
        gw.logged(|line| line["event"] == "recovery_codes_renewed").await;
    }
}

#[tokio::test]
async fn whoever_disables_the_factor_logs_in_anew_without_it() {
    for gw in both_editions().await {
        let alice = gw.register("alice").await;
        let (mut app, _) = enrol(&alice).await;

        let wrong = alice.post("/auth/mfa/disable", &confirmation(&app.wrong_code())).await;
        assert_eq!(wrong.reason(), Some("mfa_code_invalid"));
        let disabled = alice.post("/auth/mfa/disable", &confirmation(&app.code())).await;
        assert_eq!(disabled.status(), 204);

        assert_eq!(code_of(&alice, "/protected").await.as_deref(), Some("token_revoked"));
        alice.login().await;
        assert_eq!(code_of(&alice, "/protected").await, None);
        gw.logged(|line| line["event"] == "second_factor_disabled").await;
    }
}

#[tokio::test]
async fn secrets_are_sealed_at_rest_and_outlive_a_change_of_keys() {
    let stores = Stores::servers().await;
    let (database_url, _) = stores.urls().expect("servers have them");
    let gw = harness::gateway(Setup::from(ROUTES).stores(&stores)).await;
    let alice = gw.register("alice").await;
    let (mut app, codes) = enrol(&alice).await;
    let sealed = async || {
        let mut database = PgConnection::connect(&database_url).await.expect("it runs");
        let row = sqlx::query("SELECT sealed_secret FROM second_factors").fetch_one(&mut database).await;
        row.expect("one row").get::<Vec<u8>, _>(0)
    };
    let before = sealed().await;
    assert!(!before.windows(app.secret.len()).any(|part| part == app.secret), "the secret is sealed");

    let keys = |keys: &str| {
        let tokens = "tokens:\n  issuer: http://localhost:8080\n  audience: portcullis\n  keys:\n";
        Setup::from(ROUTES).with(&format!("{tokens}{keys}"))
    };
    let fresh = "    - { id: k2, algorithm: HS256, secret: another-secret-4f7Qm2Xw9Lb6Tz1Rc8Vd }\n";
    let old = format!("    - {{ id: k1, algorithm: HS256, secret: {SECRET} }}\n");
    assert_eq!(gw.reload(keys(&format!("{fresh}{old}"))).await, harness::Reload::InForce);
    log_in_with(&gw, &alice, &app.code()).await;
    assert_ne!(sealed().await, before, "a login seals it anew, by the first key");
    assert_eq!(gw.reload(keys(fresh)).await, harness::Reload::InForce);
    log_in_with(&gw, &alice, &codes[0]).await;
    assert_eq!(code_of(&alice, "/secure/data").await, None);
}

/// Whoever knew the password may have begun it, and kept its secret.
#[tokio::test]
async fn a_factor_begun_under_an_older_password_is_never_confirmed() {
    for gw in both_editions().await {
        let thief = gw.register("alice").await;
        let begun = json_of(thief.post("/auth/mfa/totp", &json!({ "password": PASSWORD })).await).await;
        let mut app = App::new(begun["secret"].as_str().expect("a secret"));
        let output = gw.cli(&["user", "set-password", "alice", "--config", "gateway.yaml"]);
        assert!(output.status.success(), "{output:?}");

        let alice = gw.client("alice");
        alice.login().await;
        let confirmed = alice.post("/auth/mfa/totp/confirm", &json!({ "code": app.code() })).await;

        assert_eq!((confirmed.status().as_u16(), confirmed.reason()), (409, Some("account_changed")));
        alice.login().await;
        enrol(&alice).await;
    }
}
