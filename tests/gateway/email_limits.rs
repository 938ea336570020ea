//! Mail that must not go out, or can't for now: limits, servers that are away or not to be trusted.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::email::{NEW_PASSWORD, Post, mail_section, member, post};
use crate::harness::{self, Gateway, Reason as _, Setup, Stores, eventually};
use crate::servers::postgres::Postgres;
use crate::servers::redis::Redis;
use crate::servers::smtp::Smtp;

async fn counted(gw: &Gateway, outcome: &str) -> f64 {
    gw.metrics().await.value("mails_total", &[outcome]).unwrap_or(0.0)
}

async fn until_counted(gw: &Gateway, outcome: &str, count: f64) {
    eventually("the mails to be counted", async || (counted(gw, outcome).await >= count).then_some(())).await;
}

#[tokio::test]
async fn accounts_and_addresses_get_no_more_mail_than_allowed() {
    for post_office in Post::both("  email: { limit: 3/1h }\n").await {
        let gw = &post_office.gw;
        member(gw, "alice", "a@example.org").await;
        post_office.confirm(0).await;
        for _ in 0..4 {
            let asked = post(gw, "/auth/password/forgot", json!({ "email": "a@example.org" })).await;
            assert_eq!(asked.status(), 202, "whoever asks doesn't learn of it");
        }
        until_counted(gw, "limited", 1.0).await;
        // Another account doesn't help.
        for number in 0..4 {
            member(gw, &format!("bob{number}"), "A@example.org").await;
        }
        until_counted(gw, "limited", 2.0).await;
        member(gw, "carol", "c@example.org").await;
        until_counted(gw, "sent", 8.0).await;

        assert_eq!(post_office.mails().len(), 8);
        gw.logged(|line| line["event"] == "mail_failed" && line["detail"] == "too many mails").await;
    }
}

#[tokio::test]
async fn requests_for_mail_are_limited_by_the_address_they_come_from() {
    let gw = harness::gateway("auth: { registration: open }\n").await;
    let ask = async |path: &str| {
        post(&gw, path, json!({ "email": "a@example.org" })).await.reason().map(str::to_owned)
    };

    for path in ["/auth/password/forgot", "/auth/email/resend"] {
        for _ in 0..5 {
            assert_eq!(ask(path).await, None, "{path}");
        }
        assert_eq!(ask(path).await.as_deref(), Some("rate_limited"), "{path}");
    }
}

#[tokio::test]
async fn mail_goes_out_over_starttls_with_credentials_from_a_file() {
    let smtp = Smtp::with_starttls().await;
    let more = "username: gate, password: { file: mail-password }, ca: { file: ca.pem }";
    let setup = |port: u16| {
        Setup::default()
            .with(&mail_section(port, more))
            .beside("mail-password", "s3cr3t of the mail server\n")
            .beside("ca.pem", smtp.certificate())
    };
    let gw = harness::gateway(setup(smtp.port())).await;

    member(&gw, "alice", "a@example.org").await;

    let received = eventually("a mail", async || smtp.received().pop()).await;
    assert!(received.over_tls);
    assert_eq!(received.login, Some(("gate".to_owned(), "s3cr3t of the mail server".to_owned())));
    assert_eq!(
        (received.from.as_str(), received.to),
        ("no-reply@example.org", vec!["a@example.org".to_owned()])
    );
    assert!(
        received.text.contains("From: Example <no-reply@example.org>")
            || received.text.contains("From: \"Example\"")
    );
    assert!(!gw.log().contains("s3cr3t"));

    // Without TLS nothing is said, least of all the password.
    let plain = Smtp::start().await;
    assert_eq!(gw.reload(setup(plain.port())).await, harness::Reload::InForce);
    member(&gw, "bob", "b@example.org").await;
    until_counted(&gw, "failed", 1.0).await;
    assert_eq!(plain.received(), []);
    gw.logged(|line| line["event"] == "mail_failed").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_mail() {
    let smtp = Smtp::with_starttls().await;
    let gw = harness::gateway(Setup::default().with(&mail_section(smtp.port(), "tls: starttls"))).await;

    member(&gw, "alice", "a@example.org").await;

    until_counted(&gw, "failed", 1.0).await;
    assert_eq!(smtp.received(), []);
}

#[tokio::test]
async fn a_server_that_puts_mail_off_is_asked_again() {
    let smtp = Smtp::start().await;
    let gw = harness::gateway(Setup::default().with(&mail_section(smtp.port(), "tls: none"))).await;
    smtp.put_off(1);

    member(&gw, "alice", "a@example.org").await;

    until_counted(&gw, "sent", 1.0).await;
    assert_eq!(smtp.received().len(), 1);
}

#[tokio::test]
async fn while_the_account_store_is_away_nobody_is_told_that_mail_is_on_its_way() {
    let postgres = Postgres::start();
    let stores = Stores::Servers { database_url: postgres.database().await, redis: Arc::new(Redis::start()) };
    let smtp = Smtp::start().await;
    let mail = mail_section(smtp.port(), "tls: none");
    let gw = harness::gateway(Setup::default().with(&mail).stores(&stores)).await;
    member(&gw, "alice", "a@example.org").await;
    let token = eventually("a mail", async || smtp.received().pop()).await;
    let token = crate::email::token_of(&token.text);

    postgres.kill();

    for (path, body) in [
        ("/auth/password/forgot", json!({ "email": "a@example.org" })),
        ("/auth/email/resend", json!({ "email": "a@example.org" })),
        ("/auth/email/verify", json!({ "token": token })),
        ("/auth/password/reset", json!({ "token": token, "new_password": NEW_PASSWORD })),
    ] {
        let answer = post(&gw, path, body).await;
        assert_eq!((answer.status().as_u16(), answer.reason()), (503, Some("store_unavailable")), "{path}");
    }
    postgres.restart();
    eventually("the token to work again", async || {
        let answer = post(&gw, "/auth/email/verify", json!({ "token": token })).await;
        (answer.status() == 204).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_place_for_mail_none_is_promised() {
    let gw = harness::gateway(Setup::default().stores(&Stores::servers().await)).await;
    for path in ["/auth/password/forgot", "/auth/email/resend"] {
        let answer = post(&gw, path, json!({ "email": "a@example.org" })).await;
        assert_eq!((answer.status().as_u16(), answer.reason()), (404, Some("not_found")), "{path}");
    }
}

#[tokio::test]
async fn templates_and_links_are_the_operators() {
    let yaml = "
        auth:
          limits: off
          email: { verify_link: \"https://app.example.org/confirm?lang=en#{token}\" }
        mail:
          templates:
            verify:
              subject: \"{username}, welcome to Example\"
              text: \"Dear {username}, go to {link} before {expires}.\"
              html: { file: verify.html }
    ";
    let html = "<style>p { margin: 0 }</style><p>{username}: <a href=\"{link}\">confirm</a></p>";
    let gw = harness::gateway(Setup::from(yaml).beside("verify.html", html)).await;

    member(&gw, "alice", "a@example.org").await;

    let folder = gw.home().join("data/mail");
    let mail = eventually("a mail", async || {
        let mut folder = std::fs::read_dir(&folder).ok()?;
        let path = folder.next()?.ok()?.path();
        path.extension().is_some_and(|kind| kind == "eml").then(|| std::fs::read_to_string(path).ok())?
    })
    .await;
    // Long lines are folded by quoted-printable.
    let mail = mail.replace("=\r\n", "").replace("=3D", "=");
    assert!(mail.contains("Subject: alice, welcome to Example\r\n"), "{mail}");
    assert!(mail.contains("Dear alice, go to https://app.example.org/confirm?lang=en#pot_"), "{mail}");
    assert!(
        mail.contains("<style>p { margin: 0 }</style><p>alice: <a href=\"https://app.example.org/"),
        "{mail}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&folder).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
    let told: Value =
        post(&gw, "/auth/email/verify", json!({ "token": "x" })).await.json().await.expect("JSON");
    assert_eq!(told["code"], "one_time_token_invalid");
}
