//! What owners of accounts are told by mail of changes in them.

use http::Method;
use serde_json::{Value, json};

use crate::email::{NEW_PASSWORD, Post, mail_section, member, post, reset};
use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Setup, Stores};
use crate::second_factor::{confirmation, enrol};

const ADDRESS: &str = "alice@example.org";

impl Post {
    /// It is one sentence on a line of its own.
    async fn notice(&self, told: &str) -> String {
        let mail = self.mail_with(&format!("{told}.")).await;
        assert!(mail.lines().any(|line| line == format!("To: {ADDRESS}")), "{mail}");
        mail
    }
}

/// Her address is confirmed.
async fn alice(post_office: &Post) -> Client {
    let alice = member(&post_office.gw, "alice", ADDRESS).await;
    post_office.confirm(0).await;
    alice
}

async fn with_new_password(gw: &Gateway) -> Client {
    let credentials = json!({ "username": "alice", "password": NEW_PASSWORD });
    let granted = post(gw, "/auth/login", credentials).await;
    assert_eq!(granted.status(), 200);
    let granted: Value = granted.json().await.expect("tokens");
    let alice = gw.client("alice");
    alice.set_token(granted["access_token"].as_str().map(str::to_owned));
    alice
}

async fn change_password(client: &Client) -> u16 {
    let passwords = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
    let answer = client.post("/auth/password", &passwords).await;
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_hear_of_another_password_and_another_address_where_they_were_reached_before() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        let alice = alice(&post_office).await;

        assert_eq!(change_password(&alice).await, 200);
        let notice = post_office.notice("Your password was changed").await;
        assert!(notice.contains("Subject: Your account was changed"), "{notice}");
        assert!(notice.contains("Hello alice,"), "{notice}");
        assert!(notice.contains("From the network address: 127.0.0.1"), "{notice}");
        gw.logged(|line| line["event"] == "notice_sent" && line["detail"] == "Your password was changed")
            .await;

        let alice = with_new_password(gw).await;
        let change = json!({ "email": "other@example.org", "password": NEW_PASSWORD });
        let change = alice.request(Method::PATCH, "/auth/me").json(&change);
        assert_eq!(alice.send(change).await.status(), 200);
        let asked = "Another address was given for your account; it is yet to be confirmed";
        post_office.notice(asked).await;
        post_office.confirm_address("other@example.org").await;
        post_office.notice("This is no longer the email address of your account").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_hear_of_a_password_that_was_reset_and_of_an_account_that_was_deleted() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        alice(&post_office).await;
        post(gw, "/auth/password/forgot", json!({ "email": ADDRESS })).await;
        let token = post_office.token(1).await;

        assert_eq!(reset(gw, &token, NEW_PASSWORD).await.status(), 204);
        post_office.notice("Your password was changed").await;

        let alice = with_new_password(gw).await;
        let delete = alice.request(Method::DELETE, "/auth/me").json(&json!({ "password": NEW_PASSWORD }));
        assert_eq!(alice.send(delete).await.status(), 204);
        post_office.notice("Your account was deleted").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_hear_of_factors_codes_and_keys() {
    let post_office = Post::embedded("").await;
    let alice = alice(&post_office).await;

    assert_eq!(
        alice.post("/auth/keys", &json!({ "name": "report", "password": PASSWORD })).await.status(),
        201
    );
    post_office.notice("An API key was made that acts for you").await;
    let (_, codes) = enrol(&alice).await;
    post_office.notice("A second factor was turned on for your account").await;
    let renewed = alice.post("/auth/mfa/recovery-codes", &confirmation(&codes[0])).await;
    let renewed: Value = renewed.json().await.expect("recovery codes");
    post_office.notice("Your account was given new recovery codes; those before are void").await;
    let code = renewed["recovery_codes"][0].as_str().expect("ten of them");
    assert_eq!(alice.post("/auth/mfa/disable", &confirmation(code)).await.status(), 204);
    post_office.notice("The second factor of your account was turned off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_hear_of_another_name_and_of_keys_and_sessions_that_are_ended() {
    for post_office in Post::both("").await {
        let alice = alice(&post_office).await;
        post_office.gw.client("alice").login().await;
        let wishes = json!({ "name": "report", "password": PASSWORD });
        let key: Value = alice.post("/auth/keys", &wishes).await.json().await.expect("a key");
        let sessions: Value = alice.get("/auth/sessions").await.json().await.expect("sessions");
        let mut sessions = sessions["sessions"].as_array().expect("a list").iter();
        let other = sessions.find(|session| session["current"] == false).expect("another one").clone();
        let end = async |kind: &str, of: &Value| {
            let path = format!("/auth/{kind}/{}", of["id"].as_str().expect("an id"));
            let request = alice.request(Method::DELETE, &path).json(&json!({ "password": PASSWORD }));
            alice.send(request).await.status().as_u16()
        };

        assert_eq!(end("keys", &key).await, 204);
        post_office.notice("An API key of your account was deleted").await;
        assert_eq!(end("sessions", &other).await, 204);
        post_office.notice("A session of your account was ended").await;
        let rename = json!({ "username": "alicia", "password": PASSWORD });
        assert_eq!(alice.send(alice.request(Method::PATCH, "/auth/me").json(&rename)).await.status(), 200);
        let told = post_office.notice("The username of your account was changed").await;
        assert!(told.contains("Hello alice,"), "{told}");
    }
}

/// All that waits goes out before the end, so that what isn't there then was never sent.
async fn subjects_at_the_end(post_office: &Post) -> Vec<String> {
    post_office.gw.signal("TERM");
    post_office.gw.end().await;
    let subject =
        |mail: &String| mail.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
    post_office.mails().iter().filter_map(subject).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_at_an_address_that_may_be_a_strangers_nor_where_notices_are_off() {
    let unconfirmed = Post::embedded("").await;
    let bob = member(&unconfirmed.gw, "bob", "bob@example.org").await;
    assert_eq!(change_password(&bob).await, 200);
    assert_eq!(subjects_at_the_end(&unconfirmed).await, ["Confirm your email address"]);

    let off = Post::embedded("  email: { notices: false }\n").await;
    assert_eq!(change_password(&alice(&off).await).await, 200);
    assert_eq!(subjects_at_the_end(&off).await, ["Confirm your email address"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_though_no_mail_can_be_sent() {
    let nowhere = crate::servers::ports::reserve();
    let setup = Setup::from(&*mail_section(nowhere.number(), "tls: none")).stores(&Stores::servers().await);
    let gw = harness::gateway(setup).await;
    let added = gw.cli(&["user", "add", "alice", "--email", ADDRESS, "--confirmed"]);
    assert!(added.status.success(), "{added:?}");
    let alice = gw.client("alice");
    alice.login().await;

    assert_eq!(change_password(&alice).await, 200);

    gw.logged(|line| line["message"] == "mail not sent yet").await;
    let former = json!({ "username": "alice", "password": PASSWORD });
    assert_eq!(post(&gw, "/auth/login", former).await.reason(), Some("bad_credentials"));
}
