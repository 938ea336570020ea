//! Postgres on its bad days.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::store::postgres::PostgresUsers;
use portcullis::store::{Accounts, AuditEvent, CreateError};
use sqlx::{Connection, Executor, PgConnection};

use super::accounts::{new_account, note};
use super::{eventually, in_parallel};
use crate::servers;
use crate::servers::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_gateways_may_start_on_an_empty_database_at_once() {
    let url = Arc::new(servers::postgres::database().await);

    let opened = in_parallel(8, |_| {
        let url = url.clone();
        async move { PostgresUsers::connect(&url).await.map(|_| ()) }
    })
    .await;

    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
}

#[tokio::test]
async fn a_gateway_does_not_start_without_postgres_and_says_so() {
    let port = servers::ports::reserve();

    let error = PostgresUsers::connect(&format!("postgres://postgres:s3cret@{}/x", port.address())).await;

    let error = error.err().expect("nobody listens").to_string();
    let expected = format!("postgres: connecting to {}: ", port.address());
    assert!(error.starts_with(&expected) && error.contains("refused"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn losing_postgres_is_survived_without_reopening() {
    let postgres = Postgres::start();
    let users = PostgresUsers::connect(&postgres.database().await).await.unwrap();
    let alice = users.create(&new_account("alice"), &note(AuditEvent::Registered, "alice")).await.unwrap();

    postgres.kill();
    let start = Instant::now();
    assert!(users.find_by_id(alice.id).await.is_err());
    assert!(matches!(
        users.create(&new_account("bob"), &note(AuditEvent::Registered, "bob")).await,
        Err(CreateError::Store(_))
    ));
    assert!(start.elapsed() < Duration::from_secs(7), "two questions took {:?}", start.elapsed());

    postgres.restart();
    eventually("the account is found again", async || {
        users.find_by_id(alice.id).await.is_ok_and(|found| found.as_ref() == Some(&alice))
    })
    .await;
}

#[tokio::test]
async fn a_postgres_that_greets_nobody_costs_seconds_not_for_ever() {
    let postgres = Postgres::start();
    let users = PostgresUsers::connect(&postgres.database().await).await.unwrap();

    postgres.pause();
    let start = Instant::now();
    assert!(users.ping().await.is_err());
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());

    postgres.resume();
    eventually("it answers again", async || users.ping().await.is_ok()).await;
}

#[tokio::test]
async fn a_question_that_hangs_costs_seconds_not_for_ever() {
    let url = servers::postgres::database().await;
    let users = PostgresUsers::connect(&url).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut transaction = other.begin().await.unwrap();
    transaction.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();

    let start = Instant::now();
    assert!(users.find_by_username("alice").await.is_err());
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());

    transaction.rollback().await.unwrap();
    assert_eq!(users.find_by_username("alice").await.unwrap(), None);
}
