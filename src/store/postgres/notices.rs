//! The table `notices`.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use super::{PostgresUsers, failed, in_time};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{NoticeBounds, NoticeKind, Notices, QueuedNotice, StoreError};

#[derive(sqlx::FromRow)]
struct NoticeRow {
    id: Uuid,
    kind: String,
    user_id: Uuid,
    username: String,
    email: String,
    change: String,
    at: Timestamp,
    actor: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    attempts: i32,
}

impl From<NoticeRow> for QueuedNotice {
    fn from(row: NoticeRow) -> Self {
        Self {
            id: row.id,
            kind: NoticeKind::read(&row.kind),
            user_id: row.user_id,
            username: row.username,
            email: row.email,
            change: row.change,
            at: row.at,
            actor: row.actor,
            address: row.address.and_then(|address| address.parse().ok()),
            user_agent: row.user_agent,
            request_id: row.request_id,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
        }
    }
}

/// Nothing is inserted while as many wait as may.
pub(super) fn insert(notice: &QueuedNotice, most: NoticeBounds) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(
        "INSERT INTO notices (id, user_id, username, email, change, at, actor, address, user_agent, request_id, \
                              attempts, due_at, kind) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $6, $14 \
         WHERE (SELECT count(*) FROM notices) < $12 \
             AND (SELECT count(*) FROM notices WHERE user_id = $2) < $13",
    )
    .bind(notice.id)
    .bind(notice.user_id)
    .bind(notice.username.clone())
    .bind(notice.email.clone())
    .bind(notice.change.clone())
    .bind(notice.at)
    .bind(notice.actor.clone())
    .bind(notice.address.map(|address| address.to_string()))
    .bind(notice.user_agent.clone())
    .bind(notice.request_id.clone())
    .bind(i32::try_from(notice.attempts).unwrap_or(i32::MAX))
    .bind(i64::from(most.in_all))
    .bind(i64::from(most.per_account))
    .bind(notice.kind.as_str())
}

#[async_trait]
impl Notices for PostgresUsers {
    async fn add(&self, notice: &QueuedNotice, most: NoticeBounds) -> Result<bool, StoreError> {
        let done = in_time(insert(notice, most).execute(&self.pool)).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn has_room(&self, user: UserId, most: NoticeBounds) -> Result<bool, StoreError> {
        let select = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM notices) < $1 \
                AND (SELECT count(*) FROM notices WHERE user_id = $2) < $3",
        );
        let select = select.bind(i64::from(most.in_all)).bind(user).bind(i64::from(most.per_account));
        in_time(select.fetch_one(&self.pool)).await.map_err(failed)
    }

    async fn claim(&self, now: Timestamp, until: Timestamp) -> Result<Option<QueuedNotice>, StoreError> {
        let update = sqlx::query_as::<_, NoticeRow>(
            "UPDATE notices SET attempts = attempts + 1, due_at = $2 \
             WHERE id = (SELECT id FROM notices WHERE due_at <= $1 ORDER BY due_at, id LIMIT 1 \
                         FOR UPDATE SKIP LOCKED) \
             RETURNING *",
        );
        let claimed = in_time(update.bind(now).bind(until).fetch_optional(&self.pool)).await;
        Ok(claimed.map_err(failed)?.map(QueuedNotice::from))
    }

    async fn put_off(&self, id: Uuid, attempts: u32, due_at: Timestamp) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE notices SET due_at = $3 WHERE id = $1 AND attempts = $2");
        let update = update.bind(id).bind(i32::try_from(attempts).unwrap_or(i32::MAX)).bind(due_at);
        in_time(update.execute(&self.pool)).await.map(drop).map_err(failed)
    }

    async fn remove(&self, id: Uuid) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM notices WHERE id = $1").bind(id);
        in_time(delete.execute(&self.pool)).await.map(drop).map_err(failed)
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM notices");
        let count = in_time(count.fetch_one(&self.pool)).await.map_err(failed)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
