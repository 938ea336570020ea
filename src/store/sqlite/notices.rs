//! The table `notices`.

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use uuid::Uuid;

use super::column::{self, micros};
use super::{SqliteUsers, failed};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{NoticeBounds, NoticeKind, Notices, QueuedNotice, StoreError};

#[derive(sqlx::FromRow)]
struct NoticeRow {
    id: String,
    kind: String,
    user_id: String,
    username: String,
    email: String,
    change: String,
    at: i64,
    actor: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    attempts: u32,
}

impl NoticeRow {
    fn notice(self) -> Result<QueuedNotice, StoreError> {
        Ok(QueuedNotice {
            id: column::parse(&self.id)?,
            kind: NoticeKind::read(&self.kind),
            user_id: column::parse(&self.user_id)?,
            username: self.username,
            email: self.email,
            change: self.change,
            at: column::instant(self.at)?,
            actor: self.actor,
            address: self.address.and_then(|address| address.parse().ok()),
            user_agent: self.user_agent,
            request_id: self.request_id,
            attempts: self.attempts,
        })
    }
}

/// Nothing is inserted while as many wait as may.
pub(super) fn insert(notice: &QueuedNotice, most: NoticeBounds) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(
        "INSERT INTO notices (id, user_id, username, email, change, at, actor, address, user_agent, request_id, \
                              attempts, due_at, kind) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?6, ?14 \
         WHERE (SELECT count(*) FROM notices) < ?12 \
             AND (SELECT count(*) FROM notices WHERE user_id = ?2) < ?13",
    )
    .bind(notice.id.to_string())
    .bind(notice.user_id.to_string())
    .bind(notice.username.clone())
    .bind(notice.email.clone())
    .bind(notice.change.clone())
    .bind(micros(notice.at))
    .bind(notice.actor.clone())
    .bind(notice.address.map(|address| address.to_string()))
    .bind(notice.user_agent.clone())
    .bind(notice.request_id.clone())
    .bind(notice.attempts)
    .bind(most.in_all)
    .bind(most.per_account)
    .bind(notice.kind.as_str())
}

#[async_trait]
impl Notices for SqliteUsers {
    async fn add(&self, notice: &QueuedNotice, most: NoticeBounds) -> Result<bool, StoreError> {
        let done = insert(notice, most).execute(&self.pool).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn has_room(&self, user: UserId, most: NoticeBounds) -> Result<bool, StoreError> {
        let select = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM notices) < ?1 \
                AND (SELECT count(*) FROM notices WHERE user_id = ?2) < ?3",
        );
        let select = select.bind(most.in_all).bind(user.to_string()).bind(most.per_account);
        select.fetch_one(&self.pool).await.map_err(failed)
    }

    async fn claim(&self, now: Timestamp, until: Timestamp) -> Result<Option<QueuedNotice>, StoreError> {
        // A look first, which takes no lock: mostly nothing is due.
        let look = sqlx::query_scalar::<_, i64>("SELECT EXISTS (SELECT 1 FROM notices WHERE due_at <= ?1)");
        if look.bind(micros(now)).fetch_one(&self.pool).await.map_err(failed)? == 0 {
            return Ok(None);
        }
        let update = sqlx::query_as::<_, NoticeRow>(
            "UPDATE notices SET attempts = attempts + 1, due_at = ?2 \
             WHERE id = (SELECT id FROM notices WHERE due_at <= ?1 ORDER BY due_at, id LIMIT 1) RETURNING *",
        );
        let claimed = update.bind(micros(now)).bind(micros(until)).fetch_optional(&self.pool).await;
        claimed.map_err(failed)?.map(NoticeRow::notice).transpose()
    }

    async fn put_off(&self, id: Uuid, attempts: u32, due_at: Timestamp) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE notices SET due_at = ?3 WHERE id = ?1 AND attempts = ?2");
        let update = update.bind(id.to_string()).bind(attempts).bind(micros(due_at));
        update.execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn remove(&self, id: Uuid) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM notices WHERE id = ?1").bind(id.to_string());
        delete.execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM notices");
        let count = count.fetch_one(&self.pool).await.map_err(failed)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
