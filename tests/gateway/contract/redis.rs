//! Redis on its bad days, and what an operator sees in it.

use std::time::{Duration, Instant};

use portcullis::store::lockouts::{Lane, Outcome, Remembered, Source, Target};
use portcullis::store::redis::RedisState;
use portcullis::store::{
    Gatekeeper, Label, LockoutRule, Lockouts, Parts, Purge, Purges, ResponseParts, Responses, Revocation,
    Revocations, Sessions, Standing,
};
use redis::Commands;

use super::responses::{in_parts, keep_parts};
use super::revocations::bearer;
use super::sessions::{bound, presentation, session};
use super::{HOUR, eventually, now};
use crate::servers::redis::Redis;

#[tokio::test]
async fn an_operator_sees_the_blacklist_with_its_expiry() {
    let server = Redis::start();
    let state = RedisState::open(&server.url()).unwrap();
    let bearer = bearer();

    state.revoke(Revocation::Token(bearer.token), now() + HOUR).await.unwrap();
    state.revoke(Revocation::Session(bearer.session), now() + HOUR).await.unwrap();
    state.revoke(Revocation::UserBelow(bearer.user, 7), now() + HOUR).await.unwrap();

    let mut redis = server.operator();
    for (key, value) in [
        (format!("portcullis:revoked:jti:{}", bearer.token), 1),
        (format!("portcullis:revoked:sid:{}", bearer.session), 1),
        (format!("portcullis:revoked:user:{}", bearer.user), 7),
    ] {
        let held: Option<u64> = redis.get(&key).unwrap();
        let seconds: i64 = redis.ttl(&key).unwrap();
        assert_eq!(held, Some(value), "{key}");
        assert!((3590..=3600).contains(&seconds), "{key} expires in {seconds} s");
    }
}

#[tokio::test]
async fn every_key_is_ours_and_expires() {
    let server = Redis::start();
    let state = RedisState::open(&server.url()).unwrap();
    let (live, ended) = (session(), session());
    let rule = LockoutRule { failures: 3, for_: HOUR };

    state.start(&live, bound()).await.unwrap();
    state.start(&ended, bound()).await.unwrap();
    state.rotate(live.id, presentation(1, now())).await.unwrap();
    state.end(ended.id, now() + HOUR).await.unwrap();
    let (nobody, from) =
        (Target::Unknown("alice"), Source { network: "203.0.113.7".to_owned(), device: None });
    let account = Target::Account(live.user_id);
    for target in [nobody, account] {
        state.begin(target, &from, rule, now()).await.unwrap();
    }
    let until = now() + HOUR;
    let remember = Some(Remembered { network: &from.network, until });
    state.settle(account, &Lane::Strangers, Outcome::Right { remember }, rule, now()).await.unwrap();
    state.begin(account, &from, rule, now()).await.unwrap();
    state.admit(Some(bearer()), &[super::gatekeeper::hourly("all:address:a")]).await.unwrap();

    let mut redis = server.operator();
    let keys: Vec<String> = redis.keys("*").unwrap();
    assert_eq!(keys.len(), 8, "{keys:?}");
    for key in keys {
        let millis: i64 = redis.pttl(&key).unwrap();
        assert!(key.starts_with("portcullis:"), "{key}");
        assert!(millis > 0, "{key} never expires");
    }
}

#[tokio::test]
async fn however_much_is_invalidated_the_log_is_bounded_and_keeps_the_purges() {
    let server = Redis::start();
    let state = RedisState::open(&server.url()).unwrap();
    state.purge(&Purge::Tag("red".into())).await.unwrap();
    for batch in 0..50_u64 {
        let marks: Vec<_> = (0..100).map(|number| Purge::Answer(batch * 100 + number)).collect();
        futures::future::try_join_all(marks.iter().map(|mark| state.purge(mark))).await.unwrap();
    }

    let mut redis = server.operator();
    let entries: u64 = redis::cmd("XLEN").arg("portcullis:{revoked}:purges").query(&mut redis).unwrap();
    assert_eq!(entries, 4096 + 1);
    let other = RedisState::open(&server.url()).unwrap();
    other.follow_purges();
    let label = |key, tag: &str| Label { key, tags: vec![tag.to_owned()], ..Label::default() };
    eventually("the log is read", async || other.marks().is_current()).await;
    assert!(!other.marks().allows(&label(9999, "red")), "the purge");
    assert!(!other.marks().allows(&label(4999, "blue")), "the newest");
    assert!(other.marks().allows(&label(0, "blue")), "the oldest");
}

#[tokio::test]
async fn the_parts_of_what_was_replaced_or_forgotten_can_be_read_for_a_minute_more() {
    let server = Redis::start();
    let state = RedisState::open(&server.url()).unwrap();
    let [first, second] = [keep_parts(&state).await, keep_parts(&state).await];
    let lives = |parts: Parts| -> Vec<i64> {
        let mut redis = server.operator();
        let key = |number| format!("portcullis:cache:part:{{{}}}:{number}", parts.id);
        (0..3).map(|number| redis.pttl(key(number)).unwrap()).collect()
    };
    let are =
        |lives: Vec<i64>, span: std::ops::RangeInclusive<i64>| lives.iter().all(|life| span.contains(life));
    for parts in [first, second] {
        assert!(state.keep_parts_for(parts, HOUR).await.unwrap());
    }
    state.keep("key", &in_parts(first), HOUR).await.unwrap();

    state.keep("key", &in_parts(first), HOUR).await.unwrap();
    assert!(are(lives(first), 3_500_000..=3_600_000), "they are still its own");
    state.keep("key", &in_parts(second), HOUR).await.unwrap();
    assert!(are(lives(first), 50_000..=60_000), "{:?}", lives(first));
    assert!(are(lives(second), 3_500_000..=3_600_000));
    state.forget("key").await.unwrap();
    assert!(are(lives(second), 50_000..=60_000));
}

#[tokio::test]
async fn a_killed_redis_is_refused_at_once_and_used_again_after_its_restart() {
    let server = Redis::start_durable();
    let state = RedisState::open(&server.url()).unwrap();
    let bearer = bearer();
    state.revoke(Revocation::Token(bearer.token), now() + HOUR).await.unwrap();
    assert_eq!(state.admit(Some(bearer), &[]).await.unwrap().standing, Standing::Revoked);

    server.kill();
    let start = Instant::now();
    for _ in 0..20 {
        let error = state.admit(Some(bearer), &[]).await.expect_err("nobody listens");
        assert_eq!(error.store, "redis");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "20 refusals took {:?}", start.elapsed());

    server.restart();
    // The scripts went with the old process; the revocation didn't.
    eventually("the revocation counts again", async || {
        state.admit(Some(bearer), &[]).await.is_ok_and(|admission| admission.standing == Standing::Revoked)
    })
    .await;
}

#[tokio::test]
async fn a_restart_between_two_questions_goes_unnoticed() {
    let server = Redis::start();
    let state = RedisState::open(&server.url()).unwrap();
    state.end(session().id, now() + HOUR).await.unwrap();

    server.kill();
    server.restart();

    let admission = state.admit(Some(bearer()), &[]).await.expect("it reconnects and sends the script again");
    assert_eq!(admission.standing, Standing::Good);
}

#[tokio::test]
async fn a_redis_that_hangs_fails_fast_and_is_used_again_when_it_goes_on() {
    let server = Redis::start();
    let state = RedisState::open(&server.url()).unwrap();
    state.ping().await.unwrap();

    server.pause();
    let start = Instant::now();
    for _ in 0..3 {
        assert!(state.ping().await.is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(2), "3 refusals took {:?}", start.elapsed());

    server.resume();
    eventually("it answers again", async || state.ping().await.is_ok()).await;
}

#[tokio::test]
async fn a_gateway_may_start_before_its_redis() {
    let server = Redis::start();
    server.kill();
    let state = RedisState::open(&server.url()).unwrap();
    assert!(state.ping().await.is_err());

    server.restart();

    eventually("it is found", async || state.ping().await.is_ok()).await;
}

#[test]
fn a_store_outlives_the_runtimes_that_use_it() {
    let server = Redis::start();
    let state = RedisState::open(&server.url()).unwrap();

    for _ in 0..5 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(state.ping()).expect("every runtime gets a connection of its own");
    }
}

#[test]
fn a_wrong_url_is_refused_at_once() {
    assert!(RedisState::open("http://localhost").is_err());
}
