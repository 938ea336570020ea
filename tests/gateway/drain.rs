//! How the gateway ends: without dropping what it has begun, or at once.

use std::time::Instant;

use reqwest::Method;
use tokio::net::TcpStream;

use crate::harness::{self, Gateway, eventually};

fn drain(drain: &str, shutdown_timeout: &str) -> String {
    format!(
        "listen:
  proxy: [{{ address: \"${{PROXY}}\" }}]
  admin: \"${{ADMIN}}\"
  drain: {drain}
  shutdown_timeout: {shutdown_timeout}
routes:
  - {{ path: /slow, upstream: example, access: public }}
  - {{ path: \"/public/{{*rest}}\", upstream: example, access: public }}
"
    )
}

async fn is_refused(gw: &Gateway) -> bool {
    TcpStream::connect(gw.address()).await.is_err()
}

/// Until the request is at the upstream.
async fn until_in_flight(gw: &Gateway) {
    eventually("the slow request", async || (gw.upstream_calls("/slow").await > 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_request_in_flight_finish_and_takes_nothing_new() {
    let gw = harness::gateway(&*drain("2s", "30s")).await;
    let slow = {
        let client = gw.anonymous();
        tokio::spawn(async move { client.get("/slow?ms=6000").await })
    };
    until_in_flight(&gw).await;

    gw.signal("TERM");
    eventually("/readyz to say 503", async || (gw.readiness().await == Some(503)).then_some(())).await;
    let during = gw.anonymous().get("/public/hello").await;
    assert_eq!(during.status(), 200, "load balancers have not noticed yet");
    eventually("new connections to be refused", async || is_refused(&gw).await.then_some(())).await;

    assert!(!slow.is_finished(), "it was in flight all the while");
    let answer = slow.await.expect("no panic");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.expect("a whole body"), "{\"ms\":6000}");
    let status = gw.end().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let line = gw.logged(|line| line["path"] == "/slow").await;
    assert_eq!(line["status"], 200, "the last lines of the access log are written");
}

#[tokio::test]
async fn sigterm_without_a_request_in_flight_ends_as_soon_as_the_drain_is_over() {
    let gw = harness::gateway(&*drain("0s", "30s")).await;
    let asked = Instant::now();

    gw.signal("TERM");

    assert_eq!(gw.end().await.code(), Some(0));
    assert!(asked.elapsed().as_secs() < 10, "not the whole shutdown_timeout: {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let gw = harness::gateway(&*drain("0s", "1s")).await;
    let client = gw.anonymous();
    let slow = tokio::spawn(client.request(Method::GET, "/slow?ms=60000").send());
    until_in_flight(&gw).await;

    gw.signal("TERM");

    gw.end().await;
    assert!(slow.await.expect("no panic").is_err(), "it was cut off");
}

#[tokio::test]
async fn sigint_ends_at_once() {
    let gw = harness::gateway(&*drain("30s", "30s")).await;
    let client = gw.anonymous();
    let slow = tokio::spawn(client.request(Method::GET, "/slow?ms=60000").send());
    until_in_flight(&gw).await;
    let asked = Instant::now();

    gw.signal("INT");

    gw.end().await;
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    assert!(slow.await.expect("no panic").is_err(), "it was cut off");
}
