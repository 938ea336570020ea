//! Accounts, the audit log and generated keys in Postgres.
//!
//! Losing Postgres is survived: connections are tested before use and replaced, and no question
//! waits longer than a few seconds for an answer.

mod accounts;
mod api_keys;
mod audit;
mod keys;
mod names;
mod notices;
mod one_time_tokens;
mod second_factors;
mod users;

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgPool};
use tokio::time::error::Elapsed;

use super::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// To get a connection out of the pool, or a new one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// For the whole of a question. A Postgres that hangs takes connections and says nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Migrations may rewrite a table, and wait for another gateway that does.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECTIONS: u32 = 10;

/// `storage.users` in Postgres.
pub struct PostgresUsers {
    pool: PgPool,
}

impl PostgresUsers {
    /// Brings the schema up to date and opens the store. `Err` when Postgres can't be reached or
    /// refuses a migration. Several gateways may do this at once: a lock lets one of them migrate.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(failed)?;
        let options = verified_by_its_root(options, url).application_name("portcullis");
        migrate(&options).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self { pool })
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

/// On a connection of its own, so that none is bound to the runtime of whoever starts the gateway.
async fn migrate(options: &PgConnectOptions) -> Result<(), StoreError> {
    let connecting = format!("connecting to {}:{}", options.get_host(), options.get_port());
    let connect = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect());
    let mut connection = during(&connecting, connect.await)?;
    // What `run` does, which can't be sent to another thread with a borrowed connection.
    let run = MIGRATIONS.run_direct(None, &mut connection, false);
    during("migrating", tokio::time::timeout(MIGRATION_TIMEOUT, run).await)?;
    connection.close().await.map_err(failed)
}

fn during<T, E: std::fmt::Display>(
    activity: &str,
    outcome: Result<Result<T, E>, Elapsed>,
) -> Result<T, StoreError> {
    match outcome {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failed(format_args!("{activity}: {error}"))),
        Err(_) => Err(failed(format_args!("{activity}: no answer in time"))),
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
