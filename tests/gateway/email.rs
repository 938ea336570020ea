//! Addresses confirmed and passwords reset by mail, over SMTP and into a folder.

use std::time::{Duration, Instant};

use http::Method;
use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores, eventually};
use crate::servers::smtp::Smtp;

pub use crate::harness::token_of;

pub const NEW_PASSWORD: &str = "a horse of another colour";

/// A gateway, and where its mail goes.
pub struct Post {
    pub gw: Gateway,
    smtp: Option<Smtp>,
}

impl Post {
    /// On the embedded stores: mail is kept in the folder beside the database.
    pub async fn embedded(auth: &str) -> Self {
        Self::embedded_with(auth, "").await
    }

    async fn embedded_with(auth: &str, more: &str) -> Self {
        let setup = Setup::from(auth_section(auth).as_str()).with(more);
        Self { gw: harness::gateway(setup).await, smtp: None }
    }

    /// What a reload takes: another `auth`, and `more` sections, with mail as before.
    pub fn setup(&self, auth: &str, more: &str) -> Setup {
        let setup = Setup::from(auth).with(more);
        match &self.smtp {
            Some(smtp) => setup.with(&mail_section(smtp.port(), "tls: none")),
            None => setup,
        }
    }

    /// On Postgres and Redis, with a mail server.
    async fn on_servers_with(auth: &str, more: &str) -> Self {
        let smtp = Smtp::start().await;
        let setup = Setup::from(auth_section(auth).as_str()).with(&mail_section(smtp.port(), "tls: none"));
        let setup = setup.with(more);
        let gw = harness::gateway(setup.stores(&Stores::servers().await)).await;
        Self { gw, smtp: Some(smtp) }
    }

    pub async fn both(auth: &str) -> [Self; 2] {
        Self::both_with(auth, "").await
    }

    /// `more` are other sections of gateway.yaml.
    pub async fn both_with(auth: &str, more: &str) -> [Self; 2] {
        [Self::embedded_with(auth, more).await, Self::on_servers_with(auth, more).await]
    }

    /// The owner of the address, which the mail with this number asks to confirm, confirms it.
    pub async fn confirm(&self, number: usize) {
        let token = json!({ "token": self.token(number).await });
        assert_eq!(post(&self.gw, "/auth/email/verify", token).await.status(), 204);
    }

    /// The same for the first mail to this address.
    pub async fn confirm_address(&self, email: &str) {
        let token = token_of(&self.mail_with(&format!("To: {email}")).await);
        assert_eq!(post(&self.gw, "/auth/email/verify", json!({ "token": token })).await.status(), 204);
    }

    pub fn mails(&self) -> Vec<String> {
        match &self.smtp {
            Some(smtp) => smtp.received().into_iter().map(|mail| mail.text).collect(),
            None => harness::mails_in_folder(&self.gw),
        }
    }

    /// The first with this line, once it has come.
    pub async fn mail_with(&self, line: &str) -> String {
        let is_it = |mail: &String| mail.lines().any(|one| one == line);
        eventually(line, async || self.mails().into_iter().find(is_it)).await
    }

    /// The token of the mail with this number, once it has come.
    pub async fn token(&self, number: usize) -> String {
        token_of(&eventually("a mail", async || self.mails().get(number).cloned()).await)
    }
}

fn auth_section(more: &str) -> String {
    format!("auth:\n  registration: open\n  limits: off\n{more}")
}

pub fn mail_section(port: u16, more: &str) -> String {
    format!(
        "mail:\n  from: Example <no-reply@example.org>\n  smtp: {{ host: localhost, port: {port}, {more} }}\n"
    )
}

pub async fn register(gw: &Gateway, username: &str, email: &str) -> Response {
    let account = json!({ "username": username, "password": PASSWORD, "email": email });
    gw.anonymous().post("/auth/register", &account).await
}

pub async fn member(gw: &Gateway, username: &str, email: &str) -> Client {
    assert_eq!(register(gw, username, email).await.status(), 201);
    let client = gw.client(username);
    client.login().await;
    client
}

pub async fn post(gw: &Gateway, path: &str, body: Value) -> Response {
    gw.anonymous().post(path, &body).await
}

fn outcome(answer: &Response) -> (u16, Option<&str>) {
    (answer.status().as_u16(), answer.reason())
}

async fn login(gw: &Gateway, username: &str, password: &str) -> Response {
    post(gw, "/auth/login", json!({ "username": username, "password": password })).await
}

pub async fn reset(gw: &Gateway, token: &str, password: &str) -> Response {
    post(gw, "/auth/password/reset", json!({ "token": token, "new_password": password })).await
}

#[tokio::test]
async fn a_forgotten_password_is_reset_by_mail_and_ends_every_session() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        let alice = member(gw, "alice", "Alice@example.org").await;
        for _ in 0..5 {
            login(gw, "alice", "not the password").await;
        }
        assert_eq!(login(gw, "alice", PASSWORD).await.reason(), Some("account_locked"));
        let first = post_office.token(0).await;
        post_office.confirm(0).await;

        let asked = post(gw, "/auth/password/forgot", json!({ "email": "alice@EXAMPLE.org" })).await;
        assert_eq!(outcome(&asked), (202, None));
        let token = post_office.token(1).await;
        let mail = post_office.mails().remove(1);
        assert!(
            mail.contains("Subject: Reset your password") && mail.contains("To: Alice@example.org"),
            "{mail}"
        );
        assert!(
            mail.contains("text/plain") && mail.contains("text/html") && mail.contains("Hello alice"),
            "{mail}"
        );

        assert_eq!(outcome(&reset(gw, &first, NEW_PASSWORD).await), (400, Some("one_time_token_invalid")));
        assert_eq!(outcome(&reset(gw, &token, "alice@example.org").await), (400, Some("weak_password")));
        assert_eq!(outcome(&reset(gw, &token, NEW_PASSWORD).await), (204, None));
        assert_eq!(outcome(&reset(gw, &token, NEW_PASSWORD).await), (400, Some("one_time_token_invalid")));

        assert_eq!(alice.get("/protected").await.reason(), Some("token_revoked"));
        let refresh = alice.request_without_token(Method::POST, "/auth/refresh");
        assert_eq!(alice.send(refresh).await.reason(), Some("refresh_invalid"));
        assert_eq!(outcome(&login(gw, "alice", PASSWORD).await), (401, Some("bad_credentials")));
        assert_eq!(
            outcome(&login(gw, "alice", NEW_PASSWORD).await),
            (200, None),
            "the lockout is lifted, too"
        );
        for event in ["verification_sent", "password_reset_sent", "password_reset", "one_time_token_refused"]
        {
            gw.logged(|line| line["event"] == event && line["address"] == "127.0.0.1").await;
        }
        assert!(!gw.log().contains(&token), "no log line tells it");
        // Confirmation, reset, and a notice of it.
        eventually("three mails", async || {
            (gw.metrics().await.value("mails_total", &["sent"]) == Some(3.0)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_reset_token_used_by_many_at_once_works_once() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        member(gw, "alice", "a@example.org").await;
        post_office.confirm(0).await;
        post(gw, "/auth/password/forgot", json!({ "email": "a@example.org" })).await;
        let token = post_office.token(1).await;
        let passwords: Vec<String> = (0..8).map(|number| format!("{NEW_PASSWORD} {number}")).collect();

        let tried = passwords.iter().map(|password| reset(gw, &token, password));
        let answers = futures::future::join_all(tried).await;

        let won: Vec<usize> = (0..8).filter(|number| answers[*number].status() == 204).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let refused =
            answers.iter().filter(|answer| outcome(answer) == (400, Some("one_time_token_invalid")));
        assert_eq!(refused.count(), 7, "{answers:?}");
        assert_eq!(login(gw, "alice", &passwords[won[0]]).await.status(), 200);
    }
}

#[tokio::test]
async fn an_address_is_confirmed_before_the_first_login_where_that_is_asked_for() {
    for post_office in Post::both("  require_verified_email: true\n").await {
        let gw = &post_office.gw;
        let without = json!({ "username": "bob", "password": PASSWORD });
        assert_eq!(outcome(&post(gw, "/auth/register", without).await), (400, Some("bad_request")));
        assert_eq!(register(gw, "alice", "a@example.org").await.status(), 201);
        let token = post_office.token(0).await;

        assert_eq!(outcome(&login(gw, "alice", "not the password").await), (401, Some("bad_credentials")));
        assert_eq!(outcome(&login(gw, "alice", PASSWORD).await), (403, Some("email_not_verified")));
        let again = post(gw, "/auth/email/resend", json!({ "email": "a@example.org" })).await;
        assert_eq!(outcome(&again), (202, None));
        let other = post_office.token(1).await;
        let verify = async |token: &str| post(gw, "/auth/email/verify", json!({ "token": token })).await;
        assert_eq!(outcome(&verify("pot_nonsense").await), (400, Some("one_time_token_invalid")));
        assert_eq!(outcome(&verify(&token).await), (204, None));
        assert_eq!(outcome(&verify(&token).await), (400, Some("one_time_token_invalid")));
        assert_eq!(outcome(&verify(&other).await), (204, None), "both mails are good");

        let alice = gw.client("alice");
        alice.login().await;
        let me: Value = alice.get("/auth/me").await.json().await.expect("JSON");
        assert_eq!(me["email_verified"], true);
        gw.logged(|line| line["event"] == "email_verified").await;
        // Operators answer for the accounts they make.
        gw.admin("root").await;

        let change = json!({ "email": "elsewhere@example.org", "password": PASSWORD });
        let changed = alice.send(alice.request(Method::PATCH, "/auth/me").json(&change)).await;
        let changed: Value = changed.json().await.expect("JSON");
        assert_eq!(
            (&changed["email"], &changed["email_verified"], &changed["pending_email"]),
            (&json!("a@example.org"), &json!(true), &json!("elsewhere@example.org")),
        );
        // The confirmed address still counts.
        alice.login().await;
        post_office.confirm_address("elsewhere@example.org").await;
        alice.login().await;
        let me: Value = alice.get("/auth/me").await.json().await.expect("JSON");
        assert_eq!((&me["email"], &me["pending_email"]), (&json!("elsewhere@example.org"), &Value::Null));
    }
}

#[tokio::test]
async fn a_stolen_token_does_not_move_the_mail_of_an_account() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        let alice = member(gw, "alice", "a@example.org").await;
        let change = async |method: Method, body: Value| {
            alice.send(alice.request(method, "/auth/me").json(&body)).await
        };
        for method in [Method::PATCH, Method::PUT] {
            for email in [json!("mallory@example.org"), Value::Null] {
                let without = json!({ "username": "alice", "email": email });
                let refused = change(method.clone(), without.clone()).await;
                assert_eq!(outcome(&refused), (400, Some("reauthentication_required")), "{method} {without}");
                let guessed = json!({ "username": "alice", "email": email, "password": "a guess" });
                let refused = change(method.clone(), guessed).await;
                assert_eq!(outcome(&refused), (401, Some("bad_credentials")), "{method} {without}");
            }
        }
        let me: Value = alice.get("/auth/me").await.json().await.expect("JSON");
        assert_eq!(me["email"], "a@example.org");
        let last_guess = json!({ "email": "mallory@example.org", "password": "another guess" });
        change(Method::PATCH, last_guess).await;
        let known = json!({ "email": "b@example.org", "password": PASSWORD });
        let locked = change(Method::PATCH, known).await;
        assert_eq!(outcome(&locked), (403, Some("account_locked")), "five wrong ones lock it, as at a login");
    }
}

#[tokio::test]
async fn clients_of_before_may_change_an_email_without_the_password() {
    let post_office = Post::embedded("  email: { change_needs_password: false }\n").await;
    let alice = member(&post_office.gw, "alice", "a@example.org").await;

    let moved = json!({ "email": "b@example.org" });
    let changed = alice.send(alice.request(Method::PATCH, "/auth/me").json(&moved)).await;

    assert_eq!(changed.json::<Value>().await.expect("JSON")["email"], "b@example.org");
}

#[tokio::test]
async fn a_token_dies_with_its_time_and_with_what_it_was_made_for() {
    let short = Post::embedded("  email: { reset_ttl: 1ms, verify_ttl: 1ms }\n").await;
    member(&short.gw, "alice", "a@example.org").await;
    let token = short.token(0).await;
    let verified = post(&short.gw, "/auth/email/verify", json!({ "token": token })).await;
    assert_eq!(outcome(&verified), (400, Some("one_time_token_invalid")), "it has expired");

    let post_office = Post::embedded("  email: { notices: false }\n").await;
    let gw = &post_office.gw;
    let alice = member(gw, "alice", "a@example.org").await;
    let verify = post_office.token(0).await;
    let moved = json!({ "email": "b@example.org", "password": PASSWORD });
    assert_eq!(alice.send(alice.request(Method::PATCH, "/auth/me").json(&moved)).await.status(), 200);
    let stale = post(gw, "/auth/email/verify", json!({ "token": verify })).await;
    assert_eq!(stale.reason(), Some("one_time_token_invalid"), "of the former address");
    post_office.confirm(1).await;
    alice.login().await;
    let forgot = json!({ "email": "b@example.org" });
    post(gw, "/auth/password/forgot", forgot.clone()).await;
    let reset_token = post_office.token(2).await;
    let change = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
    assert_eq!(alice.post("/auth/password", &change).await.status(), 200);
    assert_eq!(
        reset(gw, &reset_token, PASSWORD).await.reason(),
        Some("one_time_token_invalid"),
        "changed since"
    );

    assert_eq!(post(gw, "/auth/password/forgot", json!({ "email": "a@example.org" })).await.status(), 202);
    let output = gw.cli(&["user", "disable", "alice", "--config", "gateway.yaml"]);
    assert!(output.status.success(), "{output:?}");
    post(gw, "/auth/password/forgot", forgot).await;
    member(gw, "bob", "bob@example.org").await;
    post_office.token(3).await;
    let addressees: Vec<String> = post_office.mails().iter().map(|mail| addressee(mail)).collect();
    assert_eq!(addressees, ["a@example.org", "b@example.org", "b@example.org", "bob@example.org"]);
}

fn addressee(mail: &str) -> String {
    let line = mail.lines().find_map(|line| line.strip_prefix("To: "));
    line.expect("every mail has an addressee").to_owned()
}

#[tokio::test]
async fn neither_answer_nor_time_tells_whether_somebody_has_an_address() {
    let post_office = Post::embedded("").await;
    let gw = &post_office.gw;
    member(gw, "alice", "a@example.org").await;
    post_office.confirm(0).await;
    let client = gw.anonymous();
    let mut times: [Vec<Duration>; 2] = Default::default();
    let mut looks = None;

    for _ in 0..40 {
        for (email, times) in ["a@example.org", "nobody@example.org"].into_iter().zip(&mut times) {
            let start = Instant::now();
            let answer = client.post("/auth/password/forgot", &json!({ "email": email })).await;
            times.push(start.elapsed());
            let names: Vec<String> = answer.headers().keys().map(|name| name.to_string()).collect();
            let look = (answer.status().as_u16(), names, answer.text().await.expect("a body"));
            assert_eq!(look, *looks.get_or_insert_with(|| look.clone()), "{email}");
        }
    }

    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    assert!(known < unknown * 3 && unknown < known * 3, "known {known:?}, unknown {unknown:?}");
    for odd in ["nowhere", "", "a@b@c", "a@b\r\nBcc: c@d"] {
        let refused = client.post("/auth/password/forgot", &json!({ "email": odd })).await;
        assert_eq!(outcome(&refused), (400, Some("bad_request")), "{odd:?}");
    }
}
