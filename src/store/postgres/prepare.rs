//! Before the first question: brings the schema up to date, and finds out how the database is reached.

use std::time::Duration;

use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row, raw_sql};

use super::connection::{ConnectError, connect};
use crate::store::schema::{Applied, note_newer, pending};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Migrations may rewrite a table, and wait for another gateway that does.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);
/// Of the lock that lets one of several gateways migrate; nobody else's in the gateway's database.
const LOCK: i64 = 0x706f_7274_6375_6c6c;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// What was found out about the way to the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Another connection may carry on with the next transaction.
    pub is_pooled: bool,
}

/// On a connection of its own, so that none is bound to the runtime of whoever starts the gateway.
pub(super) async fn prepare(options: &PgConnectOptions) -> Result<Found, ConnectError> {
    let (mut connection, found) = connect(options).await?;
    let migrated = tokio::time::timeout(MIGRATION_TIMEOUT, bring_up_to_date(&mut connection)).await;
    match migrated {
        Ok(outcome) => outcome?,
        Err(_) => return Err(ConnectError::of("migrating", sqlx::Error::PoolTimedOut)),
    }
    // It was of use; how it ends changes nothing.
    let _ = connection.close().await;
    Ok(found)
}

/// A database that has all migrations is only read, so that a role without CREATE, and a database that takes no
/// writes just now, will do.
async fn bring_up_to_date(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let reading = |error| ConnectError::of("reading the schema's version", error);
    let applied = applied(connection).await.map_err(reading)?;
    note_newer("postgres", &MIGRATIONS, &applied);
    if pending(&MIGRATIONS, &applied).map_err(ConnectError::final_one)?.is_empty() {
        return Ok(());
    }
    migrate(connection).await
}

async fn applied(connection: &mut PgConnection) -> sqlx::Result<Vec<Applied>> {
    let table = raw_sql("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    if !table.fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
        return Ok(Vec::new());
    }
    let rows = raw_sql("SELECT version, checksum FROM _sqlx_migrations ORDER BY version");
    let rows = rows.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// All that is missing in one transaction, as a lock of a session would stay with a pooler's connection.
async fn migrate(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let migrating = |error| ConnectError::of("migrating", error);
    let mut transaction = connection.begin().await.map_err(migrating)?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).persistent(false);
    lock.execute(&mut *transaction).await.map_err(migrating)?;
    raw_sql(TABLE).execute(&mut *transaction).await.map_err(migrating)?;
    // Another gateway may have been first.
    let applied = applied(&mut transaction).await.map_err(migrating)?;
    for migration in pending(&MIGRATIONS, &applied).map_err(ConnectError::final_one)? {
        apply(&mut transaction, migration).await.map_err(migrating)?;
    }
    transaction.commit().await.map_err(migrating)
}

async fn apply(connection: &mut PgConnection, migration: &Migration) -> sqlx::Result<()> {
    raw_sql(migration.sql.clone()).execute(&mut *connection).await?;
    let note = sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, TRUE, $3, -1)",
    );
    let note = note.bind(migration.version).bind(&*migration.description).bind(&*migration.checksum);
    note.persistent(false).execute(connection).await.map(drop)
}
