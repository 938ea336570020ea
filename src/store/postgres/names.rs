//! The table `former_usernames`, and who has a name.

use sqlx::query_as;
use uuid::Uuid;

use super::pool::Line;
use super::{PostgresUsers, audit, failed, in_time};
use crate::clock::Timestamp;
use crate::identity::{UserId, name};
use crate::store::{AuditRecord, CreateError, FormerName, StoreError};

/// What a change means that has just given the account this name in place of `former`, its own one until then; within the
/// same transaction. `Some` if it can't have the name: then the change must not be committed.
pub(super) async fn settle(
    connection: &mut Line,
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

/// Why the account can't have the name that it was just given. Asked after the
/// change, since the unique index has made the change wait for whoever was about to give the name up.
async fn refuse(connection: &mut Line, id: UserId, username: &str) -> sqlx::Result<Option<CreateError>> {
    let (has_holder, had_holder): (bool, bool) = query_as(
        "SELECT EXISTS (SELECT 1 FROM users WHERE username_folded = $1 AND id <> $2), \
                EXISTS (SELECT 1 FROM former_usernames WHERE username_key = $1 AND user_id <> $2)",
    )
    .bind(name::fold(username))
    .bind(id)
    .fetch_one(connection)
    .await?;
    Ok(CreateError::of_name(has_holder, had_holder))
}

/// The account has the name again.
async fn take(connection: &mut Line, username: &str) -> sqlx::Result<()> {
    let delete = sqlx::query("DELETE FROM former_usernames WHERE username_key = $1");
    delete.bind(name::fold(username)).execute(connection).await.map(drop)
}

/// The account has the name no more.
pub(super) async fn leave(
    connection: &mut Line,
    id: UserId,
    username: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO former_usernames (username_key, username, user_id, since) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (username_key) DO UPDATE \
         SET username = excluded.username, user_id = excluded.user_id, since = excluded.since",
    );
    let insert = insert.bind(name::fold(username)).bind(username).bind(id).bind(now);
    insert.execute(connection).await.map(drop)
}

impl PostgresUsers {
    pub(super) async fn former(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<FormerName>, StoreError> {
        let select = query_as::<_, (String, Uuid, Timestamp)>(
            "SELECT username, user_id, since FROM former_usernames \
             WHERE username_key > $1 ORDER BY username_key LIMIT $2",
        );
        let after = name::fold(after.unwrap_or_default()).replace('\0', "\u{fffd}");
        let rows = select.bind(after).bind(i64::from(limit));
        let rows = in_time(rows.fetch_all(&self.pool)).await.map_err(failed)?;
        let former =
            rows.into_iter().map(|(username, user_id, since)| FormerName { username, user_id, since });
        Ok(former.collect())
    }

    pub(super) async fn free(&self, username: &str, note: &AuditRecord) -> Result<bool, StoreError> {
        if username.contains('\0') {
            return Ok(false);
        }
        let freed = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let delete = sqlx::query("DELETE FROM former_usernames WHERE username_key = $1");
            let done = delete.bind(name::fold(username)).execute(&mut *transaction).await?;
            if done.rows_affected() > 0 {
                audit::append(&mut transaction, note).await?;
                transaction.commit().await?;
            }
            Ok(done.rows_affected() > 0)
        });
        freed.await.map_err(failed)
    }
}
