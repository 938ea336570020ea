//! The table `former_usernames`, and who has a name.

use sqlx::{SqliteConnection, query_as};

use super::column::{self, micros};
use super::{SqliteUsers, audit, failed};
use crate::clock::Timestamp;
use crate::identity::{UserId, name};
use crate::store::{AuditRecord, CreateError, FormerName, StoreError};

/// What a change means that has just given the account this name in place of `former`, its own one until then; within the
/// same transaction. `Some` if it can't have the name: then the change must not be committed.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    id: UserId,
    former: Option<&str>,
    username: &str,
    now: Timestamp,
) -> sqlx::Result<Option<CreateError>> {
    if former.is_some_and(|former| name::fold(former) == name::fold(username)) {
        return Ok(None);
    }
    if let Some(refused) = refuse(connection, id, username).await? {
        return Ok(Some(refused));
    }
    take(connection, username).await?;
    if let Some(former) = former {
        leave(connection, id, former, now).await?;
    }
    Ok(None)
}

/// Why the account can't have the name that it was just given.
async fn refuse(
    connection: &mut SqliteConnection,
    id: UserId,
    username: &str,
) -> sqlx::Result<Option<CreateError>> {
    let (has_holder, had_holder): (bool, bool) = query_as(
        "SELECT EXISTS (SELECT 1 FROM users WHERE username_folded = ?1 AND id <> ?2), \
                EXISTS (SELECT 1 FROM former_usernames WHERE username_key = ?1 AND user_id <> ?2)",
    )
    .bind(name::fold(username))
    .bind(id.to_string())
    .fetch_one(connection)
    .await?;
    Ok(CreateError::of_name(has_holder, had_holder))
}

/// The account has the name again.
async fn take(connection: &mut SqliteConnection, username: &str) -> sqlx::Result<()> {
    let delete = sqlx::query("DELETE FROM former_usernames WHERE username_key = ?1");
    delete.bind(name::fold(username)).execute(connection).await.map(drop)
}

/// The account has the name no more.
pub(super) async fn leave(
    connection: &mut SqliteConnection,
    id: UserId,
    username: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO former_usernames (username_key, username, user_id, since) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (username_key) DO UPDATE \
         SET username = excluded.username, user_id = excluded.user_id, since = excluded.since",
    );
    let insert = insert.bind(name::fold(username)).bind(username.to_owned());
    insert.bind(id.to_string()).bind(micros(now)).execute(connection).await.map(drop)
}

impl SqliteUsers {
    pub(super) async fn former(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<FormerName>, StoreError> {
        let select = query_as::<_, (String, String, i64)>(
            "SELECT username, user_id, since FROM former_usernames \
             WHERE username_key > ?1 ORDER BY username_key LIMIT ?2",
        );
        let rows = select.bind(name::fold(after.unwrap_or_default())).bind(limit);
        let rows = rows.fetch_all(&self.pool).await.map_err(failed)?;
        let former = rows.into_iter().map(|(username, user_id, since)| {
            Ok(FormerName { username, user_id: column::parse(&user_id)?, since: column::instant(since)? })
        });
        former.collect()
    }

    pub(super) async fn free(&self, username: &str, note: &AuditRecord) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let delete = sqlx::query("DELETE FROM former_usernames WHERE username_key = ?1");
        let done = delete.bind(name::fold(username)).execute(&mut *transaction).await.map_err(failed)?;
        if done.rows_affected() > 0 {
            audit::append(&mut transaction, note).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(done.rows_affected() > 0)
    }
}
