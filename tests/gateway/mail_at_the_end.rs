//! What becomes of mail that waits for a slow server when the gateway is told to end.

use std::time::Instant;

use serde_json::json;

use crate::email::{mail_section, register};
use crate::harness::{self, Gateway, Setup};
use crate::servers::smtp::Smtp;

/// With mails for five accounts that a slow server has taken none of.
async fn with_mails_on_their_way(shutdown_timeout: &str) -> (Gateway, Smtp) {
    let smtp = Smtp::start().await;
    let listen = format!(
        "listen: {{ proxy: [{{ address: \"${{PROXY}}\" }}], admin: \"${{ADMIN}}\", drain: 0s, shutdown_timeout: {shutdown_timeout} }}"
    );
    let setup = Setup::from(&*listen).with(&mail_section(smtp.port(), "tls: none"));
    let gw = harness::gateway(setup).await;
    smtp.be_slow(true);
    for number in 0..5 {
        let name = format!("user{number}");
        assert_eq!(register(&gw, &name, &format!("{name}@example.org")).await.status(), 201);
    }
    (gw, smtp)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_mail_go_out_that_was_asked_for() {
    let (gw, smtp) = with_mails_on_their_way("30s").await;

    gw.signal("TERM");
    let waiting = gw.logged(|line| line["message"] == "drained but for mail that is on its way").await;
    assert_eq!(waiting["requests"], json!(5));
    assert_eq!(smtp.received().len(), 0);
    smtp.be_slow(false);

    assert_eq!(gw.end().await.code(), Some(0));
    assert_eq!(smtp.received().len(), 5);
    assert!(!gw.log().contains("mail not sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_cant_go_out_in_time_is_told_of_and_holds_up_no_end() {
    for (signal, shutdown_timeout) in [("TERM", "1s"), ("INT", "30s")] {
        let (gw, smtp) = with_mails_on_their_way(shutdown_timeout).await;
        let asked = Instant::now();

        gw.signal(signal);

        gw.end().await;
        assert!(asked.elapsed().as_secs() < 10, "{signal}: {:?}", asked.elapsed());
        let lost = gw.logged(|line| line["message"] == "mail not sent: the gateway ends").await;
        assert_eq!((&lost["requests"], smtp.received().len()), (&json!(5), 0), "{signal}");
    }
}
