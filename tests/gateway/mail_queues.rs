//! Whose mail waits for whose, what becomes of notices when a gateway ends, and which addresses are mailed to at all.

use http::Method;
use serde_json::{Value, json};

use crate::email::{Post, mail_section, member, post, register};
use crate::harness::{self, Gateway, PASSWORD, Reason as _, Setup, Stores, eventually};
use crate::servers::ports;
use crate::servers::smtp::Smtp;

const ADDRESS: &str = "alice@example.org";

async fn forgot(gw: &Gateway, email: &str) -> (u16, Option<String>) {
    let answer = post(gw, "/auth/password/forgot", json!({ "email": email })).await;
    (answer.status().as_u16(), answer.reason().map(str::to_owned))
}

fn count(mails: &[String], lines: &[&str]) -> usize {
    mails.iter().filter(|mail| lines.iter().all(|line| mail.lines().any(|one| one == *line))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_register_with_an_address_starve_none_of_its_owners_mail() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        member(gw, "alice", ADDRESS).await;
        post_office.confirm(0).await;
        for number in 0..6 {
            assert_eq!(register(gw, &format!("stranger{number}"), ADDRESS).await.status(), 201);
        }
        eventually("the strangers' last mail to be refused", async || {
            (gw.metrics().await.value("mails_total", &["limited"]) == Some(1.0)).then_some(())
        })
        .await;

        for _ in 0..5 {
            assert_eq!(forgot(gw, ADDRESS).await, (202, None));
        }
        eventually("five mails for a new password", async || {
            (count(&post_office.mails(), &["Subject: Reset your password", "To: alice@example.org"]) == 5)
                .then_some(())
        })
        .await;
        assert_eq!(count(&post_office.mails(), &["Subject: Confirm your email address"]), 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_place_is_taken_for_nobody_and_strangers_take_none_of_the_owners() {
    let smtp = Smtp::start().await;
    let auth = "auth: { registration: open, limits: off, email: { limit: 100/1h } }\n";
    let setup = Setup::from(auth).with(&mail_section(smtp.port(), "tls: none"));
    let gw = harness::gateway(setup).await;
    member(&gw, "alice", ADDRESS).await;
    let token = eventually("a mail", async || smtp.received().pop()).await;
    let token = json!({ "token": crate::email::token_of(&token.text) });
    assert_eq!(post(&gw, "/auth/email/verify", token).await.status(), 204);
    smtp.be_slow(true);
    // As many as are sent at once.
    for _ in 0..4 {
        assert_eq!(forgot(&gw, ADDRESS).await, (202, None));
    }

    for number in 0..300 {
        assert_eq!(forgot(&gw, &format!("nobody{number}@example.org")).await, (202, None), "{number}");
    }
    assert_eq!(forgot(&gw, ADDRESS).await, (202, None), "the queue has room");
    // Registered, but not confirmed.
    assert_eq!(register(&gw, "mallory", "m@example.org").await.status(), 201);
    let resend = async |email: &str| post(&gw, "/auth/email/resend", json!({ "email": email })).await;
    let mut last = 202;
    for _ in 0..300 {
        last = resend("m@example.org").await.status().as_u16();
    }
    assert_eq!(last, 503, "their queue is full");
    assert_eq!(resend("nobody@example.org").await.status(), 503, "which tells nothing of who has an address");
    assert_eq!(forgot(&gw, ADDRESS).await, (202, None), "the owners' queue has room");
    assert_eq!(forgot(&gw, "nobody@example.org").await, (202, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_outlives_its_gateway_and_is_sent_once() {
    let stores = Stores::servers().await;
    let nowhere = ports::reserve();
    let setup = |port: u16| Setup::from(&*mail_section(port, "tls: none")).stores(&stores);
    let first = harness::gateway(setup(nowhere.number())).await;
    let added = first.cli(&["user", "add", "alice", "--email", ADDRESS, "--confirmed"]);
    assert!(added.status.success(), "{added:?}");
    let alice = first.client("alice");
    alice.login().await;
    let change = json!({ "old_password": PASSWORD, "new_password": crate::email::NEW_PASSWORD });
    assert_eq!(alice.post("/auth/password", &change).await.status(), 200);
    first.logged(|line| line["message"] == "mail not sent yet").await;
    first.signal("KILL");
    first.end().await;

    let smtp = Smtp::start().await;
    let [second, third] =
        [harness::gateway(setup(smtp.port())).await, harness::gateway(setup(smtp.port())).await];

    let mail = eventually("the notice", async || smtp.received().pop()).await;
    assert_eq!(mail.to, [ADDRESS]);
    assert!(mail.text.lines().any(|line| line == "Your password was changed."), "{}", mail.text);
    let audited = eventually("its record", async || {
        let output = second.cli(&["audit", "list", "--event", "notice_sent", "--output", "json"]);
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        lines.lines().next().map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
    })
    .await;
    assert_eq!(
        (&audited["username"], &audited["reason"], &audited["address"]),
        (&json!("alice"), &json!("Your password was changed"), &json!("127.0.0.1"))
    );
    for gw in [second, third] {
        gw.signal("TERM");
        gw.end().await;
    }
    assert_eq!(smtp.received().len(), 1, "two gateways, one mail");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_are_sent_once_by_two_gateways_on_one_database() {
    let stores = Stores::servers().await;
    let smtp = Smtp::start().await;
    let setup = || {
        let auth = "auth: { registration: open, limits: off }\n";
        Setup::from(auth).with(&mail_section(smtp.port(), "tls: none")).stores(&stores)
    };
    let gateways = [harness::gateway(setup()).await, harness::gateway(setup()).await];
    let added = gateways[0].cli(&["user", "add", "alice", "--email", ADDRESS, "--confirmed"]);
    assert!(added.status.success(), "{added:?}");
    let clients = gateways.each_ref().map(|gw| gw.client("alice"));
    for client in &clients {
        client.login().await;
    }
    for number in 0..6 {
        let key = json!({ "name": format!("key {number}"), "password": PASSWORD });
        let made = futures::future::join_all(clients.iter().map(|client| client.post("/auth/keys", &key)));
        assert!(made.await.iter().all(|made| made.status() == 201), "{number}");
    }

    for gw in &gateways {
        gw.signal("TERM");
    }
    for gw in gateways {
        gw.end().await;
    }
    assert_eq!(smtp.received().len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_mailed_is_no_address_anywhere() {
    for post_office in Post::both("  email: { change_needs_password: false }\n").await {
        let gw = &post_office.gw;
        let alice = gw.register("alice").await;
        for bad in ["x0<victim@example.org>", "a..b@x", "a@b..c", "user@[192.0.2.1]", "user@192.0.2.1", "ä@b"]
        {
            let account = json!({ "username": "bob", "password": PASSWORD, "email": bad });
            let profile = json!({ "username": "alice", "email": bad, "password": PASSWORD });
            let mut answers = vec![post(gw, "/auth/register", account).await];
            for path in ["/auth/password/forgot", "/auth/email/resend"] {
                answers.push(post(gw, path, json!({ "email": bad })).await);
            }
            for method in [Method::PUT, Method::PATCH] {
                answers.push(alice.send(alice.request(method, "/auth/me").json(&profile)).await);
            }
            for answer in answers {
                let url = answer.url().path().to_owned();
                assert_eq!(
                    (answer.status().as_u16(), answer.reason()),
                    (400, Some("bad_request")),
                    "{bad} {url}"
                );
            }
            let output = gw.cli(&["user", "add", "bob", "--email", bad]);
            assert_eq!(output.status.code(), Some(1), "{bad}");
            let hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$5YsNIzGyDfg6hyTW2jm8CA";
            let row = json!({ "username": "bob", "password_hash": hash, "email": bad }).to_string();
            std::fs::write(gw.home().join("users.jsonl"), row).expect("its own folder");
            let output = gw.cli(&["user", "import", "users.jsonl"]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.code() == Some(1) && said.contains("email address"), "{bad}: {output:?}");
        }
        assert_eq!(post_office.mails(), Vec::<String>::new());
    }
}
