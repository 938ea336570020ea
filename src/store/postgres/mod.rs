//! Accounts, the audit log and generated keys in Postgres.
//!
//! Losing Postgres is survived: connections are tested before use and replaced, and no question
//! waits longer than a few seconds for an answer.

mod accounts;
mod api_keys;
mod audit;
mod connection;
mod keys;
mod names;
mod notices;
mod one_time_tokens;
mod pool;
mod prepare;
mod second_factors;
mod users;

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{PgConnection, Row, raw_sql};

use super::StoreError;
use connection::ConnectError;
use pool::{Pool, State};
use prepare::prepare;

/// To get a connection out of the pool, or a new one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// For the whole of a question. A Postgres that hangs takes connections and says nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECTIONS: u32 = 10;
/// Between two attempts to reach a database that was away at the start.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// `storage.users` in Postgres.
pub struct PostgresUsers {
    pool: Pool,
}

impl PostgresUsers {
    /// Brings the schema up to date and opens the store. `Err` when Postgres can't be reached or
    /// refuses a migration. Several gateways may do this at once: a lock lets one of them migrate.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        let store = Self::over(&options);
        let found = prepare(&options).await.map_err(|refused| refused.error)?;
        store.pool.state.found.get_or_init(|| found);
        Ok(store)
    }

    /// The same, but a database that is away or takes no writes is waited for, on the current runtime: until
    /// then, every question fails. `Err` when waiting wouldn't help.
    pub async fn connect_in_time(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        let store = Self::over(&options);
        match prepare(&options).await {
            Ok(found) => _ = store.pool.state.found.set(found),
            Err(refused) if refused.is_temporary => {
                note_waiting(&store.pool.state, &refused);
                tokio::spawn(wait(options, Arc::downgrade(&store.pool.state)));
            }
            Err(refused) => return Err(refused.error),
        }
        Ok(store)
    }

    fn over(options: &PgConnectOptions) -> Self {
        let connections = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(takes_writes(connection)))
            .connect_lazy_with(options.clone());
        Self { pool: Pool { connections, state: Arc::default() } }
    }
}

/// As libpq does: who names a root certificate wants the server's checked against it, with `sslmode=require` too.
fn verified_by_its_root(options: PgConnectOptions, url: &str) -> PgConnectOptions {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names_root = query.split('&').any(|part| part.starts_with("sslrootcert="));
    match options.get_ssl_mode() {
        PgSslMode::Require if names_root => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    }
}

/// Not to be shown: it may hold a password.
fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(failed)?;
    // Poolers take only what they know of at the start of a connection, and no column is a float.
    let options = verified_by_its_root(options, url);
    Ok(options.application_name("portcullis").extra_float_digits(None))
}

/// A connection that was idle may have died, or lead to a server that was demoted: it is closed then, and the
/// next one goes where the name leads by now.
async fn takes_writes(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let row = raw_sql("SHOW transaction_read_only").fetch_one(connection).await?;
    Ok(row.try_get::<String, _>(0)? == "off")
}

/// Until the database could be prepared, or nobody holds the store any more.
async fn wait(options: PgConnectOptions, state: Weak<State>) {
    let mut pause = FIRST_WAIT;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_WAIT);
        let Some(state) = state.upgrade() else { return };
        match prepare(&options).await {
            Ok(found) => {
                tracing::info!("the account store is there");
                _ = state.found.set(found);
                return;
            }
            Err(refused) => note_waiting(&state, &refused),
        }
    }
}

/// Says each cause once.
fn note_waiting(state: &State, refused: &ConnectError) {
    let cause = refused.error.cause.clone();
    let mut known = state.cause.lock();
    if *known != cause {
        tracing::warn!(cause, "the account store can't be used yet; serving what needs none meanwhile");
        *known = cause;
    }
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::new("postgres", error)
}

/// The answer, if it comes in time.
async fn in_time<T>(question: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match tokio::time::timeout(ANSWER_TIMEOUT, question).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(sqlx::Error::Io(elapsed.into())),
    }
}

/// Versions start at 1 and go up by one; the column is signed because SQL has no other.
fn version(column: i64) -> Result<u64, StoreError> {
    u64::try_from(column).map_err(|_| failed("a version is negative"))
}

/// The reverse of [`version`]; what doesn't fit is beyond every version there is.
fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_certificate_is_never_ignored() {
        let mode = |query: &str| {
            let url = format!("postgres://gateway@db/portcullis{query}");
            verified_by_its_root(url.parse().expect("a URL"), &url).get_ssl_mode()
        };

        assert!(matches!(mode("?sslmode=require&sslrootcert=/ca.pem"), PgSslMode::VerifyCa));
        assert!(matches!(mode("?sslrootcert=/ca.pem&sslmode=verify-full"), PgSslMode::VerifyFull));
        assert!(matches!(mode("?sslmode=require"), PgSslMode::Require));
        assert!(matches!(mode(""), PgSslMode::Prefer));
    }
}
