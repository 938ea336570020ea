//! Limits that change: by a new file, by an operator, by a store that goes away. Nobody is refused by a rate that is
//! no longer there, and nobody gets a burst anew for it.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, Setup, Stores, eventually};
use crate::servers::redis::Redis;

fn limited(limit: &str) -> String {
    format!(
        "limits: {{ one: {{ {limit} }} }}
routes:
  - {{ path: /protected, upstream: example, limits: [one] }}
  - {{ path: \"/public/{{*rest}}\", upstream: example, access: public, limits: [one] }}"
    )
}

async fn on_every_store(limit: &str) -> [Gateway; 2] {
    let yaml = limited(limit);
    let on_redis = Setup::from(&*yaml).stores(&Stores::servers().await);
    [harness::gateway(&*yaml).await, harness::gateway(on_redis).await]
}

/// The number in a field, such as the `t` of `RateLimit`.
fn number(answer: &Response, field: &str, parameter: &str) -> u64 {
    let text = answer.headers()[field].to_str().expect("ASCII");
    let (_, rest) = text.split_once(parameter).expect("it is there");
    rest.split(';').next().expect("a value").parse().expect("a number")
}

/// How many of so many requests pass.
async fn passed(client: &Client, path: &str, requests: usize) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        passed += usize::from(client.get(path).await.status() == 200);
    }
    passed
}

async fn passes(client: &Client, path: &str) {
    let asked = async || (client.get(path).await.status() == 200).then_some(());
    eventually("a request to pass", asked).await;
}

#[tokio::test]
async fn a_raised_limit_helps_whoever_was_over_the_old_one() {
    for by in ["user", "address"] {
        for gw in on_every_store(&format!("rate: 2/1h, by: {by}")).await {
            let alice = gw.register("alice").await;
            assert_eq!(passed(&alice, "/protected", 5).await, 2);

            gw.reload(&*limited(&format!("rate: 100/1m, by: {by}"))).await;

            let first = alice.get("/protected").await;
            assert!(number(&first, "ratelimit", ";t=") <= 60, "{first:?}");
            if first.status() == 429 {
                assert_eq!(first.headers()["retry-after"], "1");
            }
            passes(&alice, "/protected").await;
        }
    }
}

#[tokio::test]
async fn two_gateways_with_two_rates_let_no_more_pass_than_both_allow() {
    let stores = Stores::servers().await;
    let slow = harness::gateway(Setup::from(&*limited("rate: 2/1h, by: user")).stores(&stores)).await;
    let quick = Setup::from(&*limited("rate: 100/1m, by: user")).stores(&stores);
    let quick = harness::gateway(quick.upstream(slow.upstream())).await;
    let alice = slow.register("alice").await;
    let there = quick.client("alice");
    there.set_token(Some(alice.token()));

    let (mut by_slow, mut by_quick) = (passed(&alice, "/protected", 3).await, 0);
    assert_eq!(by_slow, 2);
    for _ in 0..150 {
        let answer = there.get("/protected").await;
        by_quick += usize::from(answer.status() == 200);
        assert!(number(&answer, "ratelimit", ";t=") <= 60, "{answer:?}");
        by_slow += passed(&alice, "/protected", 1).await;
    }

    assert!(by_slow <= by_quick + 2, "{by_slow} by the slow one, {by_quick} by the quick one");
}

#[tokio::test]
async fn a_smaller_quota_of_the_same_caller_empties_nothing() {
    const BY_ROLE: &str = "rate: 10/1s, by: address, roles: { admin: 3/1h }";
    for gw in on_every_store(BY_ROLE).await {
        let root = gw.admin("root").await;
        assert_eq!(passed(&root, "/protected", 5).await, 3);

        // Judged by the smaller quota, which the other has used up.
        assert_eq!(passed(&gw.anonymous(), "/public/hello", 5).await, 0);

        assert_eq!(passed(&root, "/protected", 5).await, 0);
    }
}

#[tokio::test]
async fn an_operator_sees_who_is_refused_and_lets_them_begin_anew() {
    for gw in on_every_store("rate: 3/1h, by: user").await {
        let alice = gw.register("alice").await;
        assert_eq!(passed(&alice, "/protected", 5).await, 3);
        let limit = |arguments: &[&str]| {
            let output = gw.cli(&[&["limit"], arguments, &["--config", "gateway.yaml"]].concat());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.success(), text(&output.stdout), text(&output.stderr))
        };

        let (_, shown, said) = limit(&["show", "one", "--user", "alice", "--output", "json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{shown} {said}"));
        assert_eq!((&shown["limit"], &shown["remaining"]), (&"one".into(), &0.into()));
        assert!(shown["retry_seconds"].as_u64().is_some_and(|seconds| (1000..=1200).contains(&seconds)));
        let (_, text, _) = limit(&["show", "--user", "alice"]);
        assert!(text.contains("one\t3/3600s, burst 3\trefused for"), "{text}");

        let (done, text, said) = limit(&["reset", "--user", "alice"]);
        assert_eq!((done, text.as_str()), (true, "1 counter reset\n"), "{said}");
        passes(&alice, "/protected").await;
        for (wrong, why) in [
            (vec!["reset", "nosuch", "--user", "alice"], "there is no limit \"nosuch\""),
            (vec!["reset", "--user", "nobody"], "there is no such account"),
            (vec!["reset", "one", "--value", "x"], "no limit counts such callers"),
        ] {
            let (done, _, said) = limit(&wrong);
            assert!(!done && said.contains(why), "{wrong:?}: {said}");
        }
        assert!(limit(&["reset", "one", "--address", "127.0.0.1"]).0, "who has no user is counted so");
        for path in ["/api/limits/show", "/api/limits/reset"] {
            let asked = gw.admin_request(Method::POST, path).json(&json!({ "user": "alice" }));
            assert_eq!(asked.send().await.expect("the admin port answers").status(), 401, "{path}");
        }
    }
}

#[tokio::test]
async fn outages_of_the_store_give_nobody_a_fresh_burst() {
    let redis = Redis::start();
    let setup =
        Setup::from(&*limited("rate: 20/1h, by: address")).stores(&Stores::on_redis(redis.url()).await);
    let gw = harness::gateway(setup).await;
    let client = gw.anonymous();
    let mut all = passed(&client, "/public/hello", 15).await;
    assert_eq!(all, 15);

    for _ in 0..3 {
        redis.kill();
        all += passed(&client, "/public/hello", 10).await;
        // It has forgotten everything.
        redis.restart();
        let ready = async || (gw.readiness().await == Some(200)).then_some(());
        eventually("the gateway to have its store again", ready).await;
        all += passed(&client, "/public/hello", 10).await;
    }

    // What was leased and not used at the first outage is lost.
    assert!((17..=20).contains(&all), "{all}");
}

#[tokio::test]
async fn the_policy_that_a_caller_is_told_is_that_of_their_role() {
    for gw in on_every_store("rate: 5/1m, by: user, roles: { admin: 50/1m }").await {
        for (client, policy) in
            [(gw.register("alice").await, "\"one\";q=5;w=60"), (gw.admin("root").await, "\"one\";q=50;w=60")]
        {
            let answer = client.get("/protected").await;
            assert_eq!(answer.headers()["ratelimit-policy"], policy);
        }
    }
}

#[tokio::test]
async fn a_refusal_in_the_log_names_the_limit_and_the_user() {
    for gw in on_every_store("rate: 1/1h, by: user").await {
        let alice = gw.register("alice").await;
        passed(&alice, "/protected", 2).await;

        let line = gw.logged(|line| line["status"] == 429).await;

        assert_eq!((&line["limit"], &line["reason"]), (&"one".into(), &"rate_limited".into()));
        assert_eq!(line["user_id"], alice.id().await);
    }
}
