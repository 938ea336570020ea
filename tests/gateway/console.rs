//! The operator console: who gets in, what it shows and does, and that nothing in it can be made to run.

use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{self, Gateway, PASSWORD, Reload, Setup, Stores, client_builder, eventually};
use crate::second_factor::enrol;

/// A browser, as far as it matters here.
pub struct Browser<'g> {
    gateway: &'g Gateway,
    http: reqwest::Client,
}

impl<'g> Browser<'g> {
    pub fn of(gateway: &'g Gateway) -> Self {
        Self { gateway, http: client_builder().cookie_store(true).build().expect("nothing in it can fail") }
    }

    /// With an admin called root.
    pub async fn of_operator(gateway: &'g Gateway) -> Self {
        gateway.admin("root").await;
        let browser = Self::of(gateway);
        let answer = browser.sign_in("root", PASSWORD).await;
        assert_eq!(answer.status(), 303, "{}", text(answer).await);
        browser
    }

    pub fn url(&self, path: &str) -> String {
        self.gateway.admin_url(path)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.expect("the admin port answers")
    }

    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        text(answer).await
    }

    pub async fn sign_in(&self, username: &str, password: &str) -> Response {
        self.post("/console/login", &[("username", username), ("password", password)]).await
    }

    /// As a page of this console does.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.post_from(&self.url(""), path, fields).await
    }

    pub async fn post_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let request =
            self.http.post(self.url(path)).header("origin", origin.trim_end_matches('/')).form(fields);
        request.send().await.expect("the admin port answers")
    }

    /// The token that forms of this page carry.
    pub async fn form_token(&self) -> String {
        let page = self.page("/console/").await;
        let after = page.split("name=\"form_token\" value=\"").nth(1).expect("there is a form");
        after.split('"').next().expect("it ends").to_owned()
    }

    pub async fn act(&self, path: &str) -> Response {
        let token = self.form_token().await;
        self.post(path, &[("form_token", &token)]).await
    }
}

pub async fn text(answer: Response) -> String {
    answer.text().await.expect("pages are text")
}

pub fn leads_to(answer: &Response) -> Option<&str> {
    answer.headers().get(LOCATION).map(|to| to.to_str().expect("ASCII"))
}

pub async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

#[tokio::test]
async fn nobody_gets_in_but_operators() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;
    assert!(gw.cli(&["user", "add", "eve", "--role", "admin"]).status.success());
    let browser = Browser::of(&gw);

    for path in [
        "/console/",
        "/console/policy",
        "/console/users",
        "/console/users/alice",
        "/console/audit",
        "/console/explain",
    ] {
        let answer = browser.get(path).await;
        assert_eq!((answer.status().as_u16(), leads_to(&answer)), (303, Some("/console/login")), "{path}");
    }
    for path in ["/console/users/alice/disable", "/console/sessions/7/end", "/console/logout"] {
        let answer = browser.post(path, &[("form_token", "x")]).await;
        assert_eq!(answer.status(), 403, "{path}");
    }
    assert_eq!(browser.get("/console/nothing").await.status(), 404);
    assert!(text(browser.get("/console/login").await).await.contains("Sign in"));
    for (username, password, said) in [
        ("alice", PASSWORD, "no operator"),
        ("eve", PASSWORD, "no operator"),
        ("alice", "wrong", "Username or password is wrong"),
        ("nobody", "wrong", "Username or password is wrong"),
        ("<script>alert(1)</script>", "wrong", "Username or password is wrong"),
    ] {
        let answer = browser.sign_in(username, password).await;
        assert!(answer.headers().get(SET_COOKIE).is_none(), "{username}");
        assert_eq!(answer.status(), 403, "{username}");
        assert!(text(answer).await.contains(said), "{username}");
    }
    assert_eq!(browser.get("/console/").await.status(), 303);
    assert_eq!(gw.anonymous().get("/console/").await.status(), 404, "never on the proxy's port");
}

#[tokio::test]
async fn the_same_lockout_and_audit_hold_as_for_every_login() {
    let gw =
        harness::gateway("auth: { registration: open, limits: off, lockout: { failures: 3, for: 15m } }")
            .await;
    let root = gw.admin("root").await;
    let browser = Browser::of(&gw);

    for _ in 0..3 {
        browser.sign_in("root", "wrong").await;
    }

    let locked = browser.sign_in("root", PASSWORD).await;
    assert_eq!(locked.status(), 403);
    assert!(locked.headers().contains_key("retry-after"));
    assert!(text(locked).await.contains("locked"));
    let over_http = json!({ "username": "root", "password": PASSWORD });
    assert_eq!(gw.anonymous().post("/auth/login", &over_http).await.status(), 403, "one lockout for both");
    assert!(gw.cli(&["user", "unlock", "root"]).status.success());
    assert_eq!(browser.sign_in("root", PASSWORD).await.status(), 303);
    let request = gw.admin_request(Method::GET, "/api/audit?event=logged_in").bearer_auth(root.token());
    let records: serde_json::Value = request.send().await.expect("it answers").json().await.expect("JSON");
    assert_eq!(records["records"][0]["reason"], "console");
    let metrics = gw.metrics().await;
    assert_eq!(metrics.value("login_attempts_total", &["outcome=\"account_locked\""]), Some(2.0));
}

#[tokio::test]
async fn a_second_factor_is_asked_for_here_too() {
    let gw = harness::gateway("").await;
    let root = gw.admin("root").await;
    let (mut app, recovery_codes) = enrol(&root).await;
    let browser = Browser::of(&gw);
    let sign_in = async |password: &str, code: &str| {
        let fields = [("username", "root"), ("password", password), ("code", code)];
        browser.post("/console/login", &fields).await
    };

    for (password, code) in [
        (PASSWORD, ""),
        (PASSWORD, app.last_code().as_str()),
        (PASSWORD, app.wrong_code().as_str()),
        ("wrong", recovery_codes[0].as_str()),
    ] {
        let answer = sign_in(password, code).await;
        assert!(answer.headers().get(SET_COOKIE).is_none(), "{code}");
        assert_eq!(browser.get("/console/").await.status(), 303, "{code}");
    }
    assert_eq!(sign_in(PASSWORD, &app.code()).await.status(), 303);
    assert_eq!(browser.get("/console/").await.status(), 200);
    assert_eq!(sign_in(PASSWORD, &recovery_codes[0]).await.status(), 303);
    assert_eq!(sign_in(PASSWORD, &recovery_codes[0]).await.status(), 403, "good once");
}

#[tokio::test]
async fn a_role_that_needs_a_second_factor_needs_it_here_too() {
    let gw = harness::gateway("").await;
    let browser = Browser::of_operator(&gw).await;
    let required = "auth: { registration: open, limits: off, mfa: { required_roles: [admin] } }";
    assert_eq!(gw.reload(required).await, Reload::InForce);

    let answer = browser.get("/console/").await;
    assert_eq!((answer.status().as_u16(), text(answer).await.contains("mfa_required")), (403, true));
    let answer = browser.sign_in("root", PASSWORD).await;
    assert!(answer.headers().get(SET_COOKIE).is_none());
    assert!(text(answer).await.contains("set up an authenticator app by POST /auth/mfa/totp"));
}

#[tokio::test]
async fn the_limits_of_logins_hold_here_too() {
    let limited = "
        auth: { registration: open, limits: { login: [logins], login-mfa: [codes] } }
        limits: { logins: { rate: 4/1h, by: address }, codes: { rate: 1/1h, by: address } }
    ";
    let on_servers = Setup::from(limited).stores(&Stores::servers().await);
    for gw in [harness::gateway(limited).await, harness::gateway(on_servers).await] {
        let browser = Browser::of(&gw);
        let with_code = [("username", "root"), ("password", "wrong"), ("code", "123456")];

        assert_eq!(browser.post("/console/login", &with_code).await.status(), 403);
        assert_eq!(
            browser.post("/console/login", &with_code).await.status(),
            429,
            "a second step of a login"
        );
        for _ in 0..2 {
            assert_eq!(browser.sign_in("root", "wrong").await.status(), 403);
        }
        let refused = browser.sign_in("root", "wrong").await;
        assert_eq!(refused.status(), 429);
        assert!(refused.headers().contains_key("retry-after"));
        assert!(text(refused).await.contains("Too many logins from your address"));

        let over_http = json!({ "username": "root", "password": PASSWORD });
        let answer = gw.anonymous().post("/auth/login", &over_http).await;
        assert_eq!(answer.status(), 429, "one limit for both");
        let metrics = gw.metrics().await;
        for (limit, times) in [("limit=\"logins\"", 2.0), ("limit=\"codes\"", 1.0)] {
            let series = [limit, "outcome=\"refused\""];
            assert_eq!(metrics.value("rate_limit_decisions_total", &series), Some(times), "{limit}");
        }
    }
}

#[tokio::test]
async fn the_cookie_is_of_no_use_elsewhere_and_answers_are_locked_down() {
    let gw = harness::gateway("admin: { hosts: [gateway.example] }").await;
    gw.admin("root").await;
    let browser = Browser::of(&gw);

    let answer = browser.sign_in("root", PASSWORD).await;

    let cookie = answer.headers()[SET_COOKIE].to_str().expect("ASCII").to_owned();
    let name = format!("portcullis_console_{}=", gw.admin_address().port());
    for part in [name.as_str(), "HttpOnly", "SameSite=Strict", "Path=/console"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let request =
        client_builder().build().expect("nothing in it can fail").post(browser.url("/console/login"));
    let fields = [("username", "root"), ("password", PASSWORD)];
    let from_afar = request.header("host", "gateway.example").form(&fields).send().await.expect("an answer");
    let cookie = from_afar.headers()[SET_COOKIE].to_str().expect("ASCII").to_owned();
    assert!(cookie.starts_with("__Secure-portcullis_console=") && cookie.contains("; Secure"), "{cookie}");
    for path in ["/console/", "/console/login", "/console/console.css", "/console/nothing"] {
        let answer = browser.get(path).await;
        let field = |name: &str| value(answer.headers(), name);
        let policy = field("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(field("cache-control"), "no-store", "{path}");
        assert_eq!(field("x-frame-options"), "DENY", "{path}");
        assert_eq!(field("x-content-type-options"), "nosniff", "{path}");
    }
    let page = browser.page("/console/").await;
    for inline in [" style=", " onclick=", "<style", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    assert_eq!(page.matches("<script").count(), 1, "its own file only");
}

fn value(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn an_operator_who_is_one_no_more_is_out() {
    let gw = harness::gateway("").await;
    let browser = Browser::of_operator(&gw).await;
    assert_eq!(browser.get("/console/").await.status(), 200);

    assert!(gw.cli(&["user", "set-role", "root", "user"]).status.success());
    eventually("the end", async || (browser.get("/console/").await.status() != 200).then_some(())).await;
    assert_eq!(leads_to(&browser.get("/console/").await), Some("/console/login?ended=true"));

    assert!(gw.cli(&["user", "set-role", "root", "operator", "--allow-operators"]).status.success());
    assert_eq!(browser.sign_in("root", PASSWORD).await.status(), 303);
    let out = browser.act("/console/logout").await;
    assert_eq!(leads_to(&out), Some("/console/login"));
    assert!(out.headers()[SET_COOKIE].to_str().expect("ASCII").contains("Max-Age=0"));
    assert_eq!(browser.get("/console/").await.status(), 303);
}

#[tokio::test]
async fn a_session_that_is_used_is_renewed() {
    let tokens = "tokens: { issuer: a, access_ttl: 8s, leeway: 0s, keys: [{ id: k1, algorithm: HS256, secret: \"${TOKEN_SECRET}\" }] }";
    let gw = harness::gateway(tokens).await;
    let browser = Browser::of_operator(&gw).await;

    let renewed = eventually("a new cookie", async || {
        let answer = browser.get("/console/").await;
        assert_eq!(answer.status(), 200);
        answer.headers().get(SET_COOKIE).cloned()
    })
    .await;

    assert!(renewed.to_str().expect("ASCII").contains("HttpOnly"));
}

#[tokio::test]
async fn the_overview_the_policy_and_explain_say_how_things_are() {
    let gw = harness::gateway("").await;
    let browser = Browser::of_operator(&gw).await;
    let alice = gw.register("alice").await;
    alice.get("/admin/dashboard").await;
    gw.anonymous().get("/protected").await;

    let page = eventually("the counts", async || {
        let page = browser.page("/console/").await;
        page.contains("role_missing").then_some(page)
    })
    .await;
    for said in ["ready", "no_credentials", "/admin/{*rest}", "<svg", &gw.upstream().address().to_string()] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let broken = "routes: [{ path: /a<b>, upstream: nowhere }]";
    gw.reload(broken).await;
    let page = browser.page("/console/policy").await;
    assert!(page.contains("refused") && page.contains("nowhere") && page.contains("isn't defined"), "{page}");
    assert!(page.contains("/users/{id}/{*rest}") && page.contains("stands in {id}"), "{page}");
    let page = browser.page("/console/explain?method=GET&url=%2Fadmin%2Fx&user=alice").await;
    assert!(page.contains("refused: role_missing"), "{page}");
    let page = browser.page("/console/explain?url=/admin/x&roles=admin&address=").await;
    assert!(page.contains(">allowed<"), "{page}");
    let page = browser.page("/console/explain?url=/a&user=nosuch").await;
    assert!(page.contains("no account is called"), "{page}");
}

#[tokio::test]
async fn explain_at_the_console_mints_no_assertion() {
    let upstreams = "upstreams: { example: { servers: [\"${UPSTREAM}\"], assertion: true } }";
    let gw = harness::gateway(upstreams).await;
    let browser = Browser::of_operator(&gw).await;
    gw.register("alice").await;

    let page = browser.page("/console/explain?method=GET&url=%2Fadmin%2Fx&user=alice&roles=admin").await;

    assert!(page.contains("&lt;assertion&gt;") && !page.contains("eyJ"), "{page}");
}
