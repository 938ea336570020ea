//! How a database's schema stands to the migrations that this program knows. Migrations only add, so a program
//! runs on the schema of a later one, too: after a rollback, or while a fleet changes from one to the other.

use sqlx::migrate::{Migration, Migrator};

/// What a database says of one: its version, and the digest of what was run.
pub(super) type Applied = (i64, Vec<u8>);

/// Those that have to be run yet, in order. `Err` when one that was run isn't the one that this program knows.
pub(super) fn pending<'m>(known: &'m Migrator, applied: &[Applied]) -> Result<Vec<&'m Migration>, String> {
    let mut pending = Vec::new();
    for migration in known.iter() {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            None => pending.push(migration),
            Some((_, checksum)) if *checksum == *migration.checksum => {}
            Some((version, _)) => {
                return Err(format!("migration {version} was changed after it was applied"));
            }
        }
    }
    Ok(pending)
}

/// Says so when a later program has migrated the database.
pub(super) fn note_newer(store: &'static str, known: &Migrator, applied: &[Applied]) {
    let is_unknown = |version: &i64| !known.iter().any(|migration| migration.version == *version);
    let newer: Vec<i64> = applied.iter().map(|(version, _)| *version).filter(is_unknown).collect();
    if !newer.is_empty() {
        let migrations = newer.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            store,
            migrations,
            "a later version has migrated this database; going on with it as it is"
        );
    }
}
