//! Opens a database file: for its owner only, durable, and with the current schema.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlitePool};

use super::{failed, priority};
use crate::store::StoreError;
use crate::store::schema::note_newer;

/// For another process to finish its write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn open(
    path: &Path,
    migrations: &Migrator,
    connections: u32,
) -> Result<SqlitePool, StoreError> {
    let in_file = |error: &dyn std::fmt::Display| failed(format_args!("{}: {error}", path.display()));
    create(path).map_err(|error| in_file(&error))?;
    migrate(path, migrations).await.map_err(|error| in_file(&error))?;
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A connection to a file doesn't go stale.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(|_, _| {
            Box::pin(async {
                priority::step_back();
                Ok(())
            })
        })
        .connect_lazy_with(options(path));
    Ok(pool)
}

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .thread_name(priority::thread_name)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
}

/// The file holds password hashes. SQLite gives its companions (`-wal`, `-shm`) the same mode.
fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder(path))?;
    File::options().create(true).append(true).mode(0o600).open(path)?;
    Ok(())
}

/// SQLite has no lock that spans several migrations, so the folder serves as one: of several
/// processes that start at once, one migrates and the others find it done.
async fn migrate(path: &Path, migrations: &Migrator) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let folder = folder(path);
    let locked = tokio::task::spawn_blocking(move || {
        let folder = File::open(folder)?;
        folder.lock()?;
        io::Result::Ok(folder)
    });
    let _lock = locked.await??;
    let mut connection = options(path).connect().await?;
    let mut known = Migrator::with_migrations(migrations.iter().cloned().collect());
    known.set_ignore_missing(true);
    // What `run` does, which can't be sent to another thread with a borrowed connection.
    known.run_direct(None, &mut connection, false).await?;
    let applied = sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version");
    note_newer("sqlite", migrations, &applied.fetch_all(&mut connection).await?);
    connection.close().await?;
    Ok(())
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.into(),
        _ => ".".into(),
    }
}
